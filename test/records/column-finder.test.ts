import t from "tap";
import { KINDS } from "../../src/core/kinds.ts";
import { ROW_PREFIX_LENGTH } from "../../src/core/rows.ts";
import { behindLength, ColumnFinder, lengthAt } from "../../src/records/column-finder.ts";
import { TABLES, type ColumnType, type Table } from "../../src/records/columns.ts";
import { LinkSection } from "../../src/records/link-row.ts";
import { decodeRow, encodeColumns, encodeRow, type RowInput } from "../../src/records/row-codec.ts";
import { RowBuffer } from "../../src/records/row-buffer.ts";

/** Values of every type: empty, short, and longer than one byte of a length can say. */
function valueOf(type: ColumnType, size: number): RowInput {
  const text = "x".repeat(size);
  const map = Array.from({ length: size }, (_, i) => [`k${i}`, i === 0 ? text : ""] as const);
  switch (type) {
    case "String":
    case "LowCardinality(String)":
      return text;
    case "FixedString(16)":
    case "IPv6":
      return Buffer.alloc(16, 0xff);
    case "Map(LowCardinality(String), String)":
      return map;
    case "Array(String)":
    case "Array(LowCardinality(String))":
      return Array.from({ length: size }, () => text);
    case "Array(UInt32)":
      return Array.from({ length: size }, () => 0xffff_ffff);
    case "Array(UInt64)":
    case "Array(DateTime64(9))":
      return Array.from({ length: size }, () => 0xffff_ffff_ffffn);
    case "Array(Map(LowCardinality(String), String))":
      return Array.from({ length: size }, () => map);
    default:
      return /64/.test(type) ? -1n : 1;
  }
}

t.test("every column of every table is found where it was written", async (t) => {
  for (const table of Object.values<Table>(TABLES)) {
    for (const size of [0, 1, 5, 130]) {
      const values = table.columns.map(({ type }) => valueOf(type, size));
      const row = encodeRow(table, values);
      const expected: number[] = [];
      const out = new RowBuffer(row.length);
      for (const [i, column] of table.columns.entries()) {
        expected.push(out.position);
        encodeColumns(out, [column], [values[i]!]);
      }
      const all = new ColumnFinder(
        table,
        table.columns.map(({ name }) => name),
      );
      all.find(row, 0);
      t.same([...all.positions], expected, `${table.name}, size ${size}`);
      const shifted = Buffer.concat([Buffer.alloc(77, 0xff), row]);
      for (const [i, { name }] of table.columns.entries()) {
        const one = new ColumnFinder(table, [name]);
        one.find(shifted, 77);
        if (one.positions[0] !== expected[i]! + 77) t.fail(`${table.name}.${name}, size ${size}`);
      }
    }
  }
});

t.test("a column that is not there, or not in that order, is a programmer's mistake", async (t) => {
  t.throws(() => new ColumnFinder(TABLES.span, ["SpanId", "TraceId"]), /TraceId/);
  t.throws(() => new ColumnFinder(TABLES.span, ["Path"]), /Path/);
});

t.test("a length that never ends does not hang", async (t) => {
  const bytes = Buffer.alloc(4, 0xff);
  t.type(lengthAt(bytes, 0), "number");
  t.equal(behindLength(bytes, 0), 5);
});

t.test("a row of trace_links reads back as the link it was made from", async (t) => {
  const section = new LinkSection("0123456789abcdef");
  const links = [
    [0.1, 0, 2 ** 53 - 1, -(2n ** 63n)],
    [1, 2 ** 32, 2 ** 32 - 1, 2n ** 63n - 1n],
    [0.75, 5, 6, -1n],
  ] as const;
  for (const [confidence, accessLeaf, spanLeaf, clockDifferenceNs] of links)
    section.add({
      madeAtNs: 1_795_000_000_123_456_789n,
      traceId: Buffer.from("00112233445566778899aabbccddeeff", "hex"),
      rule: "request_id",
      confidence,
      accessLeaf,
      spanLeaf,
      clockDifferenceNs,
    });
  t.equal(section.count, 3);
  const { kind, count, bytes, offsets } = section.take();
  t.equal(section.count, 0);
  t.same([kind, count], [KINDS.link, 3]);
  for (const [i, [confidence, accessLeaf, spanLeaf, clockDifferenceNs]] of links.entries()) {
    const row = bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]);
    const values = decodeRow(TABLES.link, row);
    values[2] = 0; // salt
    t.same(values, [
      1,
      4,
      0,
      1_795_000_000_123_456_789n,
      Buffer.from("00112233445566778899aabbccddeeff"),
      Buffer.from("request_id"),
      Math.fround(confidence),
      Buffer.from("0123456789abcdef"),
      BigInt(accessLeaf),
      Buffer.from("0123456789abcdef"),
      BigInt(spanLeaf),
      clockDifferenceNs,
    ]);
  }
});
