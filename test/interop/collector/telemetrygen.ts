import assert from "node:assert/strict";
import type { ServerProcess } from "../../support/server-process.ts";
import { waitForCount } from "../../support/stored-rows.ts";
import type { LaneContext } from "../lane.ts";
import type { ShippedCollector } from "./shipped.ts";

/** Package of the program in `go/telemetrygen`. */
export const TELEMETRYGEN =
  "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen";
const TIME_LIMIT_MS = 60_000;
const WORKERS = 2;
const LOGS = 1500;
/** With two spans each these stay below what its SDK keeps in memory (2,048 spans); it drops the others itself, silently. */
const TRACES = 400;

/** The Collector project's own generator of traffic sends, logs by gRPC and traces by HTTP. */
export async function checkTelemetrygen(
  { check, children }: LaneContext,
  program: string,
  collector: ShippedCollector,
  server: ServerProcess,
): Promise<void> {
  const generate = async (...args: string[]): Promise<void> => {
    const common = ["--otlp-insecure", "--rate", "0", "--workers", String(WORKERS)];
    const { code, stdout, stderr } = await children.run(program, [...args, ...common], {
      timeLimitMs: TIME_LIMIT_MS,
    });
    assert.equal(code, 0, stdout + stderr);
  };
  await check("telemetrygen's logs, sent by gRPC, are stored once each", async () => {
    const attributes = ["n=5", 'text="a b"'].flatMap((one) => ["--telemetry-attributes", one]);
    await generate(
      "logs",
      "--otlp-endpoint",
      collector.grpc,
      "--logs",
      String(LOGS),
      ...attributes,
    );
    const sent = WORKERS * LOGS;
    const from = "FROM otel_logs WHERE ServiceName = 'telemetrygen'";
    await waitForCount(server, `SELECT count() ${from}`, sent);
    const rows = await server.query(
      `SELECT toUInt32(count()) AS rows, Body, SeverityText, SeverityNumber, LogAttributes ${from} GROUP BY ALL`,
    );
    assert.deepEqual(rows, [
      {
        rows: sent,
        Body: "the message",
        SeverityText: "Info",
        SeverityNumber: 9,
        LogAttributes: { app: "server", n: "5", text: "a b" },
      },
    ]);
    return `${sent} logs`;
  });
  await check("its traces, sent by HTTP, are stored once each, child below parent", async () => {
    const endpoint = ["--otlp-http", "--otlp-endpoint", collector.http];
    await generate("traces", ...endpoint, "--traces", String(TRACES));
    const sent = WORKERS * TRACES;
    const from = "FROM otel_traces WHERE ServiceName = 'telemetrygen'";
    await waitForCount(server, `SELECT count() ${from}`, 2 * sent);
    const [seen] = await server.query(
      `SELECT toUInt32(count()) AS spans, toUInt32(uniqExact(SpanId)) AS ids, toUInt32(uniqExact(TraceId)) AS traces,
        toUInt32(countIf(SpanName = 'lets-go' AND SpanKind = 'Client' AND ParentSpanId = '')) AS roots,
        toUInt32(countIf(SpanName = 'okey-dokey-0' AND SpanKind = 'Server' AND (TraceId, ParentSpanId) IN
          (SELECT TraceId, SpanId ${from} AND SpanName = 'lets-go'))) AS children ${from}`,
    );
    assert.deepEqual(seen, {
      spans: 2 * sent,
      ids: 2 * sent,
      traces: sent,
      roots: sent,
      children: sent,
    });
    return `${2 * sent} spans`;
  });
}
