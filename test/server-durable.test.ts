import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import t, { type Test } from "tap";
import { createStoreClient } from "../src/store/client.ts";
import { startTestServer, type TestServer } from "./store/server.ts";
import { runCommand } from "./support/command.ts";
import { CuttableProxy } from "./support/cuttable-proxy.ts";
import { oneScope, writeLogs } from "./support/otlp-writer.ts";
import { send } from "./support/senders.ts";
import { runVerify, temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";
import { ServerProcess } from "./support/server-process.ts";

/** Start-up rules and failures that take a whole server and something outside of it: a ClickHouse elsewhere, an anchor, a disk that fails. */

t.setTimeout(300_000);
const skip = whyNoEngine();
const ROWS = 50;

/** Request number `n`: 50 records of 500 bytes that say which they are. */
function numbered(n: number): Buffer {
  const records = Array.from({ length: ROWS }, (_, i) => ({
    time: 1_790_000_000_000_000_000n + BigInt(n * ROWS + i),
    body: `record ${n * ROWS + i}`,
    attributes: [["padding", "x".repeat(400)]] as const,
  }));
  return writeLogs(oneScope(records, [["service.name", "durable"]]));
}

const health = (server: ServerProcess): Promise<Response> =>
  fetch(`http://127.0.0.1:${server.ports.health}/`);

/** Sends requests until one is refused. Returns the refusal, and how many were taken from `first` on. */
async function sendUntilRefused(
  server: ServerProcess,
  first: number,
): Promise<{ taken: number; refusal: Response }> {
  for (let taken = 0; taken < 1_000; taken++) {
    const response = await send(server.otlp("logs"), numbered(first + taken));
    if (response.status !== 200) return { taken, refusal: response };
  }
  throw new Error("never refused");
}

async function waitFor(holds: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await setTimeout(50);
  }
}

const signedSize = async (server: ServerProcess): Promise<number> => {
  const answer = await fetch(`http://127.0.0.1:${server.ports.api}/api/v1/log`);
  return Number(((await answer.json()) as { signedSize: string }).signedSize);
};

/** Sends one request and waits until it is under a signed checkpoint. */
async function seal(t: Test, server: ServerProcess, n: number): Promise<void> {
  const before = await signedSize(server);
  t.equal((await send(server.otlp("logs"), numbered(n))).status, 200);
  await waitFor(async () => (await signedSize(server)) >= before + ROWS, "a checkpoint");
}

/** `serve` on a directory that it must refuse. Returns its last line. */
async function refusedStart(directory: string, config: string): Promise<string> {
  writeFileSync(join(directory, "extra.yaml"), config);
  const files = ["test.yaml", "extra.yaml"].flatMap((name) => ["--config", join(directory, name)]);
  const { code, stderr } = await runCommand("serve", ...files);
  if (code !== 3) throw new Error(`exit code ${code}: ${stderr}`);
  return stderr.split("\n").findLast((line) => line.startsWith("meshproof: "))!;
}

/** A data directory is put in the place of another. */
function replaceWith(directory: string, copy: string): void {
  rmSync(join(directory, "data"), { recursive: true });
  cpSync(copy, join(directory, "data"), { recursive: true });
}

