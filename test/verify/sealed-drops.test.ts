import t from "tap";
import {
  type DropKind,
  DropHash,
  FINISHED,
  formatRuns,
  type Run,
} from "../../src/records/drops.ts";
import { TABLES } from "../../src/records/columns.ts";
import { encodeRow } from "../../src/records/row-codec.ts";
import { check, expectFaults } from "./expect-faults.ts";
import { kindAt, MemoryLog, rowHash } from "./memory-log.ts";

/** Rows of spans and logs are drops of otel_traces and otel_logs here: kinds 2 and 3. */
const TABLE_OF = { 2: "otel_traces", 3: "otel_logs" } as const;
type RowKind = keyof typeof TABLE_OF;

function controlRow(controlKind: string, detail: Readonly<Record<string, string>>): Uint8Array {
  const pairs = Object.entries(detail).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return encodeRow(TABLES.control, [1, 6, Buffer.alloc(16, 7), 1_800_000_000n, controlKind, pairs]);
}

function leavesOf(kind: RowKind, runs: readonly Run[]): number[] {
  return runs.flatMap(({ first, last }) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i).filter(
      (index) => kindAt(index) === kind,
    ),
  );
}

/** A record that names the rows of one kind in `runs`, and the rows themselves. */
function drop(
  dropKind: DropKind,
  kind: RowKind,
  runs: readonly Run[],
  changes: Readonly<Record<string, string>> = {},
): { row: Uint8Array; leaves: number[] } {
  const leaves = leavesOf(kind, runs);
  const hash = new DropHash();
  for (const index of leaves) hash.add(index, rowHash(`row ${index}`), 0);
  const row = controlRow(dropKind, {
    table: TABLE_OF[kind],
    leaves: formatRuns(runs),
    count: String(leaves.length),
    sha256: hash.digest().toString("hex"),
    ...changes,
  });
  return { row, leaves };
}

const MODES = [
  { windowLeaves: 256, distrustStore: false },
  { windowLeaves: 4096, distrustStore: false },
  { windowLeaves: 512, distrustStore: true },
] as const;

/** A log of 1500 records of which all spans and some logs were dropped. */
async function dropped({ finish = true } = {}): Promise<{
  log: MemoryLog;
  expired: number[];
  erased: number[];
}> {
  const log = await MemoryLog.of(1500);
  const expiry = drop("expired", 2, [{ first: 0, last: 1200 }]);
  const erasure = drop("erased", 3, [
    { first: 1, last: 1 },
    { first: 700, last: 730 },
  ]);
  const [a, b] = [await log.control(expiry.row), await log.control(erasure.row)];
  for (const index of [...expiry.leaves, ...erasure.leaves]) log.rows.remove(index);
  if (finish) {
    await log.control(controlRow(FINISHED.expired, { records: String(a) }));
    await log.control(controlRow(FINISHED.erased, { records: String(b) }));
  }
  return { log, expired: expiry.leaves, erased: erasure.leaves };
}

t.test("rows that sealed records name count as expired and erased, in every mode", async (t) => {
  for (const options of MODES) {
    const { log, expired, erased } = await dropped();
    const report = await expectFaults(t, log, [], options);
    t.match(report, {
      expired: expired.length,
      erased: erased.length,
      checked: { records: log.size - expired.length - erased.length },
    });
  }
});

t.test("bundles whose rows were dropped are judged by their digests", async (t) => {
  const { log } = await dropped();
  const asked: string[] = [];
  log.rows.onRead = (what) => asked.push(what);
  await expectFaults(t, log, []);
  t.notOk(asked.includes("leaves"), "no row hash leaves the store");
});

t.test("a bundle of which nothing is left is not asked for again", async (t) => {
  const log = await MemoryLog.of(768);
  const parts = ([2, 3] as const).map((kind) => drop("expired", kind, [{ first: 256, last: 511 }]));
  for (const { row } of parts) await log.control(row);
  for (const index of parts.flatMap(({ leaves }) => leaves)) log.rows.remove(index);
  const asked: string[] = [];
  log.rows.onRead = (what) => asked.push(what);
  t.match(await expectFaults(t, log, []), { expired: 256 });
  t.notOk(asked.includes("leaves"));
});

