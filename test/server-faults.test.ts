import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { freePorts } from "../src/store/engine-host.ts";
import { runCommand } from "./support/command.ts";
import { type LogInput, oneScope, writeLogs } from "./support/otlp-writer.ts";
import { Load, send } from "./support/senders.ts";
import { runVerify, temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";
import { ServerProcess } from "./support/server-process.ts";
import { storedRows, waitForCount } from "./support/stored-rows.ts";

/** What happens to acknowledged records when something breaks: the process, the store, the disk's bound. */

t.setTimeout(300_000);
const skip = whyNoEngine();
const ROWS = 50;

/** Request number `n` of a load: records that say which they are, and take about 25 kB. */
function numbered(n: number): Buffer {
  const records = Array.from({ length: ROWS }, (_, i): LogInput => ({
    time: 1_790_000_000_000_000_000n + BigInt(n * ROWS + i),
    body: `record ${n * ROWS + i}`,
    attributes: [["padding", "x".repeat(400)]],
  }));
  return writeLogs(oneScope(records, [["service.name", "load"]]));
}

/** Every record of the first `requests` requests is in ClickHouse, each once. */
async function eachOnce(t: Test, server: ServerProcess, requests: number): Promise<void> {
  const expected = requests * ROWS;
  await waitForCount(server, "SELECT count() FROM otel_logs WHERE ServiceName = 'load'", expected);
  const [row] = await server.query<Record<string, string>>(
    "SELECT count() AS rows, uniqExact(Body) AS bodies, uniqExact(LeafIndex) AS indexes FROM otel_logs WHERE ServiceName = 'load'",
  );
  t.same(row, { rows: `${expected}`, bodies: `${expected}`, indexes: `${expected}` });
}

t.test("nothing acknowledged is lost, and nothing is there twice", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  let server = await ServerProcess.start(directory);
  t.teardown(() => server.kill());
  const load = new Load({ url: () => server.otlp("logs"), body: numbered, senders: 4 });
  t.teardown(() => load.stop());

  await t.test("when the server is killed under load, three times", async (t) => {
    const occupied = createServer().listen(0, "127.0.0.1");
    await once(occupied, "listening");
    t.teardown(() => occupied.close());
    for (let kill = 0; kill < 3; kill++) {
      await load.more(60);
      await server.kill();
      t.ok(existsSync(join(server.dataDirectory, "ports.json")), "it had no time to clean up");
      if (kill === 0) {
        const { code, report } = await runVerify(server);
        t.match(report, { integrity: "ok", faults: [] }, "verify counts what is in the journal");
        t.equal(code, 0);
        const { port } = occupied.address() as AddressInfo;
        await t.rejects(
          ServerProcess.start(
            directory,
            `extensions: { health_check: { endpoint: "127.0.0.1:${port}" } }`,
          ),
          /LISTEN_FAILED/,
        );
        t.notOk(
          existsSync(join(server.dataDirectory, "ports.json")),
          "a start takes away the ports of the server before, whatever comes of it",
        );
      }
      server = await ServerProcess.start(directory);
    }
    await load.more(20);
    t.ok(load.failures > 0, "senders noticed");
  });

  await t.test(
    "when the store is killed under load",
    { skip: !existsSync("/proc/self/stat") && "needs /proc" },
    async (t) => {
      const engine = server.enginePid;
      process.kill(engine, "SIGKILL");
      const { failures } = load;
      await load.more(40);
      t.equal(load.failures, failures, "records are taken while the store is down");
      await waitForCount(
        server,
        `SELECT count() FROM otel_logs WHERE ServiceName = 'load'`,
        load.acknowledged * ROWS,
      );
      t.not(server.enginePid, engine, "its supervisor started another");
    },
  );

  await t.test("when the server is told to stop under load", async (t) => {
    await load.more(20);
    t.equal(await server.stop(), 0);
    t.notOk(existsSync(join(server.dataDirectory, "ports.json")));
    const { acknowledged } = load;
    server = await ServerProcess.start(directory);
    await load.more(10);
    await load.stop();
    t.ok(load.acknowledged > acknowledged);
    await eachOnce(t, server, load.acknowledged);
  });

  await t.test("and verify agrees", async (t) => {
    t.equal(await server.stop(), 0);
    const { code, report } = await runVerify(server);
    t.match(report, { integrity: "ok", faults: [] });
    t.equal(code, 0);
    t.equal(report.checked.records, report.treeSize);
  });
});

