import { createHash } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { TABLES, type Table } from "../../src/records/columns.ts";
import { cutRow } from "../../src/records/cut.ts";
import { decodeRow, type RowInput, type RowValue } from "../../src/records/row-codec.ts";
import { rowOf } from "../support/rows.ts";

const LEAST_SIZE = 4096;

/** Values that are too long in as many ways as a column's type allows. */
function longValue(type: string): fc.Arbitrary<RowInput | undefined> {
  const text = fc.nat(6000).map((length) => "é".repeat(length / 2));
  const short = fc.nat(40).map((length) => "k".repeat(length));
  const map = fc.array(fc.tuple(fc.oneof(short, text), text), { maxLength: 40 });
  if (type === "String" || type === "LowCardinality(String)") return fc.oneof(text, short);
  if (type.startsWith("Map")) return map;
  if (type === "Array(String)" || type === "Array(LowCardinality(String))")
    return fc.array(text, { maxLength: 40 });
  return fc.constant(undefined);
}

/** A row with as many long values as may be; Nested columns are of one length. */
function longRow(table: Table): fc.Arbitrary<Uint8Array> {
  const own = table.columns.filter(
    ({ name }) => !/^(Events|Links)\.|^Truncations$|^Redactions$/.test(name),
  );
  const columns = Object.fromEntries(own.map(({ name, type }) => [name, longValue(type)]));
  return fc
    .record(columns, { requiredKeys: [] })
    .map((given) =>
      rowOf(
        table,
        Object.fromEntries(
          Object.entries(given).filter(([, value]) => value !== undefined),
        ) as Record<string, RowInput>,
      ),
    );
}

t.test("a cut row never exceeds its bound, and names each value that it cut", async () => {
  const tables = [TABLES.access, TABLES.span, TABLES.log];
  fc.assert(
    fc.property(
      fc.constantFrom(...tables).chain((table) => fc.tuple(fc.constant(table), longRow(table))),
      fc.constantFrom(LEAST_SIZE, 8192, 65_536),
      ([table, row], maxBytes) => {
        if (row.length <= maxBytes) return true;
        const cut = cutRow(table, row, maxBytes);
        const before = decodeRow(table, row);
        const after = decodeRow(table, cut);
        const notes = (
          after[table.columns.findIndex(({ name }) => name === "Truncations")] as Buffer[]
        ).map(String);
        const named = table.columns.every(({ name }, i) => {
          if (name === "Truncations" || isEqual(before[i]!, after[i]!)) return true;
          if (notes[0] === `row ${row.length} bytes sha256:${sha256(row)}`) return true;
          const value = before[i]!;
          if (!Buffer.isBuffer(value)) return notes.some((note) => note.startsWith(name));
          return (
            notes.includes(`${name} ${value.length} bytes sha256:${sha256(value)}`) &&
            (after[i] as Buffer).toString().endsWith("…")
          );
        });
        return cut.length <= maxBytes && notes.length > 0 && named;
      },
    ),
    { numRuns: 150 },
  );
});

t.test("a span of many events with many attributes fits the least bound", async (t) => {
  const events = Array.from({ length: 300 }, (_, i) => i);
  const attributes = events.map(() =>
    events.slice(0, 30).map((i) => [`key ${i}`, "x".repeat(500)] as const),
  );
  const row = rowOf(TABLES.span, {
    "Events.Timestamp": events.map(() => 1n),
    "Events.Name": events.map((i) => `event ${i} ${"y".repeat(300)}`),
    "Events.Attributes": attributes,
    "Events.DroppedAttributesCount": events,
  } as Record<string, RowInput>);
  for (const maxBytes of [LEAST_SIZE, 100_000]) {
    const cut = cutRow(TABLES.span, row, maxBytes);
    t.ok(cut.length <= maxBytes);
    const values = decodeRow(TABLES.span, cut);
    const lengths = TABLES.span.columns
      .map(({ name }, i) => (name.startsWith("Events.") ? (values[i] as unknown[]).length : -1))
      .filter((length) => length >= 0);
    t.equal(new Set(lengths).size, 1, "the parts of a Nested structure stay of one length");
  }
});

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function isEqual(a: RowValue, b: RowValue): boolean {
  const plain = (value: RowValue): string =>
    JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? String(item) : item));
  return plain(a) === plain(b);
}