t.test(
  "rows that are named and still there are rows, until a record says that they are gone",
  async (t) => {
    for (const options of MODES) {
      const log = await MemoryLog.of(600);
      const { row, leaves } = drop("expired", 2, [{ first: 3, last: 300 }]);
      const record = await log.control(row);
      t.match(await expectFaults(t, log, [], options), { expired: 0, checked: { records: 601 } });
      // The drop had got half way when the process died.
      for (const index of leaves.slice(50)) log.rows.remove(index);
      t.match(await expectFaults(t, log, [], options), { expired: leaves.length - 50 });
      await log.control(controlRow(FINISHED.expired, { records: `${record}` }));
      const expected = leaves.slice(0, 50).map((leafIndex) => ({
        fault: "expired_not_sealed" as const,
        leafIndex,
        table: "otel_traces",
        detail: /the log says that it is gone: record 600 names it as expired/,
      }));
      await expectFaults(t, log, expected, options);
    }
  },
);

t.test("a row that no record names is missing, also among rows that expired", async (t) => {
  for (const options of MODES) {
    const { log } = await dropped();
    for (const index of [2, 731, 1203]) log.rows.remove(index);
    await expectFaults(
      t,
      log,
      [
        { fault: "row_missing", leafIndex: 2, table: "logs" },
        { fault: "row_missing", leafIndex: 731, table: "logs" },
        { fault: "row_missing", leafIndex: 1203, table: "spans" },
      ],
      options,
    );
  }
});

t.test("a row that was changed is changed, named or not", async (t) => {
  const log = await MemoryLog.of(600);
  await log.control(drop("expired", 2, [{ first: 0, last: 300 }]).row);
  log.rows.find(9).name = "changed";
  await expectFaults(t, log, [{ fault: "row_changed", leafIndex: 9, table: "spans" }]);
});

t.test("a record that is not what was sealed counts for nothing", async (t) => {
  for (const options of MODES) {
    const log = await MemoryLog.of(600);
    const { row, leaves } = drop("erased", 3, [{ first: 1, last: 5 }]);
    log.rows.rows["control_records"] = [{ index: 600, name: row }];
    await log.control(controlRow("heartbeat", {}));
    log.rows.rows["control_records"] = [{ index: 600, name: row }];
    for (const index of leaves) log.rows.remove(index);
    const report = await check(log, options);
    t.match(
      report.faults.toSorted((a, b) => a.leafIndex! - b.leafIndex!),
      [
        ...leaves.map((leafIndex) => ({ fault: "row_missing", leafIndex })),
        { fault: "expired_not_sealed", leafIndex: 600, table: "control_records" },
        { fault: "row_changed", leafIndex: 600, table: "control_records" },
      ],
    );
    t.equal(report.erased, 0);
  }
});

t.test("a record beyond the checkpoint counts for nothing yet", async (t) => {
  const log = await MemoryLog.of(600);
  const { row, leaves } = drop("erased", 3, [{ first: 1, last: 5 }]);
  const { note } = log;
  await log.control(row);
  for (const index of leaves) log.rows.remove(index);
  log.note = note;
  log.rows.stored.pop();
  const report = await check(log);
  t.match(
    report.faults,
    leaves.map((leafIndex) => ({ fault: "row_missing", leafIndex })),
  );
  t.equal(report.erased, 0);
});

t.test("the row of another kind that reads like a control record is none", async (t) => {
  const log = await MemoryLog.of(600);
  const { row, leaves } = drop("erased", 3, [{ first: 1, last: 5 }]);
  row[1] = 3; // sealed as a log, as its sender wrote it
  await log.control(row);
  for (const index of leaves) log.rows.remove(index);
  const report = await check(log);
  t.match(report.faults[0], { fault: "expired_not_sealed", leafIndex: 600 });
  t.equal(report.erased, 0);
});

