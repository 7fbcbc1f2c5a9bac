import { createHash } from "node:crypto";
import type { Kind } from "../../src/core/kinds.ts";
import {
  LEAF_INDEX_OFFSET,
  ROW_PREFIX_LENGTH,
  type PlacedBatch,
  type RowSection,
} from "../../src/core/rows.ts";
import { patchLeafIndexes } from "../../src/journal/frame.ts";
import { TABLES, type ColumnType, type Table } from "../../src/records/columns.ts";
import {
  decodeRow,
  encodeRow,
  type MapInput,
  type RowInput,
  type RowValue,
} from "../../src/records/row-codec.ts";

export const LOG_ID = "00112233aabbccdd";

function emptyValue(type: ColumnType): RowInput {
  if (type === "FixedString(16)" || type === "IPv6") return Buffer.alloc(16);
  if (/^(Map|Array)/.test(type)) return [];
  if (type.includes("String")) return "";
  return /64/.test(type) ? 0n : 0;
}

/** A row of `table` with some columns set, all others empty. */
export function makeRow(table: Table, columns: Readonly<Record<string, RowInput>>): Uint8Array {
  return encodeRow(
    table,
    table.columns.map(({ name, type }) => {
      if (name === "LeafVersion") return 1;
      if (name === "Kind") return table.kind;
      return columns[name] ?? emptyValue(type);
    }),
  );
}

/** Rows of one kind behind empty prefixes. */
export function makeSection(kind: Kind, rows: readonly Uint8Array[]): RowSection {
  const prefix = Buffer.alloc(ROW_PREFIX_LENGTH);
  prefix[0] = LEAF_INDEX_OFFSET - 1;
  prefix.write(LOG_ID, 1);
  const offsets = new Uint32Array(rows.length + 1);
  for (const [i, row] of rows.entries())
    offsets[i + 1] = offsets[i]! + ROW_PREFIX_LENGTH + row.length;
  return {
    kind,
    count: rows.length,
    bytes: Buffer.concat(rows.flatMap((row) => [prefix, row])),
    offsets,
    hashes: Buffer.concat(rows.map((row) => createHash("sha256").update(row).digest())),
  };
}

export function place(sections: readonly RowSection[], firstIndex: number): PlacedBatch {
  patchLeafIndexes({ sections }, firstIndex);
  return { sections, firstIndex, count: sections.reduce((sum, { count }) => sum + count, 0) };
}

/** A row in its place with its columns by name. */
export interface Sealed {
  readonly leafIndex: number;
  readonly kind: Kind;
  readonly row: Uint8Array;
  readonly columns: Readonly<Record<string, RowValue>>;
}

/** The rows of a batch. */
export function sealedRows({ sections, firstIndex }: PlacedBatch): Sealed[] {
  const rows: Sealed[] = [];
  let leafIndex = firstIndex;
  for (const { kind, count, bytes, offsets } of sections) {
    const table: Table = Object.values(TABLES).find((one) => one.kind === kind)!;
    for (let i = 0; i < count; i++) {
      const row = bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]);
      const values = decodeRow(table, row);
      const columns = Object.fromEntries(table.columns.map(({ name }, c) => [name, values[c]!]));
      rows.push({ leafIndex: leafIndex++, kind, row, columns });
    }
  }
  return rows;
}

export const msToNs = (ms: number): bigint => BigInt(Math.round(ms * 1000)) * 1000n;

export interface RecordInput {
  readonly traceId?: string;
  readonly spanId?: string;
  /** When it was received and when it began, in milliseconds. */
  readonly received: number;
  readonly start?: number;
}

export interface AccessRowInput extends RecordInput {
  readonly requestId?: string;
  readonly dialect?: string;
}

export function accessRow({
  traceId,
  spanId,
  received,
  start = received,
  requestId = "",
  dialect = "envoy_otel",
}: AccessRowInput): Uint8Array {
  return makeRow(TABLES.access, {
    ReceivedTimestamp: msToNs(received),
    Sender: "sender",
    SenderAuth: "none",
    Timestamp: msToNs(start),
    Phase: "end",
    TraceId: traceId ?? "",
    SpanId: spanId ?? "",
    RequestId: requestId,
    Path: "/orders",
    Dialect: dialect,
  });
}

export interface SpanRowInput extends RecordInput {
  readonly service?: string;
  readonly name?: string;
  readonly kind?: string;
  readonly scope?: string;
  readonly resource?: MapInput;
  readonly attributes?: MapInput;
}

export function spanRow(span: SpanRowInput): Uint8Array {
  const { received, start = received, resource = [["host.name", "h"]] } = span;
  return makeRow(TABLES.span, {
    ReceivedTimestamp: msToNs(received),
    Sender: "sender",
    SenderAuth: "none",
    Timestamp: msToNs(start),
    TraceId: span.traceId ?? "",
    SpanId: span.spanId ?? "",
    SpanName: span.name ?? "ingress",
    SpanKind: span.kind ?? "Server",
    ServiceName: span.service ?? "orders",
    ResourceAttributes: resource,
    ScopeName: span.scope ?? "",
    SpanAttributes: span.attributes ?? [],
  });
}

/** A span as a proxy makes it of a request that comes in. */
export function proxySpanRow(span: SpanRowInput): Uint8Array {
  return spanRow({ scope: "envoy", ...span });
}

export function hex(number: number, digits: number): string {
  return number.toString(16).padStart(digits, "0");
}

/** A generator of numbers in [0, 1) that gives the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}