t.test("with a ClickHouse elsewhere", { skip }, async (t) => {
  const remote = (await startTestServer()) as TestServer;
  t.teardown(() => remote.stop());
  const proxy = await CuttableProxy.start(Number(new URL(remote.url).port));
  t.teardown(() => proxy.stop());
  const { writer, admin, reader } = remote.passwords;
  const configOf = (
    others = "{}",
  ): string => `receivers: { otlp: { protocols: { http: { max_request_body_size: 1MiB } } } }
processors: { seal: { checkpoint_interval: 50ms } }
exporters:
  clickhouse:
    endpoint: http://127.0.0.1:${proxy.port}
    username: writer
    password: ${writer}
    admin: { username: admin, password: ${admin} }
    reader: { username: reader, password: ${reader} }
storage: ${others}
`;
  const client = createStoreClient({
    url: remote.url,
    username: "writer",
    password: writer,
    database: "otel",
  });
  t.teardown(() => client.close());
  const countRows = async (): Promise<Record<string, string> | undefined> => {
    const [row] = await client.query<Record<string, string>>(
      "SELECT count() AS rows, uniqExact(Body) AS bodies, uniqExact(LeafIndex) AS indexes FROM otel_logs WHERE ServiceName = 'durable'",
    );
    return row;
  };
  const directory = temporaryDirectory(t);
  const data = join(directory, "data");
  const copy = join(directory, "copy");
  const newer = join(directory, "newer");
  let sent = 0;

  await t.test(
    "a store that is down for long: records are acknowledged up to the journal's bound, and arrive once when it is back",
    async (t) => {
      const server = await ServerProcess.start(directory, configOf("{ max_size: 2MiB }"));
      t.teardown(() => server.kill());
      await seal(t, server, sent++);
      await waitFor(async () => (await countRows())?.["rows"] === String(ROWS), "the first rows");
      proxy.cut();
      const { taken, refusal } = await sendUntilRefused(server, sent);
      sent += taken;
      t.ok(taken > 10, `${taken} requests were taken while the store was down`);
      t.equal(refusal.status, 503);
      t.match(refusal.headers.get("retry-after"), /^[1-9]\d*$/);
      const sick = await health(server);
      t.equal(sick.status, 503);
      t.match(await sick.json(), { reasons: [{ name: "journal", detail: /of 2097152 bytes/ }] });
      await waitFor(async () => (await signedSize(server)) > sent * ROWS, "sealing goes on");
      proxy.mend();
      await waitFor(
        async () => (await send(server.otlp("logs"), numbered(sent))).status === 200,
        "records are taken again",
      );
      sent++;
      const all = String(sent * ROWS);
      await waitFor(async () => (await countRows())?.["rows"] === all, "all rows");
      t.same(await countRows(), { rows: all, bodies: all, indexes: all });
      await waitFor(async () => (await health(server)).status === 200, "health");
      t.equal(await server.stop(), 0);
      t.match(await runVerifyBoth(directory), { code: 0, report: { integrity: "ok", faults: [] } });
    },
  );

  cpSync(data, copy, { recursive: true });
  const grow = async (t: Test): Promise<void> => {
    const server = await ServerProcess.start(directory, configOf());
    t.teardown(() => server.kill());
    await seal(t, server, sent++);
    t.equal(await server.stop(), 0);
  };

  await t.test(
    "its table checkpoints shows that the whole data directory is an older copy",
    async (t) => {
      await grow(t);
      cpSync(data, newer, { recursive: true });
      replaceWith(directory, copy);
      const state = readFileSync(join(data, "state/checkpoint.json"));
      const said = await refusedStart(directory, configOf());
      t.match(said, /the table checkpoints has a checkpoint of \d+ records .*knows of \d+/);
      t.match(said, /Restore the newest copy of the whole directory/);
      t.same(readFileSync(join(data, "state/checkpoint.json")), state, "nothing was signed");
    },
  );

  await t.test(
    "also when it answers long after the start, which ends the server and leaves nothing in the store",
    async (t) => {
      replaceWith(directory, newer);
      const before = await countRows();
      replaceWith(directory, copy);
      proxy.cut();
      const server = await ServerProcess.start(directory, configOf());
      t.teardown(() => server.kill());
      t.match(server.output, /is not seen before it answers/);
      for (let i = 0; i < 2; i++) await seal(t, server, 20_000 + i);
      proxy.mend();
      t.equal(await server.ended(), 3);
      t.match(server.output, /the table checkpoints has a checkpoint of \d+ records/);
      t.match(server.output, /the server cannot go on/);
      t.same(await countRows(), before, "no row of the second history");
      replaceWith(directory, newer);
      await grow(t);
      t.match(
        await runVerifyBoth(directory),
        { code: 0, report: { integrity: "ok", faults: [] } },
        "the newest copy goes on",
      );
    },
  );

  await t.test("and that the log was forked", async (t) => {
    replaceWith(directory, copy);
    proxy.cut();
    const server = await ServerProcess.start(directory, configOf());
    t.teardown(() => server.kill());
    for (let i = 0; i < 5; i++) await seal(t, server, 10_000 + i);
    await server.kill();
    proxy.mend();
    t.match(
      await refusedStart(directory, configOf()),
      /the table checkpoints has a checkpoint of (\d+) records .*the first \1 records in .* are another tree/,
    );
  });

  await t.test(
    "a lost data directory begins no second log under the name of the first",
    async (t) => {
      rmSync(data, { recursive: true });
      t.match(
        await refusedStart(directory, configOf()),
        /has checkpoints of meshproof.local\/dev that another key signed: .*Restore its directory and key; or give the new log a name of its own/,
      );
      mkdirSync(join(data, "secrets"), { recursive: true });
      cpSync(join(newer, "secrets/log-key.pem"), join(data, "secrets/log-key.pem"));
      t.match(await refusedStart(directory, configOf()), /knows of 0: this directory is an older/);
      rmSync(data, { recursive: true });
      const named = configOf().replace("seal: {", "seal: { origin: meshproof.test/second,");
      const server = await ServerProcess.start(directory, named);
      t.teardown(() => server.kill());
      await seal(t, server, sent++);
      t.equal(await server.stop(), 0);
      t.match(await runVerifyBoth(directory), { code: 0, report: { integrity: "ok", faults: [] } });
    },
  );
});

