import fc from "fast-check";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { type ColumnType, TABLES } from "../../src/records/columns.ts";
import { findingSection } from "../../src/records/own-rows.ts";
import { decodeRow, encodeRow, type RowInput } from "../../src/records/row-codec.ts";
import { actualRows } from "../support/expected-rows.ts";

const bytes = (length?: number): fc.Arbitrary<Buffer> =>
  fc
    .uint8Array(
      length === undefined ? { maxLength: 300 } : { minLength: length, maxLength: length },
    )
    .map((value) => Buffer.from(value));
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const map = fc.array(fc.tuple(bytes(), bytes()), { maxLength: 4 });

/** Any value of each column type. */
const VALUES: Readonly<Record<ColumnType, fc.Arbitrary<unknown>>> = {
  UInt8: fc.integer({ min: 0, max: 255 }),
  UInt16: fc.integer({ min: 0, max: 65_535 }),
  UInt32: uint32,
  UInt64: uint64,
  Int8: fc.integer({ min: -128, max: 127 }),
  Int16: fc.integer({ min: -32_768, max: 32_767 }),
  Int64: int64,
  Float32: fc.float(),
  String: bytes(),
  "LowCardinality(String)": bytes(),
  "FixedString(16)": bytes(16),
  "DateTime64(9)": int64,
  IPv6: bytes(16),
  "Map(LowCardinality(String), String)": map,
  "Array(String)": fc.array(bytes(), { maxLength: 3 }),
  "Array(LowCardinality(String))": fc.array(bytes(), { maxLength: 3 }),
  "Array(UInt32)": fc.array(uint32, { maxLength: 3 }),
  "Array(UInt64)": fc.array(uint64, { maxLength: 3 }),
  "Array(DateTime64(9))": fc.array(int64, { maxLength: 3 }),
  "Array(Map(LowCardinality(String), String))": fc.array(map, { maxLength: 3 }),
};

for (const table of Object.values(TABLES)) {
  const values = fc.tuple(...table.columns.map((column) => VALUES[column.type]));

  t.test(`a row of ${table.name} decodes to what was encoded`, async (t) => {
    fc.assert(
      fc.property(values, (row) => {
        t.same(decodeRow(table, encodeRow(table, row as RowInput[])), row);
      }),
      { numRuns: 50 },
    );
  });

  t.test(`a row of ${table.name} that is cut or longer is refused`, async (t) => {
    const [row] = fc.sample(values, { numRuns: 1, seed: 7 });
    const encoded = encodeRow(table, row as RowInput[]);
    for (let length = 0; length < encoded.length; length++) {
      t.throws(() => decodeRow(table, encoded.subarray(0, length)), { code: "ROW_INVALID" });
    }
    t.throws(() => decodeRow(table, Buffer.concat([encoded, Buffer.alloc(1)])), {
      code: "ROW_INVALID",
    });
  });
}

t.test("any bytes decode to a row or are refused", async () => {
  fc.assert(
    fc.property(fc.constantFrom(...Object.values(TABLES)), bytes(), (table, row) => {
      try {
        decodeRow(table, row);
      } catch (error) {
        if (!(error instanceof MeshproofError) || error.code !== "ROW_INVALID") throw error;
      }
    }),
  );
});

t.test("a row of our own says what it was given, its map sorted by key", async (t) => {
  const section = findingSection("0123456789abcdef", [
    {
      timestampNs: 60_000_000_000n,
      findingKind: "rejected_record",
      severity: "error",
      state: "open",
      subject: "collector",
      traceId: "",
      message: "one",
      evidence: [1, 2 ** 40],
      detail: { b: "2", a: "1" },
    },
  ]);
  t.match(actualRows(section)[0], {
    LeafVersion: 1,
    Kind: 5,
    Timestamp: 60_000_000_000n,
    FindingKind: "rejected_record",
    Evidence: [1n, 1_099_511_627_776n],
    Detail: [
      ["a", "1"],
      ["b", "2"],
    ],
  });
});
