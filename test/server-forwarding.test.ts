import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import t, { type Test } from "tap";
import { runCommand } from "./support/command.ts";
import { NextBackend, type ReceivedRecord } from "./support/next-backend.ts";
import { type Attributes, oneScope, writeLogs, writeTraces } from "./support/otlp-writer.ts";
import { send } from "./support/senders.ts";
import { runVerify, temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";
import { ServerProcess } from "./support/server-process.ts";
import { waitForCount } from "./support/stored-rows.ts";
import { envoyLog, spanInput } from "./support/traffic.ts";

/** meshproof in the middle of a pipeline: what comes in is sealed, and goes on to the next backend. */

t.setTimeout(300_000);
const skip = whyNoEngine();
const TIME_LIMIT_MS = 30_000;
const PAIRS = 30;
const RESOURCE: Attributes = [
  ["log_name", "otel_envoy_accesslog"],
  ["node_name", "sidecar~10.2.3.4~orders-7d9c5b8f6-x2x4z.shop~shop.svc.cluster.local"],
  ["replicas", 3n],
];

function configFor(backend: NextBackend): string {
  return `processors: { seal: { checkpoint_interval: 200ms } }
exporters:
  clickhouse: { batch: { timeout: 100ms } }
  otlp_http:
    endpoint: ${backend.url}
    retry_on_failure: { initial_interval: 100ms, max_interval: 200ms }
    sending_queue: { queue_size: 16MiB }
    link_wait: 5s
    records_url: https://audit.example
`;
}

async function sendAll(server: ServerProcess, first: number, count: number): Promise<void> {
  const records = Array.from({ length: count }, (_, i) => ({ body: `log ${first + i}` }));
  const response = await send(server.otlp("logs"), writeLogs(oneScope(records)));
  if (response.status !== 200) throw new Error(`status ${response.status}`);
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + TIME_LIMIT_MS; !(await condition());) {
    if (Date.now() > deadline) throw new Error(`expected ${what}`);
    await setTimeout(50);
  }
}

async function metric(server: ServerProcess, sample: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${server.ports.metrics}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${sample} `));
  return Number(line?.slice(sample.length + 1));
}

function leafOf({ attributes }: ReceivedRecord): number {
  return Number(attributes["meshproof.leaf_index"]);
}

const bodyOf = ({ record }: ReceivedRecord): string =>
  String((record["body"] as { stringValue?: string } | undefined)?.stringValue);

/** Each of `count` logs from number `first` on is there; how often each one came more than once. */
function countTwice(t: Test, backend: NextBackend, first: number, count: number): number {
  const bodies = backend.records().map(bodyOf);
  const missing = Array.from({ length: count }, (_, i) => `log ${first + i}`).filter(
    (body) => !bodies.includes(body),
  );
  t.same(missing, [], "nothing is missing");
  return bodies.filter((body) => body.startsWith("log ")).length - new Set(bodies).size;
}

t.test("what came in goes on once, provable and linked", { skip }, async (t) => {
  const backend = await NextBackend.start();
  t.teardown(() => backend.stop());
  const server = await ServerProcess.start(temporaryDirectory(t), configFor(backend));
  t.teardown(() => server.kill());

  const logs = Array.from({ length: PAIRS }, (_, i) => envoyLog(i));
  const spans = Array.from({ length: PAIRS }, (_, i) => spanInput(i));
  await send(server.otlp("logs"), writeLogs([{ resource: RESOURCE, scopes: [{ records: logs }] }]));
  await send(server.otlp("traces"), writeTraces(oneScope(spans)));
  await until(() => backend.records().length >= 2 * PAIRS, "all records");
  const records = backend.records();
  t.equal(records.length, 2 * PAIRS);

  await t.test("with the index of the row that it became", async (t) => {
    await waitForCount(server, "SELECT count() FROM trace_links", PAIRS);
    const rows = await server.query<{ kind: string; leaf: string; trace: string; other: string }>(
      `SELECT 'log' AS kind, toString(LeafIndex) AS leaf, a.TraceId AS trace, toString(SpanLeaf) AS other
         FROM access_records AS a INNER JOIN trace_links AS l ON l.AccessLeaf = a.LeafIndex
       UNION ALL SELECT 'span', toString(LeafIndex), s.TraceId, toString(AccessLeaf)
         FROM otel_traces AS s INNER JOIN trace_links AS l ON l.SpanLeaf = s.LeafIndex`,
    );
    const expected = rows.map(({ kind, leaf, trace, other }) => [kind, leaf, trace, other].join());
    const passedOn = records.map(({ record, attributes }) =>
      [
        "name" in record ? "span" : "log",
        attributes["meshproof.leaf_index"],
        (record["traceId"] as Buffer).toString("hex"),
        attributes["meshproof.linked_leaf_index"],
      ].join(),
    );
    t.same([...passedOn].sort(), expected.sort());
  });

  await t.test("as it came in but for secrets", async (t) => {
    const log = records.find(({ record }) => !("name" in record))!;
    const i = logs.findIndex(({ traceId }) =>
      (log.record["traceId"] as Buffer).equals(Buffer.from(traceId!)),
    );
    const sent = Object.fromEntries(logs[i]!.attributes!);
    const own = Object.fromEntries(
      Object.entries(log.attributes).filter(([key]) => !key.startsWith("meshproof.")),
    );
    t.same(own, { ...sent, path: String(sent["path"]).replace(/secret\d+/, "[redacted]") });
    t.match(log.resource, {
      attributes: [{ key: "log_name" }, { key: "node_name" }, { value: { intValue: "3" } }],
    });
  });

  await t.test("and its proof holds", async (t) => {
    const [{ attributes }] = records as [ReceivedRecord];
    const index = String(attributes["meshproof.leaf_index"]);
    t.equal(
      attributes["meshproof.record_url"],
      `https://audit.example/api/v1/records/${String(attributes["meshproof.log_id"])}:${index}`,
    );
    const args = ["--config", server.configFile, "--output", server.directory];
    const proved = await runCommand("prove", index, ...args);
    t.equal(proved.code, 0, proved.stderr);
    const proof = join(server.directory, `${index}.tlog-proof`);
    const checked = await runCommand("verify-proof", proof, "--config", server.configFile);
    t.equal(checked.code, 0, checked.stderr);
  });

  const exporter = '{exporter="otlphttp"}';
  t.equal(await metric(server, `otelcol_exporter_sent_log_records${exporter}`), PAIRS);
  t.equal(await metric(server, `otelcol_exporter_sent_spans${exporter}`), PAIRS);
  t.equal(await metric(server, `otelcol_exporter_queue_size${exporter}`), 0);
  t.equal(await metric(server, `otelcol_exporter_queue_capacity${exporter}`), 16 * 2 ** 20);
});

