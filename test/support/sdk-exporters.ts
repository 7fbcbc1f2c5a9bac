import {
  context,
  SeverityNumber,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "@opentelemetry/api";
import type { OTLPLogExporter as HttpLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import type { OTLPLogExporter as ProtoLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import type { OTLPTraceExporter as HttpTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import type { OTLPTraceExporter as ProtoTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { digest } from "./traffic.ts";

/** Exports `count` logs of service `name` as an application does; the one of number `n` has the time 1790000000 s and `n` ns. */
export async function exportLogs(
  exporter: ProtoLogExporter | HttpLogExporter,
  name: string,
  count: number,
): Promise<void> {
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ "service.name": name }),
    processors: [new BatchLogRecordProcessor({ exporter, maxQueueSize: count })],
  });
  const logger = provider.getLogger("shop", "1.0");
  const span = {
    traceId: digest("sdk", 16).toString("hex"),
    spanId: digest("sdk", 8).toString("hex"),
    traceFlags: TraceFlags.SAMPLED,
  };
  const within = trace.setSpanContext(context.active(), span);
  for (let n = 0; n < count; n++) {
    logger.emit({
      timestamp: [1_790_000_000, n],
      body: `log ${n}`,
      severityNumber: SeverityNumber.WARN,
      severityText: "WARN",
      attributes: { n, ratio: 0.5, flag: true, list: ["a", "b"] },
      context: within,
    });
  }
  await provider.shutdown();
}

/** Exports a span "parent" and `count - 1` children of it, each with an event, an error and a time of its own. */
export async function exportSpans(
  exporter: ProtoTraceExporter | HttpTraceExporter,
  name: string,
  count: number,
): Promise<void> {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": name }),
    spanProcessors: [new BatchSpanProcessor({ exporter, maxQueueSize: count })],
  });
  const tracer = provider.getTracer("shop", "1.0");
  const parent = tracer.startSpan("parent");
  const within = trace.setSpan(context.active(), parent);
  for (let n = 1; n < count; n++) {
    const span = tracer.startSpan(
      `span ${n}`,
      { kind: SpanKind.CLIENT, startTime: [1_790_000_000, n], attributes: { n } },
      within,
    );
    span.addEvent("retry", { attempt: 2 }, [1_790_000_001, n]);
    span.setStatus({ code: SpanStatusCode.ERROR, message: "refused" });
    span.end([1_790_000_001, 500_000_000 + 2 * n]);
  }
  parent.end();
  await provider.shutdown();
}
