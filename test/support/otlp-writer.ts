import protobuf from "protobufjs";

/**
 * OTLP export requests written field by field with protobufjs' Writer: an encoder that shares nothing with the code under test.
 * Field numbers: opentelemetry-proto 1.11.
 */
const { Writer } = protobuf;
type Writer = protobuf.Writer;
type Long = Exclude<Parameters<Writer["int64"]>[0], number | string>;

export type Value =
  | string
  | boolean
  | bigint
  | number
  | Uint8Array
  | null
  | Value[]
  | { [key: string]: Value };
export type Attributes = readonly (readonly [string, Value])[];

export interface LogInput {
  time?: bigint;
  observed?: bigint;
  severityNumber?: number;
  severityText?: string;
  body?: Value;
  attributes?: Attributes;
  dropped?: number;
  flags?: number;
  traceId?: Uint8Array;
  spanId?: Uint8Array;
  eventName?: string;
}

export interface SpanInput {
  traceId?: Uint8Array;
  spanId?: Uint8Array;
  parentSpanId?: Uint8Array;
  traceState?: string;
  name?: string;
  kind?: number;
  start?: bigint;
  end?: bigint;
  attributes?: Attributes;
  events?: { time?: bigint; name?: string; attributes?: Attributes; dropped?: number }[];
  links?: {
    traceId?: Uint8Array;
    spanId?: Uint8Array;
    traceState?: string;
    attributes?: Attributes;
    dropped?: number;
    flags?: number;
  }[];
  status?: { code?: number; message?: string };
  flags?: number;
  dropped?: number;
  droppedEvents?: number;
  droppedLinks?: number;
}

export interface Batch<T> {
  resource?: Attributes;
  resourceSchemaUrl?: string;
  scopes: {
    name?: string;
    version?: string;
    attributes?: Attributes;
    schemaUrl?: string;
    records: readonly T[];
  }[];
}

/** An int attribute: a bigint. A double: a number. */
function value(w: Writer, v: Value): void {
  if (v === null) return;
  if (typeof v === "string") w.uint32(10).string(v);
  else if (typeof v === "boolean") w.uint32(16).bool(v);
  else if (typeof v === "bigint") w.uint32(24).int64(long(v));
  else if (typeof v === "number") w.uint32(33).double(v);
  else if (v instanceof Uint8Array) w.uint32(58).bytes(v);
  else if (Array.isArray(v)) {
    w.uint32(42).fork();
    for (const item of v) {
      w.uint32(10).fork();
      value(w, item);
      w.ldelim();
    }
    w.ldelim();
  } else {
    w.uint32(50).fork();
    for (const [key, item] of Object.entries(v)) keyValue(w, 10, key, item);
    w.ldelim();
  }
}

function long(v: bigint): Long {
  const bits = BigInt.asUintN(64, v);
  return {
    low: Number(bits & 0xffff_ffffn) | 0,
    high: Number(bits >> 32n) | 0,
    unsigned: false,
  } as Long;
}

function keyValue(w: Writer, tag: number, key: string, v: Value): void {
  w.uint32(tag).fork();
  w.uint32(10).string(key).uint32(18).fork();
  value(w, v);
  w.ldelim().ldelim();
}

function attributes(w: Writer, tag: number, list: Attributes | undefined): void {
  for (const [key, v] of list ?? []) keyValue(w, tag, key, v);
}

function log(w: Writer, r: LogInput): void {
  if (r.time !== undefined) w.uint32(9).fixed64(long(r.time));
  if (r.severityNumber !== undefined) w.uint32(16).int32(r.severityNumber);
  if (r.severityText !== undefined) w.uint32(26).string(r.severityText);
  if (r.body !== undefined) {
    w.uint32(42).fork();
    value(w, r.body);
    w.ldelim();
  }
  attributes(w, 50, r.attributes);
  if (r.dropped !== undefined) w.uint32(56).uint32(r.dropped);
  if (r.flags !== undefined) w.uint32(69).fixed32(r.flags);
  if (r.traceId !== undefined) w.uint32(74).bytes(r.traceId);
  if (r.spanId !== undefined) w.uint32(82).bytes(r.spanId);
  if (r.observed !== undefined) w.uint32(89).fixed64(long(r.observed));
  if (r.eventName !== undefined) w.uint32(98).string(r.eventName);
}

