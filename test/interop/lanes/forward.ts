import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { freePorts } from "../../../src/store/engine-host.ts";
import { runCommand } from "../../support/command.ts";
import { NextBackend, type ReceivedRecord } from "../../support/next-backend.ts";
import { send } from "../../support/senders.ts";
import { ServerProcess } from "../../support/server-process.ts";
import { applicationBody, envoyBody, spanBody } from "../../support/traffic.ts";
import { Collector } from "../collector.ts";
import type { Lane, LaneContext } from "../lane.ts";
import { assertVerified, requireEngine } from "../server.ts";

/** meshproof as a processor: senders → meshproof → a real Collector → what stands behind it. */
export const lane: Lane = {
  name: "forward",
  title: "a Collector as the next backend: records, outages, metrics",
  needs: ["go"],
  timeLimitMs: 10 * 60_000,
  run,
};

const LOOPBACK = "127.0.0.1";
const PER_REQUEST = 100;
const REQUESTS = 10;
/** Application logs, access logs and spans of each. */
const SENT = 3 * PER_REQUEST * REQUESTS;
const PROVED = 3;
const TIME_LIMIT_MS = 60_000;

/** The Collector's own queue is in memory: what it has acknowledged must go on before it is ended. */
function collectorConfig(port: number, metricsPort: number, backend: NextBackend): string {
  return `receivers: { otlp: { protocols: { http: { endpoint: "${LOOPBACK}:${port}" } } } }
exporters:
  otlp_http:
    endpoint: ${backend.url}
    retry_on_failure: { enabled: false }
    sending_queue: { enabled: false }
service:
  telemetry: { metrics: { level: detailed, readers: [ { pull: { exporter: { prometheus: { host: ${LOOPBACK}, port: ${metricsPort} } } } } ] } }
  pipelines:
    logs: { receivers: [otlp], exporters: [otlp_http] }
    traces: { receivers: [otlp], exporters: [otlp_http] }
`;
}

async function run(context: LaneContext): Promise<void> {
  requireEngine();
  const program = await Collector.build(context);
  const [port, metricsPort] = (await freePorts(LOOPBACK, [0, 0])) as [number, number];
  const backend = await NextBackend.start();
  const directory = join(context.directory, "meshproof");
  mkdirSync(directory);
  const configFile = join(context.directory, "collector.yaml");
  writeFileSync(configFile, collectorConfig(port, metricsPort, backend));
  const start = (): Promise<Collector> => Collector.start(context, program, [configFile]);
  let collector = await start();
  const server = await ServerProcess.start(
    directory,
    `exporters: { otlp_http: { endpoint: "http://${LOOPBACK}:${port}", link_wait: 0s, retry_on_failure: { initial_interval: 200ms, max_interval: 1s } } }`,
    context,
  );
  try {
    await context.check(
      `${SENT} records go through meshproof and the Collector, each once, with the leaf index of its row`,
      () => checkAllArrive(server, backend, 0),
    );
    await context.check(`the proofs of ${PROVED} of them hold, found by the index they carry`, () =>
      checkProofs(server, backend),
    );
    await context.check("meshproof's metrics have the names and labels of the Collector's", () =>
      checkMetrics(server, metricsPort),
    );
    await context.check(
      "the Collector is ended and started again under load: nothing is missing",
      async () => {
        const sending = sendAll(server, SENT);
        await setTimeout(50);
        await collector.stop();
        await sending;
        await setTimeout(2_000);
        collector = await start();
        return arrived(backend, 2 * SENT);
      },
    );
    await context.check(
      "behind it all is refused for a while, and the Collector refuses in turn: nothing is missing",
      async () => {
        backend.answer = () => ({ status: 503, headers: { "retry-after": "1" } });
        await sendAll(server, 2 * SENT);
        await setTimeout(2_000);
        backend.answer = () => ({ status: 200 });
        return arrived(backend, 3 * SENT);
      },
    );
    await context.check("meshproof verifies what it passed on", async () => {
      await assertVerified(server);
    });
  } finally {
    await collector.kill();
    await server.kill();
    await backend.stop();
  }
}

/** Requests of every kind; `first` is the number of the first record of each. */
async function sendAll(server: ServerProcess, first: number): Promise<void> {
  for (let i = 0; i < REQUESTS; i++) {
    const from = first + i * PER_REQUEST;
    for (const [signal, body] of [
      ["logs", applicationBody(PER_REQUEST, from)],
      ["logs", envoyBody(PER_REQUEST, from)],
      ["traces", spanBody(PER_REQUEST, from)],
    ] as const) {
      const response = await send(server.otlp(signal), body);
      assert.equal(response.status, 200, await response.text());
    }
  }
}