t.test("a backend that is away delays nobody, and a kill loses nothing", { skip }, async (t) => {
  let backend = await NextBackend.start();
  t.teardown(() => backend.stop());
  const { port } = backend;
  const directory = temporaryDirectory(t);
  const config = configFor(backend).replace("link_wait: 5s", "link_wait: 0s");
  await backend.stop();
  let server = await ServerProcess.start(directory, config);
  t.teardown(() => server.kill());

  const started = performance.now();
  for (let i = 0; i < 50; i++) await sendAll(server, i * 10, 10);
  t.ok(performance.now() - started < 10_000, "acknowledged as fast as ever");
  await waitForCount(server, "SELECT count() FROM otel_logs", 500);
  await until(async () => {
    const health = await fetch(`http://127.0.0.1:${server.ports.health}/`);
    const report = (await health.json()) as { warnings?: { name: string }[] };
    return health.status === 200 && report.warnings?.[0]?.name === "forward";
  }, "a warning in health");
  await server.kill();

  backend = await NextBackend.start(undefined, port);
  server = await ServerProcess.start(directory, config);
  await until(() => backend.records().length >= 500, "what waited, after the kill");
  t.equal(countTwice(t, backend, 0, 500), 0, "none of it came twice");

  await t.test("killed while it passes on", async (t) => {
    for (let round = 0; round < 3; round++) {
      await setTimeout(500); // how far it has come is written down at least so often
      const first = 500 + round * 200;
      for (let i = 0; i < 20; i++) await sendAll(server, first + i * 10, 10);
      await setTimeout(round * 60);
      await server.kill();
      server = await ServerProcess.start(directory, config);
      await until(
        () => new Set(backend.records().map(bodyOf)).size >= first + 200,
        "all records of this round",
      );
    }
    const twice = countTwice(t, backend, 0, 1100);
    t.ok(twice <= 600, `${twice} came twice: at least once, and no more than was under way`);
    const leaves = new Map<number, string>();
    for (const record of backend.records()) {
      const known = leaves.get(leafOf(record)) ?? bodyOf(record);
      if (known !== bodyOf(record)) t.fail(`two records at leaf ${leafOf(record)}`);
      leaves.set(leafOf(record), known);
    }
    t.equal(leaves.size, 1100, "and whoever has two of them sees it at log ID and index");
  });

  await t.test("a clean stop sends nothing twice", async (t) => {
    await until(
      async () => (await metric(server, 'otelcol_exporter_queue_size{exporter="otlphttp"}')) === 0,
      "an empty queue",
    );
    const before = backend.records().length;
    t.equal(await server.stop(), 0);
    server = await ServerProcess.start(directory, config);
    await sendAll(server, 1100, 10);
    await until(() => backend.records().length >= before + 10, "what is new");
    t.equal(backend.records().length, before + 10);
  });

  await t.test("what the backend refuses is a finding, and verify knows of no gap", async (t) => {
    backend.answer = () => ({ status: 400 });
    await sendAll(server, 2000, 5);
    const failed = 'otelcol_exporter_send_failed_log_records{exporter="otlphttp"}';
    await until(async () => (await metric(server, failed)) === 5, "five lost records");
    backend.answer = () => ({ status: 200 });
    t.equal(await server.stop(), 0);
    server = await ServerProcess.start(directory, config);
    const where = "FROM findings WHERE FindingKind = 'not_forwarded'";
    await waitForCount(server, `SELECT count() ${where}`, 1);
    const [finding] = await server.query(
      `SELECT Subject AS subject, Detail['count'] AS count, Detail['reason'] AS reason, length(Evidence) AS evidence ${where}`,
    );
    t.match(finding, {
      subject: `127.0.0.1:${port}`,
      count: "5",
      reason: "answered with status 400",
    });
    await setTimeout(1_000);
    const { code, report } = await runVerify(server);
    t.equal(code, 0);
    t.match(report, { integrity: "ok", completeness: "ok" });
  });
});

t.test("without a next backend no frame of the journal holds originals", { skip }, async (t) => {
  const server = await ServerProcess.start(temporaryDirectory(t));
  t.teardown(() => server.kill());
  await sendAll(server, 0, 1);
  const text = await (await fetch(`http://127.0.0.1:${server.ports.metrics}/metrics`)).text();
  t.notMatch(text, "otlphttp");
});
