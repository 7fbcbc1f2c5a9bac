import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import {
  type AnyValue,
  type Attributes,
  context,
  createTraceState,
  diag,
  DiagConsoleLogger,
  DiagLogLevel,
  type HrTime,
  type Link,
  ROOT_CONTEXT,
  SeverityNumber,
  type SpanContext,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "@opentelemetry/api";
import { OTLPLogExporter as JsonLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as ProtoLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPTraceExporter as JsonTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchLogRecordProcessor,
  LoggerProvider,
  type LogRecordExporter,
} from "@opentelemetry/sdk-logs";
import {
  BatchSpanProcessor,
  type SpanExporter,
  StackContextManager,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

/**
 * A program of a user of the JavaScript SDK: spans, and logs inside and outside of them. Where to and how is said by OTEL_EXPORTER_OTLP_*
 * alone. Beside that it writes down what it sent, in its own words, and what the exporter told it of each batch (`manifest.ts` says the form).
 * `program.py` does the same with the Python SDK.
 */
const { values: options } = parseArgs({
  options: {
    encoding: { type: "string", default: "proto" },
    service: { type: "string" },
    records: { type: "string" },
    manifest: { type: "string" },
    deep: { type: "boolean", default: false },
    queue: { type: "string", default: "2048" },
  },
});
const RECORDS = Number(options.records);
const BASE_S = 1_790_000_000;
const SPANS_OF_A_TRACE = 10;
/** Of a span and of a log record, by default. */
const ATTRIBUTE_LIMIT = 128;

/** What spans and their events and links may have; the SDK refuses other values there, and says so. */
const SPAN_VALUES: readonly AnyValue[] = [
  "plain",
  'ünï "quoted" \\ \n \u{1f980}',
  "",
  true,
  false,
  0,
  Number.MAX_SAFE_INTEGER,
  -Number.MAX_SAFE_INTEGER,
  0.1,
  -1.5e300,
  5e-324,
  Number.POSITIVE_INFINITY,
  Number.NaN,
  ["a", "", "ü"],
  [1, -2, 3],
  [0.5, -0.25],
  [true, false],
  [],
];
/** Logs may have any value. */
const LOG_VALUES: readonly AnyValue[] = [
  ...SPAN_VALUES,
  new Uint8Array([0, 1, 254, 255]),
  new Uint8Array(),
  { text: "ä", nested: { n: 1, list: [1, "two", [false]] }, "a key with spaces": 2.5 },
  {},
  ["mixed", 1, [true, { deep: 0.5 }]],
  null,
];
const SEVERITIES = Object.entries(SeverityNumber).filter(
  (entry): entry is [string, SeverityNumber] => typeof entry[1] === "number",
);

const time = (n: number): HrTime => [BASE_S + Math.floor(n / 10), (n * 1_000_003) % 1_000_000_000];
const later = ([s, ns]: HrTime, plusNs: number): HrTime => [
  s + Math.floor((ns + plusNs) / 1e9),
  (ns + plusNs) % 1e9,
];
const nanoseconds = ([s, ns]: HrTime): string => String(BigInt(s) * 1_000_000_000n + BigInt(ns));

/** The form of a value in the manifest. A number without a fraction is an integer: JavaScript knows no other. */
function written(value: AnyValue): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === "string") return { string: value };
  if (typeof value === "boolean") return { bool: value };
  // JSON has no NaN and no infinity: this SDK writes null, which is an absent value.
  if (options.encoding === "json" && typeof value === "number" && !Number.isFinite(value))
    return null;
  if (typeof value === "number")
    return Number.isInteger(value) && Math.abs(value) < 2 ** 63
      ? { int: String(value) }
      : { double: Number.isFinite(value) ? value : String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return { array: value.map(written) };
  return { map: writtenMap(value as Record<string, AnyValue>) };
}

const writtenMap = (map: Readonly<Record<string, AnyValue>>): [string, unknown][] =>
  Object.entries(map).map(([key, value]) => [key, written(value)]);

function oddAttributes(n: number, odd: readonly AnyValue[]): Record<string, AnyValue> {
  const attributes: Record<string, AnyValue> = { n, text: `value ${n}`, ratio: n / 7 };
  attributes[`odd ${n % odd.length}`] = odd[n % odd.length]!;
  if (n % 97 === 96) for (let i = 0; i < ATTRIBUTE_LIMIT; i++) attributes[`many ${i}`] = i;
  return attributes;
}

/** What of the attributes the SDK keeps, and how many it drops: it takes no new key once it has as many as it may. */
function limited<T>(attributes: Record<string, T>): { kept: Record<string, T>; dropped: number } {
  const entries = Object.entries(attributes);
  return {
    kept: Object.fromEntries(entries.slice(0, ATTRIBUTE_LIMIT)),
    dropped: Math.max(0, entries.length - ATTRIBUTE_LIMIT),
  };
}

const diagnostics: string[] = [];
const say =
  (level: string) =>
  (message: string, ...rest: unknown[]) =>
    void diagnostics.push([level, message, ...rest].map(String).join(" "));
diag.setLogger(
  Object.assign(new DiagConsoleLogger(), {
    info: say("info"),
    warn: say("warn"),
    error: say("error"),
  }),
  DiagLogLevel.INFO,
);
context.setGlobalContextManager(new StackContextManager().enable());

interface Export {
  readonly signal: "logs" | "traces";
  readonly records: number[];
  readonly startedMs: number;
  readonly endedMs: number;
  readonly error: string | null;
}
const exports: Export[] = [];

/** Writes down what the exporter says of each batch. */
function watched<E extends LogRecordExporter | SpanExporter>(
  exporter: E,
  signal: Export["signal"],
): E {
  const act = exporter.export.bind(exporter) as (
    batch: unknown[],
    done: Parameters<E["export"]>[1],
  ) => void;
  exporter.export = (batch: { attributes: Attributes }[], done: Parameters<E["export"]>[1]) => {
    const startedMs = Date.now();
    act(batch, (result) => {
      exports.push({
        signal,
        records: batch.map(({ attributes }) => Number(attributes["n"])),
        startedMs,
        endedMs: Date.now(),
        // Where there is none, it was sent.
        error: result.error?.message ?? null,
      });
      done(result);
    });
  };
  return exporter;
}

const resourceAttributes: Attributes = {
  "service.name": options.service!,
  "service.instance.id": "ünï-1",
  "process.pid": 4242,
  "process.command_args": ["node", "--flag", ""],
  empty: "",
};
const resource = resourceFromAttributes(resourceAttributes, {
  schemaUrl: "https://opentelemetry.io/schemas/1.40.0",
});
const exporters: { logs: LogRecordExporter; traces: SpanExporter } =
  options.encoding === "json"
    ? { logs: new JsonLogExporter(), traces: new JsonTraceExporter() }
    : { logs: new ProtoLogExporter(), traces: new ProtoTraceExporter() };
const maxQueueSize = Number(options.queue);
const loggers = new LoggerProvider({
  resource,
  processors: [
    new BatchLogRecordProcessor({ exporter: watched(exporters.logs, "logs"), maxQueueSize }),
  ],
});
const tracers = new TracerProvider({
  resource,
  spanProcessors: [
    new BatchSpanProcessor({ exporter: watched(exporters.traces, "traces"), maxQueueSize }),
  ],
});
const SCOPES = [
  { name: "shop", version: "1.4.0", schemaUrl: "https://example.org/schema", attributes: {} },
  { name: "plain", version: "", schemaUrl: "", attributes: {} },
] as const;
const logger = (n: number) => {
  const { name, version, schemaUrl } = SCOPES[n % 2]!;
  return version === "" ? loggers.getLogger(name) : loggers.getLogger(name, version, { schemaUrl });
};
const tracer = (n: number) => {
  const { name, version, schemaUrl } = SCOPES[n % 2]!;
  return version === "" ? tracers.getTracer(name) : tracers.getTracer(name, version, { schemaUrl });
};

const logs: unknown[] = [];
const spans: unknown[] = [];

function log(n: number, within: SpanContext | null): void {
  const at = time(n);
  const [severityText, severityNumber] = SEVERITIES[n % SEVERITIES.length]!;
  const attributes = oddAttributes(n, LOG_VALUES);
  const body = n % 3 === 0 ? `log ${n}` : LOG_VALUES[n % LOG_VALUES.length]!;
  const eventName = n % 5 === 0 ? `event.${n % 7}` : undefined;
  logger(n).emit({
    timestamp: at,
    observedTimestamp: later(at, 17),
    severityText,
    severityNumber,
    body,
    attributes,
    ...(eventName === undefined ? {} : { eventName }),
  });
  const { kept, dropped } = limited(attributes);
  logs.push({
    n,
    scope: n % 2,
    time: nanoseconds(at),
    observed: nanoseconds(later(at, 17)),
    severityText,
    severityNumber,
    body: written(body),
    attributes: writtenMap(kept),
    dropped,
    eventName: eventName ?? "",
    traceId: within?.traceId ?? "",
    spanId: within?.spanId ?? "",
    flags: within?.traceFlags ?? 0,
  });
}

const remoteParent = (n: number): SpanContext => ({
  traceId: (n + 1).toString(16).padStart(32, "a"),
  spanId: (n + 1).toString(16).padStart(16, "b"),
  traceFlags: TraceFlags.SAMPLED,
  isRemote: true,
  traceState: createTraceState("vendor=value,other=1"),
});

/** An access log of a gateway in the program, of the request that its span is: the words are Envoy's. */
function accessLog(n: number, { traceId, spanId }: SpanContext): void {
  const attributes = {
    n: 1_000_000 + n,
    method: "GET",
    path: `/orders/${n}`,
    protocol: "HTTP/2",
    response_code: 200,
    response_flags: "-",
    response_code_details: "via_upstream",
    upstream_cluster: "inbound|8080||",
    duration: 3,
    request_id: `${options.service}-${n}`,
    downstream_remote_address: "10.1.2.3:40312",
  };
  logger(n).emit({ timestamp: time(n), attributes });
  accessLogs.push({ requestId: attributes.request_id, path: attributes.path, traceId, spanId });
}

const accessLogs: unknown[] = [];
let parent: SpanContext | null = null;
for (let n = 0; n < RECORDS; n++) {
  const isFirst = n % SPANS_OF_A_TRACE === 0;
  if (isFirst) parent = n % (3 * SPANS_OF_A_TRACE) === 0 ? remoteParent(n) : null;
  const at = time(n);
  const attributes = oddAttributes(n, SPAN_VALUES);
  const links: Link[] = Array.from({ length: n % 4 === 0 ? 2 : 0 }, (_, l) => ({
    context: { ...remoteParent(n * 10 + l), isRemote: l === 1 },
    attributes: { l, why: "bätch" },
  }));
  const span = tracer(n).startSpan(
    `GET /${n % 20}`,
    { kind: n % 5, startTime: at, attributes: attributes as Attributes, links },
    parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
  );
  const own = span.spanContext();
  const events = Array.from({ length: n % 3 }, (_, e) => ({
    name: `event ${e}`,
    time: later(at, e + 1),
    attributes: { e, list: ["x", "y"], odd: SPAN_VALUES[(n + e) % SPAN_VALUES.length]! },
  }));
  for (const event of events) span.addEvent(event.name, event.attributes as Attributes, event.time);
  const status = [
    { code: SpanStatusCode.UNSET },
    { code: SpanStatusCode.OK },
    { code: SpanStatusCode.ERROR, message: "it bröke" },
  ][n % 3]!;
  span.setStatus(status);
  if (n % 7 === 0) log(n, null);
  else context.with(trace.setSpan(context.active(), span), () => log(n, own));
  if (n % 20 === 1) context.with(trace.setSpan(context.active(), span), () => accessLog(n, own));
  const end = later(at, n * 1001);
  span.end(end);
  const { kept, dropped } = limited(attributes);
  const isRemote = (one: SpanContext | null): number => (one?.isRemote === true ? 0x300 : 0x100);
  spans.push({
    n,
    scope: n % 2,
    name: `GET /${n % 20}`,
    // Of the protocol: one more than in the API, which knows no "unspecified".
    kind: (n % 5) + 1,
    traceId: own.traceId,
    spanId: own.spanId,
    parentSpanId: parent?.spanId ?? "",
    traceState: own.traceState?.serialize() ?? "",
    start: nanoseconds(at),
    end: nanoseconds(end),
    attributes: writtenMap(kept),
    dropped,
    events: events.map((event) => ({
      name: event.name,
      time: nanoseconds(event.time),
      attributes: writtenMap(event.attributes),
    })),
    links: links.map((link) => ({
      traceId: link.context.traceId,
      spanId: link.context.spanId,
      traceState: link.context.traceState?.serialize() ?? "",
      attributes: writtenMap(link.attributes as Record<string, AnyValue>),
      flags: isRemote(link.context) | link.context.traceFlags,
    })),
    status: { code: status.code, message: status.message ?? "" },
    flags: isRemote(parent) | own.traceFlags,
  });
  parent ??= own;
}
if (options.deep) {
  let deep: AnyValue = "bottom";
  for (let i = 0; i < 150; i++) deep = [deep];
  logger(0).emit({ body: deep, attributes: { n: -1 } });
}
// It rejects when a batch could not be sent; `exports` has which.
await Promise.allSettled([loggers.shutdown(), tracers.shutdown()]);
writeFileSync(
  options.manifest!,
  JSON.stringify({
    resource: {
      schemaUrl: resource.schemaUrl ?? "",
      attributes: writtenMap(resource.attributes as Record<string, AnyValue>),
    },
    scopes: SCOPES.map((scope) => ({ ...scope, attributes: writtenMap(scope.attributes) })),
    logs,
    spans,
    accessLogs,
    exports,
    diagnostics,
  }),
);