t.test("a sealed record must name the rows that the log holds, by count and hash", async (t) => {
  const wrong: Record<string, string>[] = [{ sha256: "0".repeat(64) }, { count: "99" }];
  for (const changes of wrong) {
    for (const options of MODES) {
      const log = await MemoryLog.of(600);
      const { row, leaves } = drop("expired", 2, [{ first: 0, last: 300 }], changes);
      await log.control(row);
      for (const index of leaves) log.rows.remove(index);
      const report = await expectFaults(
        t,
        log,
        [
          {
            fault: "expired_not_sealed",
            leafIndex: 600,
            table: "control_records",
            detail: /by their hash others than those that the log holds .* 101 of them are gone/,
          },
        ],
        options,
      );
      t.equal(report.expired, 0);
    }
  }
  const log = await MemoryLog.of(300);
  await log.control(controlRow("expired", { table: "nowhere", leaves: "1" }));
  await expectFaults(t, log, [
    { fault: "expired_not_sealed", leafIndex: 300, detail: /was sealed, and cannot be read/ },
  ]);
});

t.test("a part of the log and what is new are judged by the same records", async (t) => {
  const { log, expired } = await dropped();
  const within = (from: number, to: number): number =>
    expired.filter((index) => from <= index && index < to).length;
  const options = { windowLeaves: 256 };
  const part = await expectFaults(t, log, [], { ...options, from: 300, to: 600 });
  t.equal(part.expired, within(256, 768));
  const smaller = log.rows.stored[0]!;
  const incremental = await expectFaults(t, log, [], {
    ...options,
    since: { name: "the checkpoint that was verified", note: smaller.note },
  });
  t.equal(incremental.expired, within(1280, 1500));
});

t.test("beside a running server rows may expire while they are looked for", async (t) => {
  for (const distrustStore of [false, true]) {
    const log = await MemoryLog.of(1500);
    const { row, leaves } = drop("expired", 2, [{ first: 0, last: 1499 }]);
    let reads = 0;
    const whole = log.rows.rowBytes.bind(log.rows);
    const expire = async (): Promise<void> => {
      if (++reads !== 2) return;
      await log.control(row);
      for (const index of leaves) log.rows.remove(index);
    };
    const { bundles } = log.rows;
    if (distrustStore)
      log.rows.rowBytes = async function* (table, from, to) {
        if (table === "spans") await expire();
        yield* whole(table, from, to);
      };
    else
      log.rows.bundles = async function* (from, to) {
        await expire();
        yield* bundles.call(log.rows, from, to);
      };
    const report = await expectFaults(t, log, [], {
      windowLeaves: 512,
      distrustStore,
      settleMs: 60_000,
    });
    t.ok(report.expired > 0 && report.expired < leaves.length);
  }
});

t.test("many rows of a table in a row that are gone are named together", async (t) => {
  for (const [count, isNamed] of [
    [255, false],
    [256, true],
  ] as const) {
    const log = await MemoryLog.of(1500);
    const spans = leavesOf(2, [{ first: 300, last: 1499 }]);
    for (const index of spans.slice(0, count)) log.rows.remove(index);
    const report = await check(log, { windowLeaves: 256 });
    t.equal(report.faultCount, count + (isNamed ? 1 : 0));
    t.same(
      report.faults
        .filter(({ fault }) => fault === "expired_not_sealed")
        .map(({ detail }) => detail),
      isNamed
        ? [
            `256 rows in a row, records 300 to ${spans[255]}, are gone together, and no sealed record says that they expired or were erased`,
          ]
        : [],
    );
  }
  const log = await MemoryLog.of(1500);
  for (const index of leavesOf(2, [{ first: 0, last: 1499 }]))
    if (index !== 600) log.rows.remove(index);
  const report = await check(log);
  t.match(
    report.faults.filter(({ fault }) => fault === "expired_not_sealed"),
    [{ leafIndex: 603 }],
    "a row between them that is there parts them",
  );
});
