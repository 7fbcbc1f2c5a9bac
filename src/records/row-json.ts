import { decodeText, toHex } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Kind } from "../core/kinds.ts";
import { type ColumnType, PLACE_COLUMNS, type Table, TABLE_OF_KIND } from "./columns.ts";
import { decodeRow, readColumns, RowReader, type RowValue } from "./row-codec.ts";

/**
 * Rows as people and programs outside see them: JSON with one field a column.
 *
 * 64-bit integers are strings, since a JSON number is a double for most who read it; times are RFC 3339 with nine digits; the salt is
 * lower-case hex; addresses are text as ClickHouse prints it; bytes that are not UTF-8 show as U+FFFD. A map is an object, in which the
 * last of several equal keys wins.
 */
export type RecordJson = Record<string, unknown>;

/** A row as ClickHouse or the journal gives it: behind LogId and LeafIndex. */
export interface PlacedRow {
  readonly logId: string;
  readonly leafIndex: bigint;
  /** The sealed bytes, without the place in front. Shares memory with what was read. */
  readonly row: Uint8Array;
  /** The columns, with `LogId` and `LeafIndex` in front. */
  readonly record: RecordJson;
}

/**
 * The columns of a row of this kind.
 * Throws: ROW_INVALID.
 */
export function rowToJson(kind: Kind, row: Uint8Array): RecordJson {
  const table = tableOf(kind);
  return toJson(table, decodeRow(table, row));
}

/**
 * Rows of one kind that stand one behind the other, each behind its place: a section's bytes, or the answer to
 * `SELECT LogId, LeafIndex, <columns> … FORMAT RowBinary`.
 * Throws: ROW_INVALID when the bytes end within a row.
 */
export function placedRows(kind: Kind, bytes: Uint8Array): PlacedRow[] {
  const table = tableOf(kind);
  const reader = new RowReader(bytes);
  const rows: PlacedRow[] = [];
  while (reader.position < bytes.length) {
    const [logId, leafIndex] = readColumns(reader, PLACE_COLUMNS) as [Uint8Array, bigint];
    const start = reader.position;
    const values = readColumns(reader, table.columns);
    const place = { LogId: decodeText(logId), LeafIndex: String(leafIndex) };
    rows.push({
      logId: place.LogId,
      leafIndex,
      row: bytes.subarray(start, reader.position),
      record: { ...place, ...toJson(table, values) },
    });
  }
  return rows;
}

function tableOf(kind: Kind): Table {
  const table = TABLE_OF_KIND.get(kind);
  if (table !== undefined) return table;
  throw new MeshproofError("ROW_INVALID", `expected a row of kind 1 to 6, got kind ${kind}`);
}

function toJson(table: Table, values: readonly RowValue[]): RecordJson {
  return Object.fromEntries(
    table.columns.map(({ name, type }, i) => [name, FORMS[type](values[i] as never)]),
  );
}

type Form = (value: never) => unknown;

const asIs: Form = (value: number) => value;
const digits: Form = (value: bigint) => String(value);
const text: Form = (value: Uint8Array) => (value.length === 0 ? "" : decodeText(value));
const listOf =
  (form: Form): Form =>
  (values: readonly RowValue[]) =>
    values.map((value) => form(value as never));
// Not by assignment: a key may be __proto__.
const object: Form = (pairs: readonly [Uint8Array, Uint8Array][]) =>
  Object.fromEntries(pairs.map(([key, value]) => [decodeText(key), decodeText(value)]));

const FORMS: Readonly<Record<ColumnType, Form>> = {
  UInt8: asIs,
  UInt16: asIs,
  UInt32: asIs,
  UInt64: digits,
  Int8: asIs,
  Int16: asIs,
  Int64: digits,
  Float32: shortestFloat32,
  String: text,
  "LowCardinality(String)": text,
  "FixedString(16)": toHex,
  "DateTime64(9)": formatTime,
  IPv6: formatAddress,
  "Map(LowCardinality(String), String)": object,
  "Array(String)": listOf(text),
  "Array(LowCardinality(String))": listOf(text),
  "Array(UInt32)": listOf(asIs),
  "Array(UInt64)": listOf(digits),
  "Array(DateTime64(9))": listOf(formatTime),
  "Array(Map(LowCardinality(String), String))": listOf(object),
};

/** Digits that tell any two 32-bit floats apart (IEEE 754-2019, section 5.12.2). */
const FLOAT32_DIGITS = 9;

/** The double with the fewest digits that is `value` as a 32-bit float: 0.9, not 0.8999999761581421. */
function shortestFloat32(value: number): number {
  for (let count = 1; count < FLOAT32_DIGITS; count++) {
    const short = Number(value.toPrecision(count));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

const NS_PER_SECOND = 1_000_000_000n;
const MS_PER_SECOND = 1000;

/** A time as RFC 3339, UTC, nine digits. 64 bits of nanoseconds span the years 1677 to 2262, so every year has four digits. */
export function formatTime(nanoseconds: bigint): string {
  const fraction = ((nanoseconds % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  const seconds = Number((nanoseconds - fraction) / NS_PER_SECOND);
  const whole = new Date(seconds * MS_PER_SECOND).toISOString().slice(0, -".000Z".length);
  return `${whole}.${String(fraction).padStart(9, "0")}Z`;
}

/** An IPv6 address as RFC 5952 and ClickHouse write it, IPv4 addresses in it with dots. */
function formatAddress(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes[i * 2]! * 0x100 + bytes[i * 2 + 1]!);
  const gap = longestZeroRun(groups);
  const tail = groups.map((group) => group.toString(16));
  // Mapped (::ffff:a.b.c.d, RFC 4291, section 2.5.5.2) and compatible (::a.b.c.d, section 2.5.5.1); ::1 and :: have longer runs.
  if (gap.start === 0 && (gap.end === 6 || (gap.end === 5 && groups[5] === 0xffff)))
    tail.splice(6, 2, bytes.subarray(12).join("."));
  if (gap.end - gap.start < 2) return tail.join(":");
  return `${tail.slice(0, gap.start).join(":")}::${tail.slice(gap.end).join(":")}`;
}

/** The first of the longest runs of zero groups: what `::` stands for. */
function longestZeroRun(groups: readonly number[]): {
  readonly start: number;
  readonly end: number;
} {
  let best = { start: 0, end: 0 };
  let start = 0;
  for (const [i, group] of groups.entries()) {
    if (group !== 0) start = i + 1;
    else if (i + 1 - start > best.end - best.start) best = { start, end: i + 1 };
  }
  return best;
}
