import { createHash } from "node:crypto";
import t from "tap";
import type { LeafBatch } from "../../src/core/verification.ts";
import { type DropPart, planDrop } from "../../src/retention/drop-plan.ts";
import { expiresAtNs, longest } from "../../src/retention/periods.ts";
import { TABLES } from "../../src/records/columns.ts";
import { formatRuns, MAX_RUNS_TEXT, parseRuns } from "../../src/records/drops.ts";
import { parsePartition } from "../../src/store/retention.ts";
import { encodeEntry } from "../../src/tlog/entry.ts";
import { encodeBundle } from "../../src/tlog/tiles.ts";
import type { Kind } from "../../src/core/kinds.ts";

const hashOf = (index: number): Buffer => createHash("sha256").update(`row ${index}`).digest();

interface Plan {
  readonly kindAt: (index: number) => Kind;
  /** Is the row to go? */
  readonly goes: (index: number) => boolean;
  readonly size: number;
  readonly from?: number;
  readonly to?: number;
  readonly isWhole?: boolean;
  readonly change?: (batch: { indexes: bigint[]; hashes: Buffer[] }) => void;
}

/** The parts of a plan over a log of logs (kind 3) and others. */
async function planOf(plan: Plan): Promise<DropPart[]> {
  const { size, kindAt, goes } = plan;
  const parts: DropPart[] = [];
  const rows = async function* (from: number, to: number): AsyncGenerator<LeafBatch> {
    const batch = { indexes: [] as bigint[], hashes: [] as Buffer[] };
    for (let i = Math.min(to, size) - 1; i >= from; i--)
      if (kindAt(i) === 3 && goes(i)) {
        batch.indexes.push(BigInt(i));
        batch.hashes.push(hashOf(i));
      }
    plan.change?.(batch);
    const { indexes, hashes } = batch;
    if (indexes.length > 0)
      yield { indexes: BigUint64Array.from(indexes), rowHashes: Buffer.concat(hashes) };
  };
  const bundle = async (index: number) => {
    const width = Math.min(256, size - index * 256);
    const entries = Array.from({ length: width }, (_, i) =>
      encodeEntry(kindAt(index * 256 + i), hashOf(index * 256 + i)),
    );
    return { bytes: encodeBundle(entries), width };
  };
  const { from = 0, to = size, isWhole = false } = plan;
  for await (const part of planDrop({ table: TABLES.log, from, to, rows, bundle, isWhole }))
    parts.push(part);
  return parts;
}

/** The hash as docs/design/retention.md has it. */
function hashOver(indexes: readonly number[]): string {
  const hash = createHash("sha256");
  for (const index of indexes) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(index));
    hash.update(bytes).update(hashOf(index));
  }
  return hash.digest("hex");
}

t.test("a run reaches over leaves of other kinds, and ends at rows that stay", async (t) => {
  const kindAt = (index: number): Kind => (index % 2 === 0 ? 3 : 2);
  const all = await planOf({ size: 1001, kindAt, goes: () => true });
  t.match(all, [{ first: 0, last: 1000, leaves: "0-1000", count: 501 }]);
  const stays = new Set([4, 600, 602, 998]);
  const [some, ...others] = await planOf({ size: 1001, kindAt, goes: (i) => !stays.has(i) });
  t.same(others, []);
  t.equal(some!.leaves, "0-2 6-598 604-996 1000");
  const gone = Array.from({ length: 501 }, (_, i) => i * 2).filter((i) => !stays.has(i));
  t.equal(some!.count, gone.length);
  t.equal(some!.hash.toString("hex"), hashOver(gone));
});