const leafOf = ({ attributes }: ReceivedRecord): number =>
  Number(attributes["meshproof.leaf_index"]);

/** Waits until as many records of different leaves have come. Returns how often one came again. */
async function arrived(backend: NextBackend, count: number): Promise<string> {
  const leaves = (): Set<number> => new Set(backend.accepted().map(leafOf));
  for (const deadline = Date.now() + TIME_LIMIT_MS; leaves().size < count;) {
    if (Date.now() > deadline) throw new Error(`expected ${count} records, got ${leaves().size}`);
    await setTimeout(200);
  }
  const all = backend.accepted().length;
  return `${all - count} of ${all} came twice`;
}

async function checkAllArrive(
  server: ServerProcess,
  backend: NextBackend,
  first: number,
): Promise<string> {
  await sendAll(server, first);
  await arrived(backend, SENT);
  await setTimeout(1_000);
  const records = backend.accepted();
  assert.equal(records.length, SENT, "each once");
  const rows = await server.query<{ leaf: string; trace: string }>(
    `SELECT toString(LeafIndex) AS leaf, TraceId AS trace FROM access_records
     UNION ALL SELECT toString(LeafIndex), TraceId FROM otel_logs
     UNION ALL SELECT toString(LeafIndex), TraceId FROM otel_traces`,
  );
  const sealed = new Map(rows.map(({ leaf, trace }) => [Number(leaf), trace]));
  for (const one of records)
    assert.equal(
      (one.record["traceId"] as Buffer).toString("hex"),
      sealed.get(leafOf(one)),
      `leaf ${leafOf(one)}`,
    );
  return `${records.length} records in ${backend.requests.length} requests`;
}

async function checkProofs(server: ServerProcess, backend: NextBackend): Promise<void> {
  const records = backend.accepted();
  for (let i = 0; i < PROVED; i++) {
    const { attributes } = records[Math.floor((i * records.length) / PROVED)]!;
    const index = String(attributes["meshproof.leaf_index"]);
    const config = ["--config", server.configFile];
    const proved = await runCommand("prove", index, ...config, "--output", server.directory);
    assert.equal(proved.code, 0, proved.stderr);
    const proof = join(server.directory, `${index}.tlog-proof`);
    const checked = await runCommand("verify-proof", proof, ...config);
    assert.equal(checked.code, 0, checked.stderr);
  }
}

/** What the Collector has and meshproof has not; docs/metrics.md says why. */
const ONLY_THERE =
  /^(?:promhttp_|http_client_|http_server_response_body_size|otelcol_exporter_(?:enqueue_size|in_flight_requests)|otelcol_process_runtime_total_alloc_bytes)/;
/** Labels of a connection or a release, by which no dashboard selects. */
const ONLY_LABELLED_THERE: ReadonlySet<string> = new Set([
  "server_address",
  "server_port",
  "url_path",
  "url_scheme",
  "network_protocol_version",
  "error_type",
  "error_permanent",
  "data_type",
  "otel_scope_name",
  "otel_scope_version",
  "otel_scope_schema_url",
]);

async function checkMetrics(server: ServerProcess, metricsPort: number): Promise<string> {
  const [ours, theirs] = await Promise.all(
    [server.ports.metrics, metricsPort].map(async (port) =>
      labelsByName(await (await fetch(`http://${LOOPBACK}:${port}/metrics`)).text()),
    ),
  );
  const common = [...theirs!].filter(([name]) => !ONLY_THERE.test(name));
  for (const [name, labels] of common) {
    const own = ours!.get(name);
    assert.ok(own !== undefined, `${name} is in the Collector's metrics alone`);
    const lacking = [...labels].filter(
      (label) => !own.has(label) && !ONLY_LABELLED_THERE.has(label),
    );
    assert.deepEqual(lacking, [], `labels of ${name}`);
  }
  assert.ok(common.length >= 15, `${common.length} names`);
  return `${common.length} names, with their labels`;
}

function labelsByName(text: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const [, name, labels = ""] of text.matchAll(/^([a-z_0-9]+)(?:\{(.*)\})? \S+$/gm)) {
    const names = found.get(name!) ?? new Set();
    for (const [, label] of labels.matchAll(/([a-z_]+)="/g)) names.add(label!);
    found.set(name!, names);
  }
  return found;
}