function span(w: Writer, s: SpanInput): void {
  if (s.traceId !== undefined) w.uint32(10).bytes(s.traceId);
  if (s.spanId !== undefined) w.uint32(18).bytes(s.spanId);
  if (s.traceState !== undefined) w.uint32(26).string(s.traceState);
  if (s.parentSpanId !== undefined) w.uint32(34).bytes(s.parentSpanId);
  if (s.name !== undefined) w.uint32(42).string(s.name);
  if (s.kind !== undefined) w.uint32(48).int32(s.kind);
  if (s.start !== undefined) w.uint32(57).fixed64(long(s.start));
  if (s.end !== undefined) w.uint32(65).fixed64(long(s.end));
  attributes(w, 74, s.attributes);
  if (s.dropped !== undefined) w.uint32(80).uint32(s.dropped);
  for (const event of s.events ?? []) {
    w.uint32(90).fork();
    if (event.time !== undefined) w.uint32(9).fixed64(long(event.time));
    if (event.name !== undefined) w.uint32(18).string(event.name);
    attributes(w, 26, event.attributes);
    if (event.dropped !== undefined) w.uint32(32).uint32(event.dropped);
    w.ldelim();
  }
  if (s.droppedEvents !== undefined) w.uint32(96).uint32(s.droppedEvents);
  for (const link of s.links ?? []) {
    w.uint32(106).fork();
    if (link.traceId !== undefined) w.uint32(10).bytes(link.traceId);
    if (link.spanId !== undefined) w.uint32(18).bytes(link.spanId);
    if (link.traceState !== undefined) w.uint32(26).string(link.traceState);
    attributes(w, 34, link.attributes);
    if (link.dropped !== undefined) w.uint32(40).uint32(link.dropped);
    if (link.flags !== undefined) w.uint32(53).fixed32(link.flags);
    w.ldelim();
  }
  if (s.droppedLinks !== undefined) w.uint32(112).uint32(s.droppedLinks);
  if (s.status !== undefined) {
    w.uint32(122).fork();
    if (s.status.message !== undefined) w.uint32(18).string(s.status.message);
    if (s.status.code !== undefined) w.uint32(24).int32(s.status.code);
    w.ldelim();
  }
  if (s.flags !== undefined) w.uint32(133).fixed32(s.flags);
}

function request<T>(batches: readonly Batch<T>[], record: (w: Writer, r: T) => void): Buffer {
  const w = Writer.create();
  for (const batch of batches) {
    w.uint32(10).fork();
    w.uint32(10).fork();
    attributes(w, 10, batch.resource);
    w.ldelim();
    for (const scope of batch.scopes) {
      w.uint32(18).fork();
      w.uint32(10).fork();
      if (scope.name !== undefined) w.uint32(10).string(scope.name);
      if (scope.version !== undefined) w.uint32(18).string(scope.version);
      attributes(w, 26, scope.attributes);
      w.ldelim();
      for (const r of scope.records) {
        w.uint32(18).fork();
        record(w, r);
        w.ldelim();
      }
      if (scope.schemaUrl !== undefined) w.uint32(26).string(scope.schemaUrl);
      w.ldelim();
    }
    if (batch.resourceSchemaUrl !== undefined) w.uint32(26).string(batch.resourceSchemaUrl);
    w.ldelim();
  }
  return Buffer.from(w.finish());
}

/** An ExportLogsServiceRequest. */
export function writeLogs(batches: readonly Batch<LogInput>[]): Buffer {
  return request(batches, log);
}

/** An ExportTraceServiceRequest. */
export function writeTraces(batches: readonly Batch<SpanInput>[]): Buffer {
  return request(batches, span);
}

/** One resource, one scope. */
export function oneScope<T>(
  records: readonly T[],
  resource: Attributes = [["service.name", "orders"]],
): Batch<T>[] {
  return [{ resource, scopes: [{ records }] }];
}