t.test("the runs of all parts name exactly the rows, and each part is bounded", async (t) => {
  const goes = (index: number): boolean => index % 3 !== 1;
  const size = 70_000;
  const expected = Array.from({ length: size }, (_, i) => i).filter(goes);
  const plan = { size, kindAt: () => 3 as Kind, goes };
  const parts = await planOf(plan);
  t.ok(parts.length > 1);
  const named: number[] = [];
  for (const part of parts) {
    t.ok(part.leaves.length < MAX_RUNS_TEXT + 64);
    const leaves = parseRuns(part.leaves).flatMap(({ first, last }) =>
      Array.from({ length: last - first + 1 }, (_, i) => first + i),
    );
    t.same([leaves[0], leaves.at(-1), leaves.length], [part.first, part.last, part.count]);
    t.equal(part.hash.toString("hex"), hashOver(leaves));
    named.push(...leaves);
    const [again] = await planOf({ ...plan, from: part.first, to: part.last + 1, isWhole: true });
    t.ok(again!.hash.equals(part.hash), "it can be computed again for its range alone");
  }
  t.ok(named.length === expected.length && named.every((index, i) => index === expected[i]));
  t.equal((await planOf({ ...plan, isWhole: true })).length, 1);
});

t.test("rows that are not what was sealed are not planned", async (t) => {
  const plan = { size: 600, goes: () => true, kindAt: (i: number): Kind => (i === 5 ? 2 : 3) };
  const wrong: [Plan["change"], RegExp][] = [
    [({ hashes }) => hashes[0]!.fill(0), /record 599 in otel_logs is not what was sealed/],
    [
      ({ indexes, hashes }) => (indexes.push(5n), hashes.push(hashOf(5))),
      /record 5 in otel_logs is not what was sealed/,
    ],
    [
      ({ indexes, hashes }) => (indexes.push(7n), hashes.push(hashOf(7))),
      /record 7 in otel_logs is there more than once/,
    ],
    [
      ({ indexes, hashes }) => (indexes.push(600n), hashes.push(hashOf(600))),
      /record 600 in otel_logs is not what was sealed/,
    ],
  ];
  for (const [change, message] of wrong)
    await t.rejects(planOf({ ...plan, change }), { code: "ROW_TAMPERED", message });
  t.same(await planOf({ ...plan, goes: () => false }), []);
});

t.test("runs are read back as they were written, and nothing else is", async (t) => {
  const runs = [
    { first: 0, last: 0 },
    { first: 2, last: 9 },
    { first: 10, last: 2 ** 53 - 1 },
  ];
  t.equal(formatRuns(runs), "0 2-9 10-9007199254740991");
  t.same(parseRuns(formatRuns(runs)), runs);
  t.same(parseRuns("1,2, 3-4"), [
    { first: 1, last: 1 },
    { first: 2, last: 2 },
    { first: 3, last: 4 },
  ]);
  for (const text of [
    "",
    "a",
    "-1",
    "1-",
    "5-4",
    "3 3",
    "1-5 5-6",
    "01",
    "9007199254740992",
    "1e3",
    "1 ",
  ])
    t.throws(() => parseRuns(text), { code: "ROW_INVALID" }, JSON.stringify(text));
});

t.test("a partition is over when its newest possible row is", async (t) => {
  const at = (partition: string, count: number, unit: "days" | "months"): string =>
    new Date(Number(expiresAtNs(partition, { count, unit }) / 1_000_000n)).toISOString();
  t.equal(at("202601", 13, "months"), "2027-03-01T00:00:00.000Z");
  t.equal(at("202612", 1, "months"), "2027-02-01T00:00:00.000Z");
  t.equal(at("202601", 90, "days"), "2026-05-02T00:00:00.000Z");
  t.equal(at("20260101", 7, "days"), "2026-01-09T00:00:00.000Z");
  t.equal(at("20261231", 1, "days"), "2027-01-02T00:00:00.000Z");
  t.equal(at("20260130", 1, "months"), "2026-03-03T00:00:00.000Z", "later, never sooner");
  t.same(
    longest({
      default: { count: 13, unit: "months" },
      hipaa: { count: 72, unit: "months" },
      short: { count: 400, unit: "days" },
    }),
    { count: 72, unit: "months" },
  );
});

t.test("partitions are known by the names that ClickHouse gives them", async (t) => {
  t.same(parsePartition("('default',202601)"), { class: "default", period: "202601" });
  t.same(parsePartition("('a-b_c',20260131)"), { class: "a-b_c", period: "20260131" });
  t.same(parsePartition("202601"), { class: null, period: "202601" });
  for (const name of ["tuple()", "('x\\'',202601)", "2026", "('A',202601)", "2026011"])
    t.equal(parsePartition(name), null, name);
});
