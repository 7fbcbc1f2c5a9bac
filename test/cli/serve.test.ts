import { EventEmitter } from "node:events";
import { join } from "node:path";
import t, { type Test } from "tap";
import { EXIT } from "../../src/cli/exit.ts";
import { Output } from "../../src/cli/output.ts";
import { serve, type ServeOptions } from "../../src/cli/serve.ts";
import { MeshproofError } from "../../src/core/errors.ts";
import type { RunningServer } from "../../src/server.ts";

const QUIET = "service: { telemetry: { logs: { level: error } } }\n";
const PORTS = {
  otlp: 14318,
  api: 18320,
  health: 23133,
  metrics: 18888,
  clickhouseHttp: 18123,
  clickhouseNative: 19000,
};
const VERIFIER_KEY = "example.org/mesh+12345678+AAAA";

/** Runs `serve` with a server of the test's own; `signals.emit("SIGTERM")` is the signal. */
function start(
  t: Test,
  server: Partial<RunningServer>,
  options: Partial<ServeOptions> & { yaml?: string } = {},
) {
  let out = "";
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const signals = new EventEmitter();
  const state = { stopped: 0, exits: [] as number[] };
  const running: RunningServer = {
    ports: PORTS,
    verifierKey: VERIFIER_KEY,
    failed: new Promise(() => {}),
    stop: async () => void state.stopped++,
    ...server,
  };
  const file = join(t.testdir({ "c.yaml": QUIET + (options.yaml ?? "") }), "c.yaml");
  const output = new Output(
    { stdout: { write: (text: string) => ((out += text), resolve()) }, stderr: { write() {} } },
    {},
  );
  const code = serve(
    { config: [file], ...options },
    { output, env: {} },
    async () => running,
    signals,
    (exit) => void state.exits.push(exit),
  );
  return { code, ready, signals, state, out: () => out, file };
}

t.test(
  "it says what listens where, who it is, and what to do next; a signal stops it cleanly",
  async (t) => {
    const run = start(t, {});
    await run.ready;
    const text = run.out();
    for (const expected of [
      "http://127.0.0.1:14318",
      "http://127.0.0.1:18320",
      "http://127.0.0.1:18123",
      "http://127.0.0.1:23133/",
      "http://127.0.0.1:18888/metrics",
      VERIFIER_KEY,
    ]) {
      t.ok(text.includes(expected), expected);
    }
    const [, body] = /-d '(\{.*\})'\n/.exec(text) ?? [];
    t.match(
      JSON.parse(body as string),
      { resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: /^\d{19}$/ }] }] }] },
      "the curl line sends real OTLP",
    );
    t.match(text, `npx meshproof verify --config ${run.file}`);
    t.equal(run.state.stopped, 0);
    run.signals.emit("SIGTERM");
    t.equal(await run.code, EXIT.ok);
    t.equal(run.state.stopped, 1);
    t.equal(
      run.signals.listenerCount("SIGTERM") + run.signals.listenerCount("SIGINT"),
      0,
      "no listener is left",
    );
  },
);

t.test("with --json it prints ports and key as one line", async (t) => {
  const run = start(t, {}, { json: true });
  await run.ready;
  t.same(JSON.parse(run.out()), { ports: PORTS, verifierKey: VERIFIER_KEY });
  run.signals.emit("SIGINT");
  t.equal(await run.code, EXIT.ok);
});

t.test(
  "the first record goes to a name that a certificate can have, with one of its own",
  async (t) => {
    const yaml = `receivers: { otlp: { protocols: { http: { endpoint: "0.0.0.0:4318", tls: { cert_file: c, key_file: k, client_ca_file: ca } } } } }
`;
    const run = start(t, {}, { yaml });
    await run.ready;
    t.match(
      run.out(),
      "curl --cert client.pem --key client-key.pem -H 'Content-Type: application/json' https://localhost:14318/v1/logs",
    );
    t.match(run.out(), "https://0.0.0.0:14318", "and where it listens is said as it is");
    run.signals.emit("SIGTERM");
    t.equal(await run.code, EXIT.ok);
  },
);

t.test(
  "the next steps fit a configuration with tokens, TLS and a ClickHouse of its own",
  async (t) => {
    const yaml = `receivers: { otlp: { protocols: { http: { endpoint: "[::1]:4318", tls: { cert_file: c, key_file: k } } } } }
extensions: { tokens: { file: tokens } }
exporters: { clickhouse: { endpoint: "https://ch.example:8443", database: audit } }
`;
    const run = start(
      t,
      { ports: { ...PORTS, clickhouseHttp: null, clickhouseNative: null } },
      { yaml },
    );
    await run.ready;
    for (const expected of [
      "https://[::1]:14318/v1/logs",
      "Authorization: Bearer $TOKEN",
      "https://ch.example:8443",
      "audit.otel_logs",
    ])
      t.ok(run.out().includes(expected), expected);
    t.notOk(run.out().includes("clickhouse-reader"), "its passwords are not ours to know");
    run.signals.emit("SIGTERM");
    await run.code;
  },
);

t.test(
  "the same signal twice in a moment, as npm sends it, does not cut the drain short",
  async (t) => {
    const drained = Promise.withResolvers<void>();
    const run = start(t, { stop: () => drained.promise });
    await run.ready;
    run.signals.emit("SIGINT");
    run.signals.emit("SIGINT");
    t.same(run.state.exits, []);
    drained.resolve();
    t.equal(await run.code, EXIT.ok);
  },
);

t.test("a later second signal ends at once", async (t) => {
  const clock = t.capture(performance, "now", () => time);
  let time = 0;
  const drained = Promise.withResolvers<void>();
  const run = start(t, { stop: () => drained.promise });
  await run.ready;
  run.signals.emit("SIGTERM");
  time = 1000;
  run.signals.emit("SIGINT");
  t.same(run.state.exits, [EXIT.unable]);
  clock.restore();
  drained.resolve();
  await run.code;
});

t.test("a server that fails while it runs is stopped, and the exit code says so", async (t) => {
  const failed = Promise.withResolvers<unknown>();
  const run = start(t, { failed: failed.promise });
  await run.ready;
  failed.resolve(new MeshproofError("JOURNAL_FAILED", "fsync: EIO"));
  t.equal(await run.code, EXIT.unable);
  t.equal(run.state.stopped, 1);
});

t.test("a server that cannot start leaves no listener and passes its error on", async (t) => {
  const signals = new EventEmitter();
  const file = join(t.testdir({ "c.yaml": QUIET }), "c.yaml");
  const output = new Output({ stdout: { write() {} }, stderr: { write() {} } }, {});
  const start = async (): Promise<never> => {
    throw new MeshproofError("LISTEN_FAILED", "127.0.0.1:4318: taken");
  };
  await t.rejects(serve({ config: [file] }, { output, env: {} }, start, signals), {
    code: "LISTEN_FAILED",
  });
  t.equal(signals.listenerCount("SIGTERM"), 0);
});
