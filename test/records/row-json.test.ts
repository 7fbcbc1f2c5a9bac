import t from "tap";
import { KINDS, type Kind } from "../../src/core/kinds.ts";
import { controlSection } from "../../src/records/own-rows.ts";
import { type Table, TABLES } from "../../src/records/columns.ts";
import type { RowInput } from "../../src/records/row-codec.ts";
import { formatTime, placedRows, rowToJson } from "../../src/records/row-json.ts";
import { rowOf } from "../support/rows.ts";

function field(table: Table, name: string, value: RowInput): unknown {
  return rowToJson(table.kind, rowOf(table, { [name]: value }))[name];
}

t.test("a record's fields are named as the columns, in their order", async (t) => {
  for (const table of Object.values(TABLES)) {
    t.same(
      Object.keys(rowToJson(table.kind, rowOf(table))),
      table.columns.map(({ name }) => name),
    );
  }
});

t.test("every type has its form in JSON", async (t) => {
  const { access, span, link, finding } = TABLES;
  t.equal(field(access, "Kind", 6), 6);
  t.equal(field(access, "GrpcStatus", -1), -1);
  t.equal(field(access, "SampledHint", -1), -1);
  t.equal(field(access, "DurationNs", -1n), "-1");
  t.equal(field(access, "TimestampRaw", 2n ** 64n - 1n), "18446744073709551615");
  t.equal(field(access, "Salt", Buffer.from("00ff".repeat(8), "hex")), "00ff".repeat(8));
  t.equal(field(access, "Timestamp", 1_753_000_000_123_456_789n), "2025-07-20T08:26:40.123456789Z");
  t.equal(field(access, "Path", "/ü/\u{1f980}"), "/ü/\u{1f980}");
  t.equal(field(access, "Path", Buffer.from([0x61, 0xff, 0x62])), "a\ufffdb");
  t.same(field(access, "ActorChain", ["a", "", "c"]), ["a", "", "c"]);
  t.same(field(finding, "Evidence", [1n, 2n ** 63n]), ["1", "9223372036854775808"]);
  t.same(field(span, "Links.TraceFlags", [0, 2 ** 32 - 1]), [0, 2 ** 32 - 1]);
  t.same(field(span, "Events.Timestamp", [0n, 1n]), [
    "1970-01-01T00:00:00.000000000Z",
    "1970-01-01T00:00:00.000000001Z",
  ]);
  t.same(field(span, "Events.Attributes", [[["a", "1"]], []]), [{ a: "1" }, {}]);
  for (const [value, expected] of [
    [0.9, 0.9],
    [1, 1],
    [0, 0],
    [1e-45, 1e-45],
    [1 / 3, 0.33333334],
    [3.4e38, 3.4e38],
  ] as const)
    t.equal(field(link, "Confidence", value), expected);
});

t.test("of equal keys in a map the last wins, and no key is special", async (t) => {
  const map = [
    ["", "nothing"],
    ["__proto__", "kept"],
    ["a", "first"],
    ["a", "last"],
    ["constructor", "kept"],
  ] as const;
  const json = JSON.stringify(field(TABLES.control, "Detail", map));
  t.equal(json, '{"":"nothing","__proto__":"kept","a":"last","constructor":"kept"}');
});

t.test("addresses read as ClickHouse prints them", async (t) => {
  for (const [hex, text] of [
    ["00000000000000000000000000000000", "::"],
    ["00000000000000000000000000000001", "::1"],
    ["00000000000000000000000000010002", "::0.1.0.2"],
    ["00000000000000000000ffff0a000001", "::ffff:10.0.0.1"],
    ["00000000000000000000fffe0a000001", "::fffe:a00:1"],
    ["00010000000000000000000000000000", "1::"],
    ["00010000000000020000000000000003", "1:0:0:2::3"],
    ["00010000000000020003000000000004", "1::2:3:0:0:4"],
    ["00010002000300040005000600070000", "1:2:3:4:5:6:7:0"],
    ["20010db80000000000000000abcd0001", "2001:db8::abcd:1"],
  ] as const)
    t.equal(field(TABLES.access, "PeerAddress", Buffer.from(hex, "hex")), text);
});

t.test("times read right at both ends of 64 bits and around the epoch", async (t) => {
  for (const [nanoseconds, text] of [
    [-(2n ** 63n), "1677-09-21T00:12:43.145224192Z"],
    [-1_000_000_001n, "1969-12-31T23:59:58.999999999Z"],
    [-1_000_000_000n, "1969-12-31T23:59:59.000000000Z"],
    [-1n, "1969-12-31T23:59:59.999999999Z"],
    [0n, "1970-01-01T00:00:00.000000000Z"],
    [2n ** 63n - 1n, "2262-04-11T23:47:16.854775807Z"],
  ] as const)
    t.equal(formatTime(nanoseconds), text);
});

t.test("rows behind their places come apart, each with its sealed bytes", async (t) => {
  const detail = (n: string): { readonly n: string } => ({ n });
  const section = controlSection("0123456789abcdef", [
    { timestampNs: 1n, controlKind: "start", detail: detail("1") },
    { timestampNs: 2n, controlKind: "stop", detail: detail("2") },
  ]);
  const view = new DataView(section.bytes.buffer, section.bytes.byteOffset);
  view.setBigUint64(section.offsets[1]! + 17, 2n ** 60n, true);
  const rows = placedRows(KINDS.control, section.bytes);
  t.match(rows, [
    { logId: "0123456789abcdef", leafIndex: 0n, record: { ControlKind: "start" } },
    { logId: "0123456789abcdef", leafIndex: 2n ** 60n, record: { Detail: { n: "2" } } },
  ]);
  t.same(Object.keys(rows[1]!.record).slice(0, 3), ["LogId", "LeafIndex", "LeafVersion"]);
  t.equal(rows[1]!.record["LeafIndex"], "1152921504606846976");
  for (const { row, record } of rows) {
    const { LogId: _log, LeafIndex: _leaf, ...columns } = record;
    t.same(rowToJson(KINDS.control, row), columns);
  }
  t.same(placedRows(KINDS.control, new Uint8Array(0)), []);
  for (const cut of [1, 17, 24, 25, section.offsets[1]! - 1, section.bytes.length - 1])
    t.throws(() => placedRows(KINDS.control, section.bytes.subarray(0, cut)), {
      code: "ROW_INVALID",
    });
});

t.test("what is no row of the kind is refused", async (t) => {
  const row = rowOf(TABLES.control);
  for (const kind of [0, 7, 255])
    t.throws(() => rowToJson(kind as Kind, row), { code: "ROW_INVALID" });
  t.throws(() => rowToJson(KINDS.control, new Uint8Array(0)), { code: "ROW_INVALID" });
  t.throws(() => rowToJson(KINDS.control, Buffer.concat([row, Buffer.alloc(1)])), {
    code: "ROW_INVALID",
  });
  // A count of four thousand million pairs in a row of 40 bytes ends with the bytes, not with the memory.
  const boast = Buffer.concat([row.subarray(0, -1), Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f])]);
  t.throws(() => rowToJson(KINDS.control, boast), { code: "ROW_INVALID" });
});