t.test(
  "a full journal refuses, keeps what it has, and gives it to a store that comes later",
  { skip },
  async (t) => {
    const directory = temporaryDirectory(t);
    const limits = `receivers: { otlp: { protocols: { http: { max_request_body_size: 1MiB } } } }
storage: { max_size: 2MiB }
`;
    const [closedPort] = await freePorts("127.0.0.1", [0]);
    const endpoint = `http://127.0.0.1:${closedPort}`;
    let server = await ServerProcess.start(
      directory,
      `${limits}exporters: { clickhouse: { endpoint: "${endpoint}", username: meshproof } }\n`,
    );
    t.teardown(() => server.kill());
    let acknowledged = 0;

    await t.test("503 with Retry-After once it is full, and health says why", async (t) => {
      t.equal(
        (await fetch(`http://127.0.0.1:${server.ports.health}/`)).status,
        200,
        "a store that has not answered yet is no reason to refuse records",
      );
      let response = await send(server.otlp("logs"), numbered(acknowledged));
      while (response.status === 200 && acknowledged < 1000) {
        acknowledged++;
        response = await send(server.otlp("logs"), numbered(acknowledged));
      }
      t.ok(acknowledged > 10);
      t.equal(response.status, 503);
      t.match(response.headers.get("retry-after"), /^[1-9]\d*$/);
      t.equal(response.headers.get("content-type"), "application/x-protobuf");
      const health = await fetch(`http://127.0.0.1:${server.ports.health}/`);
      t.equal(health.status, 503);
      t.match(await health.json(), {
        status: "Server not available",
        reasons: [{ name: "journal", detail: /of 2097152 bytes/ }],
      });
      t.equal(
        (await send(server.otlp("logs"), numbered(0))).status,
        200,
        "a batch that it has already is still acknowledged",
      );
    });

    await t.test(
      "what was acknowledged is there once a store answers, and senders need a token now",
      async (t) => {
        await server.kill();
        const tokens = join(directory, "tokens");
        const [sender, reader, auditor] = await Promise.all(
          ["sender", "reader", "auditor"].map((role) => newToken(role)),
        );
        writeFileSync(tokens, `# who may\n${sender!.line}\n${reader!.line}\n${auditor!.line}\n`);
        server = await ServerProcess.start(
          directory,
          `extensions: { tokens: { file: ${JSON.stringify(tokens)} } }\n`,
        );
        await eachOnce(t, server, acknowledged);

        const body = writeLogs(oneScope([{ body: "with a token" }], [["service.name", "tokens"]]));
        const anonymous = await send(server.otlp("logs"), body);
        t.equal(anonymous.status, 401);
        t.match(anonymous.headers.get("www-authenticate"), /^Bearer/);
        t.equal((await send(server.otlp("logs"), body, { token: "meshproof_guess" })).status, 401);
        t.equal((await send(server.otlp("logs"), body, { token: reader!.token })).status, 403);
        t.equal((await send(server.otlp("logs"), body, { token: sender!.token })).status, 200);
        await waitForCount(server, "SELECT count() FROM otel_logs WHERE ServiceName = 'tokens'", 1);
        t.match(await storedRows(server, "otel_logs", "ServiceName = 'tokens'"), [
          { Body: "with a token", Sender: "test-sender", SenderAuth: "token" },
        ]);

        const checkpoint = (token?: string): Promise<Response> =>
          fetch(
            `http://127.0.0.1:${server.ports.api}/log/checkpoint`,
            token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
          );
        t.equal((await checkpoint()).status, 401);
        t.equal((await checkpoint(sender!.token)).status, 403);
        t.equal((await checkpoint(auditor!.token)).status, 200);
        t.equal(await server.stop(), 0);
        t.match(await runVerify(server), {
          code: 0,
          report: { integrity: "ok", completeness: "gaps", findings: { refused_batch: Number } },
        });
      },
    );
  },
);

async function newToken(role: string): Promise<{ token: string; line: string }> {
  const { stdout } = await runCommand("token", role, `test-${role}`, "--json");
  return JSON.parse(stdout) as { token: string; line: string };
}
