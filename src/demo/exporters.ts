import { SeverityNumber, SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import { OTLPLogExporter as JsonLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import { MeshproofError } from "../core/errors.ts";
import type { AccessRecord, ApplicationLog, Source, Span } from "./plan.ts";

/**
 * The senders of a play: the exporters of OpenTelemetry's JavaScript SDK as any application has them, and nothing of ours, towards the OTLP port.
 * Access records and spans go as protobuf, the applications' logs as JSON.
 */

type ReadableSpan = Parameters<OTLPTraceExporter["export"]>[0][number];
type ReadableLog = Parameters<OTLPLogExporter["export"]>[0][number];
type HrTime = ReadableSpan["startTime"];

interface Exporter<T> {
  export(items: T[], done: (result: { code: number; error?: Error }) => void): void;
  shutdown(): Promise<void>;
}

/** Sends records of a play. Each promise resolves when the receiver has acknowledged them. */
export interface Senders {
  sendAccess(records: readonly AccessRecord[]): Promise<void>;
  sendSpans(spans: readonly Span[]): Promise<void>;
  sendLogs(logs: readonly ApplicationLog[]): Promise<void>;
  close(): Promise<void>;
}

const SPAN_KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
} as const;
const SEVERITIES = {
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
} as const;
/** The SDK's ExportResultCode for success. */
const SUCCESS = 0;
const NS_PER_SECOND = 1_000_000_000n;

/** Senders to the OTLP port at `url`. */
export function createSenders(url: string): Senders {
  const accessExporter = new OTLPLogExporter({ url: `${url}/v1/logs` });
  const spanExporter = new OTLPTraceExporter({ url: `${url}/v1/traces` });
  const logExporter = new JsonLogExporter({ url: `${url}/v1/logs` });
  const resources = new Map<Source, Resource>();
  const resourceOf = ({ source }: { readonly source: Source }): Resource => {
    let resource = resources.get(source);
    if (resource === undefined) {
      resource = resourceFromAttributes(source.resource);
      resources.set(source, resource);
    }
    return resource;
  };

  return {
    sendAccess: (records) =>
      send(
        accessExporter,
        records.map((record): ReadableLog => ({
          ...common(record, resourceOf(record)),
          hrTime: hrTime(record.startNs),
          // Envoy says nothing of when it observed, nor how severe it is.
          hrTimeObserved: [0, 0],
          ...(record.body === null ? {} : { body: record.body }),
        })),
      ),
    sendSpans: (spans) =>
      send(
        spanExporter,
        spans.map((span): ReadableSpan => ({
          ...common(span, resourceOf(span)),
          spanContext: () => contextOf(span),
          ...(span.parentSpanId === ""
            ? {}
            : { parentSpanContext: { ...contextOf(span), spanId: span.parentSpanId } }),
          name: span.name,
          kind: SPAN_KINDS[span.kind],
          startTime: hrTime(span.startNs),
          endTime: hrTime(span.endNs),
          duration: hrTime(span.endNs - span.startNs),
          ended: true,
          status: { code: span.isError ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
          links: [],
          events: [],
          droppedEventsCount: 0,
          droppedLinksCount: 0,
        })),
      ),
    sendLogs: (logs) =>
      send(
        logExporter,
        logs.map((log): ReadableLog => ({
          ...common(log, resourceOf(log)),
          hrTime: hrTime(log.startNs),
          hrTimeObserved: hrTime(log.startNs),
          severityNumber: SEVERITIES[log.severity],
          severityText: log.severity.toUpperCase(),
          body: log.body,
        })),
      ),
    close: async () => {
      await Promise.all([
        accessExporter.shutdown(),
        spanExporter.shutdown(),
        logExporter.shutdown(),
      ]);
    },
  };
}

type Record = AccessRecord | Span | ApplicationLog;

/** What the SDK's spans and log records have in common. */
function common(record: Record, resource: Resource) {
  return {
    resource,
    instrumentationScope: record.source.scope,
    attributes: { ...record.attributes },
    droppedAttributesCount: 0,
    spanContext: contextOf(record),
  };
}

function contextOf({ traceId, spanId, isSampled }: Record) {
  return { traceId, spanId, traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE };
}

function hrTime(ns: bigint): HrTime {
  return [Number(ns / NS_PER_SECOND), Number(ns % NS_PER_SECOND)];
}

/** Throws: UNAVAILABLE when the exporter gave up. */
function send<T>(exporter: Exporter<T>, items: T[]): Promise<void> {
  return new Promise((resolve, reject) => {
    exporter.export(items, ({ code, error }) => {
      if (code === SUCCESS) resolve();
      else
        reject(
          new MeshproofError(
            "UNAVAILABLE",
            `the exporter gave up a batch of ${items.length} records: ${error?.message ?? "no reason given"}`,
            { cause: error },
          ),
        );
    });
  });
}