/** `verify` with both configuration files of a server. */
async function runVerifyBoth(directory: string): Promise<{ code: number | null; report: unknown }> {
  const files = ["test.yaml", "extra.yaml"].flatMap((name) => ["--config", join(directory, name)]);
  const { code, stdout, stderr } = await runCommand("verify", "--json", ...files);
  return { code, report: stdout === "" ? stderr : JSON.parse(stdout) };
}

t.test("an anchor and a kept checkpoint show a rollback and a fork", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const [data, older, newer] = ["data", "older", "newer"].map((name) => join(directory, name));
  mkdirSync(join(directory, "elsewhere"));
  const anchor = join(directory, "elsewhere/checkpoint");
  const seals = "checkpoint_interval: 50ms";
  const config = `processors: { seal: { ${seals}, anchor: ${JSON.stringify(anchor)} } }\n`;
  const withoutAnchor = `processors: { seal: { ${seals} } }\n`;
  const grow = async (n: number, requests: number, settings: string): Promise<void> => {
    const server = await ServerProcess.start(directory, settings);
    t.teardown(() => server.kill());
    for (let i = 0; i < requests; i++) await seal(t, server, n + i);
    t.equal(await server.stop(), 0);
  };
  await grow(0, 1, config);
  cpSync(data!, older!, { recursive: true });
  await grow(1, 1, config);
  const kept = join(directory, "kept");
  cpSync(anchor, kept);
  cpSync(data!, newer!, { recursive: true });
  const verifyKept = async () => {
    const files = ["test.yaml", "extra.yaml"].flatMap((name) => [
      "--config",
      join(directory, name),
    ]);
    const args = ["verify", "--json", "--log-only", "--expect-checkpoint", kept];
    const { code, stdout } = await runCommand(...args, ...files);
    return { code, faults: (JSON.parse(stdout) as { faults: unknown }).faults };
  };
  t.match(await verifyKept(), { code: 0, faults: [] });

  replaceWith(directory, older!);
  t.match(
    await refusedStart(directory, config),
    /anchor .*elsewhere\/checkpoint has a checkpoint of \d+ records .*knows of \d+.*Restore the newest copy/,
  );
  t.match(await verifyKept(), { code: 1, faults: [{ fault: "checkpoint_rolled_back" }] });

  // Without the anchor nothing shows it, and another history grows beyond the first.
  await grow(20_000, 4, withoutAnchor);
  t.match(
    await refusedStart(directory, config),
    /has a checkpoint of (\d+) records .*the first \1 records in .* are another tree/,
  );
  t.match(await verifyKept(), {
    code: 1,
    faults: [{ fault: "checkpoint_invalid", detail: /signed over another tree/ }],
  });
  t.notSame(readFileSync(kept), readFileSync(join(data!, "log/checkpoint")));
  t.same(readFileSync(anchor), readFileSync(kept), "the anchor is never written over");

  replaceWith(directory, newer!);
  await grow(2, 1, config);
  t.match(await verifyKept(), { code: 0, faults: [] }, "the newest copy goes on");
});

