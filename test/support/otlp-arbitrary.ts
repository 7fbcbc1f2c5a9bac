import fc from "fast-check";
import type { Plain } from "./otlp-proto.ts";

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.string({ maxLength: 300 }),
  fc.constantFrom("", '"', "\\", "\u0000", "é/😀", "\u007f\u0080\uffff"),
);
const uint32 = fc.oneof(fc.nat({ max: 10 }), fc.constantFrom(0xffff_ffff, 0x8000_0000));
const uint64 = fc
  .oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(0n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n),
  )
  .map(String);
const int64 = fc
  .oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.constantFrom(0n, -1n, 2n ** 53n + 1n, -(2n ** 63n)),
  )
  .map(String);
const int32 = fc.oneof(fc.nat({ max: 24 }), fc.constantFrom(-1, 0x7fff_ffff, -0x8000_0000));
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const id = (length: number) =>
  fc.oneof(
    fc.constant(Buffer.alloc(0)),
    fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array)),
  );
/** Arrays that stay small. */
export const some = <T>(item: fc.Arbitrary<T>, maxLength = 3) => fc.array(item, { maxLength });
const message = (fields: { [key: string]: fc.Arbitrary<unknown> }) =>
  fc.record(fields, { requiredKeys: [] }) as fc.Arbitrary<Plain>;

const { anyValue } = fc.letrec((tie) => ({
  anyValue: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({ stringValue: text }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: int64 }),
    fc.record({ doubleValue: fc.oneof(fc.double(), fc.integer()) }),
    fc.record({ bytesValue: bytes }),
    fc.constant({}),
    fc.record({ arrayValue: message({ values: some(tie("anyValue")) }) }),
    fc.record({
      kvlistValue: message({ values: some(message({ key: text, value: tie("anyValue") })) }),
    }),
  ),
}));
const attributes = some(message({ key: text, value: anyValue }), 4);
const scope = message({ name: text, version: text, attributes, droppedAttributesCount: uint32 });
const entityRefs = some(
  message({ schemaUrl: text, type: text, idKeys: some(text), descriptionKeys: some(text) }),
  2,
);
const resource = message({ attributes, droppedAttributesCount: uint32, entityRefs });
const logRecord = message({
  timeUnixNano: uint64,
  severityNumber: int32,
  severityText: text,
  body: anyValue,
  attributes,
  droppedAttributesCount: uint32,
  flags: uint32,
  traceId: id(16),
  spanId: id(8),
  observedTimeUnixNano: uint64,
  eventName: text,
});
const event = message({
  timeUnixNano: uint64,
  name: text,
  attributes,
  droppedAttributesCount: uint32,
});
const link = message({
  traceId: id(16),
  spanId: id(8),
  traceState: text,
  attributes,
  droppedAttributesCount: uint32,
  flags: uint32,
});
const span = message({
  traceId: id(16),
  spanId: id(8),
  traceState: text,
  parentSpanId: id(8),
  name: text,
  kind: int32,
  startTimeUnixNano: uint64,
  endTimeUnixNano: uint64,
  attributes,
  droppedAttributesCount: uint32,
  events: some(event),
  droppedEventsCount: uint32,
  links: some(link),
  droppedLinksCount: uint32,
  status: message({ message: text, code: int32 }),
  flags: uint32,
});
/** Any ExportLogsServiceRequest, as a plain message. */
export const logsRequest = message({
  resourceLogs: some(
    message({
      resource,
      scopeLogs: some(message({ scope, logRecords: some(logRecord), schemaUrl: text })),
      schemaUrl: text,
    }),
  ),
});
/** Any ExportTraceServiceRequest, as a plain message. */
export const tracesRequest = message({
  resourceSpans: some(
    message({
      resource,
      scopeSpans: some(message({ scope, spans: some(span), schemaUrl: text })),
      schemaUrl: text,
    }),
  ),
});
