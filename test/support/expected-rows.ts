import assert from "node:assert/strict";
import { TABLES, type Table } from "../../src/records/columns.ts";
import { decodeRow, type RowValue } from "../../src/records/row-codec.ts";
import { ROW_PREFIX_LENGTH, type RowSection } from "../../src/core/rows.ts";
import type { Attributes, Batch, LogInput, SpanInput, Value } from "./otlp-writer.ts";

/**
 * What a row must hold, worked out from the objects that a request was written from, with plain JavaScript values and none of the code under test.
 * Texts are latin1 strings of their bytes, times and 64-bit numbers bigints, maps arrays of pairs in the order of their keys' bytes.
 */
export type Expected = Record<string, unknown>;

const MAX_TIMESTAMP = 4_291_747_199_999_999_999n;

export function textOf(value: Value): string {
  return bytes(Buffer.from(plainText(value), "utf8"));
}

function bytes(buffer: Uint8Array): string {
  return Buffer.from(buffer).toString("latin1");
}

function plainText(value: Value): string {
  if (value === null) return "";
  if (typeof value === "string") return value;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  return jsonOf(value);
}

function jsonOf(value: Value): string {
  if (value === null) return "null";
  if (typeof value === "string") return jsonString(value);
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? plainText(value) : `"${value}"`;
  if (value instanceof Uint8Array) return `"${Buffer.from(value).toString("base64")}"`;
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(",")}]`;
  return `{${Object.entries(value)
    .map(([key, item]) => `${jsonString(key)}:${jsonOf(item)}`)
    .join(",")}}`;
}

/** As JSON.stringify, but for the escapes that it shortens to \b and \f, and lone surrogates that cannot occur here. */
function jsonString(text: string): string {
  return JSON.stringify(text).replaceAll(
    /\\([bf])|\\u([0-9a-f]{4})/g,
    (whole, short: string | undefined) =>
      short === "b" ? "\\u0008" : short === "f" ? "\\u000c" : whole,
  );
}

export function mapOf(attributes: Attributes | undefined): [string, string][] {
  return (attributes ?? [])
    .map(([key, value], i) => ({ key: Buffer.from(key), value, i }))
    .sort((a, b) => Buffer.compare(a.key, b.key) || a.i - b.i)
    .map(({ key, value }) => [bytes(key), textOf(value)]);
}

function idOf(id: Uint8Array | undefined): string {
  return id === undefined || id.every((byte) => byte === 0) ? "" : Buffer.from(id).toString("hex");
}

function clamp(time: bigint): bigint {
  return time > MAX_TIMESTAMP ? MAX_TIMESTAMP : time;
}

function rawOf(time: bigint): bigint {
  return time > MAX_TIMESTAMP ? time : 0n;
}

function lastOf(attributes: Attributes | undefined, name: string): string {
  const found = (attributes ?? []).findLast(([key]) => key === name);
  return found === undefined ? "" : textOf(found[1]);
}

export function expectedLog(
  batch: Batch<LogInput>,
  scope: Batch<LogInput>["scopes"][number],
  log: LogInput,
  receivedAtNs: bigint,
): Expected {
  const time = log.time || log.observed || receivedAtNs;
  return {
    Timestamp: clamp(time),
    TraceId: idOf(log.traceId),
    SpanId: idOf(log.spanId),
    TraceFlags: (log.flags ?? 0) & 0xff,
    SeverityText: textOf(log.severityText ?? ""),
    SeverityNumber: Math.min(log.severityNumber ?? 0, 255),
    ServiceName: lastOf(batch.resource, "service.name"),
    Body: textOf(log.body ?? null),
    ResourceSchemaUrl: textOf(batch.resourceSchemaUrl ?? ""),
    ResourceAttributes: mapOf(batch.resource),
    ScopeSchemaUrl: textOf(scope.schemaUrl ?? ""),
    ScopeName: textOf(scope.name ?? ""),
    ScopeVersion: textOf(scope.version ?? ""),
    ScopeAttributes: mapOf(scope.attributes),
    LogAttributes: mapOf(log.attributes),
    EventName: textOf(log.eventName ?? ""),
    TimestampRaw: rawOf(time),
    ObservedTimestamp: clamp(log.observed ?? 0n),
    DroppedAttributesCount: log.dropped ?? 0,
    FlagsRaw: (log.flags ?? 0) > 0xff ? log.flags : 0,
  };
}

const SPAN_KINDS = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
const STATUS_CODES = ["Unset", "Ok", "Error"];

export function expectedSpan(
  batch: Batch<SpanInput>,
  scope: Batch<SpanInput>["scopes"][number],
  span: SpanInput,
  receivedAtNs: bigint,
): Expected {
  const start = span.start || receivedAtNs;
  const end = span.end ?? 0n;
  const ordered = Boolean(span.start) && end >= start;
  const events = span.events ?? [];
  const links = span.links ?? [];
  return {
    Timestamp: clamp(start),
    TraceId: idOf(span.traceId),
    SpanId: idOf(span.spanId),
    ParentSpanId: idOf(span.parentSpanId),
    TraceState: textOf(span.traceState ?? ""),
    SpanName: textOf(span.name ?? ""),
    SpanKind: SPAN_KINDS[span.kind ?? 0] ?? "Unspecified",
    ServiceName: lastOf(batch.resource, "service.name"),
    ResourceAttributes: mapOf(batch.resource),
    ScopeName: textOf(scope.name ?? ""),
    ScopeVersion: textOf(scope.version ?? ""),
    SpanAttributes: mapOf(span.attributes),
    Duration: ordered ? end - start : 0n,
    StatusCode: STATUS_CODES[span.status?.code ?? 0] ?? "Unset",
    StatusMessage: textOf(span.status?.message ?? ""),
    "Events.Timestamp": events.map((event) => clamp(event.time ?? 0n)),
    "Events.Name": events.map((event) => textOf(event.name ?? "")),
    "Events.Attributes": events.map((event) => mapOf(event.attributes)),
    "Links.TraceId": links.map((link) => idOf(link.traceId)),
    "Links.SpanId": links.map((link) => idOf(link.spanId)),
    "Links.TraceState": links.map((link) => textOf(link.traceState ?? "")),
    "Links.Attributes": links.map((link) => mapOf(link.attributes)),
    TimestampRaw: rawOf(start),
    EndTimestampRaw: ordered && start <= MAX_TIMESTAMP ? 0n : end,
    TraceFlags: span.flags ?? 0,
    ResourceSchemaUrl: textOf(batch.resourceSchemaUrl ?? ""),
    ScopeSchemaUrl: textOf(scope.schemaUrl ?? ""),
    ScopeAttributes: mapOf(scope.attributes),
    DroppedAttributesCount: span.dropped ?? 0,
    DroppedEventsCount: span.droppedEvents ?? 0,
    DroppedLinksCount: span.droppedLinks ?? 0,
    "Events.DroppedAttributesCount": events.map((event) => event.dropped ?? 0),
    "Links.DroppedAttributesCount": links.map((link) => link.dropped ?? 0),
    "Links.TraceFlags": links.map((link) => link.flags ?? 0),
  };
}

/** Expected values of all records of a request, in order. */
export function expectedRows<T>(
  batches: readonly Batch<T>[],
  one: (batch: Batch<T>, scope: Batch<T>["scopes"][number], record: T) => Expected,
): Expected[] {
  return batches.flatMap((batch) =>
    batch.scopes.flatMap((scope) => scope.records.map((record) => one(batch, scope, record))),
  );
}

/** Rows of a section as column → value, in the form of `Expected`. */
export function actualRows(section: RowSection | undefined): Expected[] {
  if (section === undefined) return [];
  const table: Table = Object.values(TABLES).find((one) => one.kind === section.kind)!;
  return Array.from({ length: section.count }, (_, i) => {
    const row = section.bytes.subarray(
      section.offsets[i]! + ROW_PREFIX_LENGTH,
      section.offsets[i + 1],
    );
    return Object.fromEntries(
      decodeRow(table, row).map((value, c) => [table.columns[c]!.name, plain(value)]),
    );
  });
}

/** Those columns of a row that `expected` has. */
export function pick(row: Expected | undefined, expected: Expected): Expected {
  return Object.fromEntries(Object.keys(expected).map((name) => [name, row?.[name]]));
}

/** Compares rows one by one. Throws at the first that is not as expected; `name` is what they are of. */
export function assertRows(
  actual: readonly Expected[],
  expected: readonly Expected[],
  name: string,
): void {
  assert.equal(actual.length, expected.length, `${name} has ${actual.length} rows`);
  for (const [i, row] of expected.entries())
    assert.deepEqual(pick(actual[i], row), row, `${name}, record ${i}`);
}

function plain(value: RowValue | [Buffer, Buffer]): unknown {
  if (Buffer.isBuffer(value)) return value.toString("latin1");
  if (Array.isArray(value)) return value.map((item) => plain(item as RowValue));
  return value;
}