t.test("a disk that fails under a whole server", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const control = join(directory, "faults");
  const preload = join(import.meta.dirname, "support/faults/preload.ts");
  const start = (): Promise<ServerProcess> =>
    ServerProcess.start(directory, "processors: { seal: { checkpoint_interval: 50ms } }\n", {
      env: {
        NODE_OPTIONS: `${process.env["NODE_OPTIONS"] ?? ""} --import=${preload}`,
        MESHPROOF_TEST_FAULTS: control,
      },
    });
  let server = await start();
  t.teardown(() => server.kill());
  let sent = 0;
  const sendNext = async (): Promise<Response | null> =>
    send(server.otlp("logs"), numbered(sent)).catch(() => null);

  await t.test(
    "without room: 503 with Retry-After, health says so; it goes on when there is room",
    async (t) => {
      await seal(t, server, sent++);
      writeFileSync(control, "ENOSPC writev tile");
      const response = await sendNext();
      t.equal(response?.status, 503);
      t.match(response?.headers.get("retry-after"), /^[1-9]\d*$/);
      const sick = await health(server);
      t.equal(sick.status, 503);
      t.match(await sick.json(), {
        reasons: [{ name: "journal", detail: /the disk has no room/ }],
      });
      rmSync(control);
      await seal(t, server, sent++);
      t.equal((await health(server)).status, 200);
    },
  );

  await t.test(
    "without room for tiles alone: records are taken, and sealed when there is room",
    async (t) => {
      const signed = await signedSize(server);
      const said = server.output.length;
      writeFileSync(control, "ENOSPC tile");
      t.equal((await sendNext())?.status, 200);
      sent++;
      await waitFor(
        async () => server.output.includes("checkpoint put off", said),
        "the log says so",
      );
      t.ok((await signedSize(server)) < signed + ROWS);
      rmSync(control);
      await waitFor(async () => (await signedSize(server)) >= signed + ROWS, "a checkpoint");
    },
  );

  for (const call of ["writev", "fdatasync"]) {
    await t.test(
      `EIO of ${call} ends it with exit code 3, nothing acknowledged by then`,
      async (t) => {
        writeFileSync(control, `EIO ${call}`);
        const response = await sendNext();
        t.ok(response === null || response.status === 503, `${response?.status}`);
        t.equal(await server.ended(), 3);
        t.match(server.output, /(?:JOURNAL|LOG)_FAILED/);
        t.match(server.output, /the server cannot go on/);
        rmSync(control);
        server = await start();
        t.equal((await sendNext())?.status, 200, "the sender tries again");
        sent++;
      },
    );
  }

  await t.test("everything acknowledged is there, once", async (t) => {
    const all = String(sent * ROWS);
    const count =
      "SELECT count() AS rows, uniqExact(Body) AS bodies FROM otel_logs WHERE ServiceName = 'durable'";
    await waitFor(async () => {
      const [row] = await server.query<Record<string, string>>(count);
      return row?.["rows"] === all;
    }, "all rows");
    t.same(await server.query(count), [{ rows: all, bodies: all }]);
    t.notOk(existsSync(control));
    t.equal(await server.stop(), 0);
    t.match(await runVerify(server), { code: 0, report: { integrity: "ok", faults: [] } });
  });
});
