import t from "tap";
import { MAX_FAULTS } from "../../src/verify/report.ts";
import { check, expectFaults, forge, places } from "./expect-faults.ts";
import type { BundleBatch } from "../../src/core/verification.ts";
import { kindAt, MemoryLog, rowHash } from "./memory-log.ts";

/** Time for rows to arrive, in tests where they do: so much that it never runs out. */
const LONG_MS = 60_000;
/** The byte of entry `i` in its bundle where its row hash begins: each entry takes 34 bytes behind its length of two. */
const hashInBundle = (i: number): number => i * 36 + 4;

t.test("a whole log verifies at every kind of size, in one window and in several", async (t) => {
  for (const size of [1, 2, 255, 256, 257, 512, 700, 65_536, 70_000]) {
    const log = await MemoryLog.of(size);
    const bundles = Math.ceil(size / 256);
    const upper = size < 256 ? 0 : size < 65_536 ? 1 : size < 65_792 ? 2 : 3;
    for (const windowLeaves of [size > 700 ? 16_384 : 256, 1_048_576]) {
      const seen: number[] = [];
      const report = await check(log, {
        windowLeaves,
        onProgress: ({ checked, total }) => seen.push(checked / total),
      });
      t.same(report, {
        integrity: "ok",
        completeness: "ok",
        treeSize: size,
        checkpoint: log.note,
        // The newest checkpoint, and the same one in the store.
        checked: { records: size, tiles: bundles * 2 + upper, checkpoints: 2 },
        faults: [],
        expired: 0,
        erased: 0,
        faultCount: 0,
        findings: {},
        silences: [],
        silenceCount: 0,
        uncleanStops: 0,
        newestRecordAt: null,
      });
      t.equal(seen.length, Math.ceil(size / windowLeaves));
      t.equal(seen.at(-1), 1);
    }
  }
});

t.test(
  "while all is well no row hash leaves the store, and each digest is asked for once",
  async (t) => {
    const log = await MemoryLog.of(1500);
    const asked: string[] = [];
    log.rows.onRead = (what) => asked.push(what);
    log.rows.batch = 2;
    await expectFaults(t, log, [], { windowLeaves: 512 });
    t.same(asked, ["bundles", "bundles", "bundles", "newest", "newest"]);
  },
);

t.test("the log alone verifies without rows", async (t) => {
  const log = await MemoryLog.of(300);
  t.match(await check(log, { rows: null }), {
    integrity: "ok",
    treeSize: 300,
    checked: { records: 0 },
  });
  log.file("tile/entries/000")[hashInBundle(7)]! ^= 1;
  await expectFaults(t, log, [{ fault: "entry_changed", leafIndex: 7 }], { rows: null });
});

for (const distrustStore of [false, true]) {
  const where = distrustStore ? "rows hashed here" : "rows hashed by the store";
  t.test(where, async (t) => {
    await t.test("a changed row is found, in any window and at any place in it", async (t) => {
      for (const index of [0, 255, 256, 511, 699]) {
        const log = await MemoryLog.of(700);
        log.rows.find(index).name = "changed";
        const table = kindAt(index) === 2 ? "spans" : "logs";
        const report = await expectFaults(
          t,
          log,
          [{ fault: "row_changed", leafIndex: index, table }],
          { windowLeaves: 256, distrustStore },
        );
        t.equal(report.checked.records, 700);
      }
    });

    await t.test("a deleted row is found, with the table that it is missing from", async (t) => {
      for (const windowLeaves of [256, 1024]) {
        const log = await MemoryLog.of(1500);
        for (const index of [0, 300, 1499]) log.rows.remove(index);
        await expectFaults(
          t,
          log,
          [
            { fault: "row_missing", leafIndex: 0, table: "spans" },
            { fault: "row_missing", leafIndex: 300, table: "spans" },
            { fault: "row_missing", leafIndex: 1499, table: "logs" },
          ],
          { windowLeaves, distrustStore },
        );
      }
    });

    await t.test(
      "a second row under the index of a sealed one is named as added, wherever it stands",
      async (t) => {
        const log = await MemoryLog.of(300);
        log.rows.table(10).push({ index: 10, name: "added" });
        log.rows.rows["spans"]!.push({ index: 11, name: "added to another table" });
        await expectFaults(
          t,
          log,
          [
            { fault: "row_added", leafIndex: 10, table: "logs" },
            { fault: "row_added", leafIndex: 11, table: "spans" },
          ],
          { distrustStore },
        );
      },
    );

    await t.test(
      "a row that was moved to another table is missing in one and added in the other",
      async (t) => {
        const log = await MemoryLog.of(300);
        log.rows.rows["logs"]!.push(log.rows.remove(30));
        await expectFaults(
          t,
          log,
          [
            { fault: "row_added", leafIndex: 30, table: "logs" },
            { fault: "row_missing", leafIndex: 30, table: "spans" },
          ],
          { distrustStore },
        );
      },
    );

    await t.test("two rows that swap their places are two changed ones", async (t) => {
      const log = await MemoryLog.of(600);
      const [a, b] = [log.rows.find(4), log.rows.find(400)];
      [a.name, b.name] = [b.name, a.name];
      await expectFaults(
        t,
        log,
        [
          { fault: "row_changed", leafIndex: 4, table: "logs" },
          { fault: "row_changed", leafIndex: 400, table: "logs" },
        ],
        { distrustStore },
      );
    });

    await t.test("two rows in the place of one are one changed and one added", async (t) => {
      const log = await MemoryLog.of(300);
      log.rows.find(20).name = "changed";
      log.rows.table(20).push({ index: 20, name: "added" });
      await expectFaults(
        t,
        log,
        [
          { fault: "row_changed", leafIndex: 20 },
          { fault: "row_added", leafIndex: 20 },
        ],
        { distrustStore },
      );
    });

    await t.test("a row that is there twice, or three times, is named once", async (t) => {
      const log = await MemoryLog.of(300);
      log.rows.batch = 1;
      for (const index of [5, 6, 6]) log.rows.add(index);
      const report = await expectFaults(
        t,
        log,
        [
          { fault: "row_duplicated", leafIndex: 5, table: "logs" },
          { fault: "row_duplicated", leafIndex: 6, table: "spans" },
        ],
        { distrustStore },
      );
      t.equal(report.checked.records, 303);
    });

    await t.test(
      "one row deleted and another doubled, so that their number is right",
      async (t) => {
        const log = await MemoryLog.of(300);
        log.rows.remove(7);
        log.rows.add(8);
        await expectFaults(
          t,
          log,
          [
            { fault: "row_duplicated", leafIndex: 8 },
            { fault: "row_missing", leafIndex: 7 },
          ],
          { distrustStore },
        );
      },
    );
  });
}

t.test(
  "a store that answers with the digests that are expected is found where rows are hashed here",
  async (t) => {
    const log = await MemoryLog.of(300);
    const digests: BundleBatch[] = [];
    for await (const batch of log.rows.bundles(0, 300)) digests.push(batch);
    log.rows.bundles = async function* () {
      yield* digests;
    };
    log.rows.find(7).name = "changed";
    await expectFaults(t, log, []);
    await expectFaults(t, log, [{ fault: "row_changed", leafIndex: 7 }], { distrustStore: true });
  },
);

t.test("a table that was altered is a fault of its own kind", async (t) => {
  for (const [of, fault] of [
    ["rows", "row_missing"],
    ["columns", "row_changed"],
    ["checkpoints", "checkpoint_invalid"],
  ] as const) {
    const log = await MemoryLog.of(300);
    log.rows.altered = [{ table: "spans", of, detail: "altered" }];
    for (const distrustStore of [false, true])
      await expectFaults(t, log, [{ fault, leafIndex: null, table: "spans", detail: "altered" }], {
        distrustStore,
      });
  }
});

t.test("a LogId that row 0 does not give is a fault", async (t) => {
  const log = await MemoryLog.of(300);
  const logId = rowHash("row 0").toString("hex", 0, 8);
  await expectFaults(t, log, [], { logId });
  await expectFaults(
    t,
    log,
    [{ fault: "row_changed", leafIndex: 0, detail: new RegExp(`"0{16}", .* gives "${logId}"`) }],
    { logId: "0".repeat(16) },
  );
});

t.test("a row beyond the tree was never sealed", async (t) => {
  const log = await MemoryLog.of(300);
  log.rows.table(302).push({ index: 302, name: "added" });
  log.rows.rows["spans"]!.push({ index: 2 ** 60, name: "added" });
  await expectFaults(t, log, [
    { fault: "row_added", leafIndex: 302, table: "logs" },
    { fault: "row_added", leafIndex: 2 ** 60, table: "spans" },
  ]);
});

t.test("rows of another log are a fault where this one has the store for itself", async (t) => {
  const log = await MemoryLog.of(300);
  log.rows.foreign = [
    { table: "logs", logId: "ffff", rows: 2 },
    { table: "spans", logId: "a\u001b[2J", rows: 1 },
  ];
  await expectFaults(t, log, []);
  await expectFaults(
    t,
    log,
    [
      {
        fault: "row_added",
        leafIndex: null,
        table: "logs",
        detail: '2 rows name "ffff" as the log',
      },
      { fault: "row_added", table: "spans", detail: '1 row names "a\\u001b[2J" as the log' },
    ],
    { isSoleLog: true },
  );
});

t.test("of very many rows under one index some are named", async (t) => {
  const log = await MemoryLog.of(300);
  for (let i = 0; i < 1000; i++) log.rows.table(9).push({ index: 9, name: `added ${i}` });
  const { faults } = await check(log);
  t.match(faults[0], { fault: "row_added", leafIndex: 9 });
  t.ok(faults.every(({ leafIndex }) => leafIndex === 9));
});

t.test(
  "findings of something missing make gaps, others do not, and neither breaks integrity",
  async (t) => {
    const log = await MemoryLog.of(10);
    log.rows.found = { truncated: 3 };
    t.match(await check(log), { integrity: "ok", completeness: "ok", findings: { truncated: 3 } });
    log.rows.found = { truncated: 3, rejected_record: 1 };
    t.match(await check(log), {
      integrity: "ok",
      completeness: "gaps",
      findings: { rejected_record: 1 },
    });
  },
);

t.test("a row that the store refused counts as present when it is what was sealed", async (t) => {
  for (const windowLeaves of [256, 1024]) {
    const log = await MemoryLog.of(1300);
    for (const index of [30, 31, 33, 900]) log.rows.remove(index);
    const report = await expectFaults(
      t,
      log,
      [
        { fault: "row_missing", leafIndex: 31, table: "logs" },
        { fault: "row_missing", leafIndex: 33, table: "spans" },
      ],
      {
        windowLeaves,
        places: places({
          storedThrough: () => 1300,
          quarantine: [
            { leafIndex: 30, kind: 2, rowHash: rowHash("row 30") },
            { leafIndex: 31, kind: 3, rowHash: rowHash("other bytes") },
            { leafIndex: 33, kind: 3, rowHash: rowHash("row 33") }, // another kind than was sealed
            { leafIndex: 34, kind: 3, rowHash: rowHash("not asked for") },
            { leafIndex: 900, kind: kindAt(900), rowHash: rowHash("row 900") },
          ],
        }),
      },
    );
    t.equal(report.checked.records, 1298);
  }
});

t.test(
  "a row in the journal counts as present from where the store is known to have all, and not below",
  async (t) => {
    const log = await MemoryLog.of(700);
    for (const index of [400, 499, 500, 501, 502]) log.rows.remove(index);
    const journal = [400, 499, 500, 501, 502].map((leafIndex) => ({
      leafIndex,
      kind: kindAt(leafIndex),
      rowHash: rowHash(leafIndex === 501 ? "changed in the journal" : `row ${leafIndex}`),
    }));
    const report = await expectFaults(
      t,
      log,
      [
        { fault: "row_missing", leafIndex: 400 },
        { fault: "row_missing", leafIndex: 499 },
        { fault: "row_missing", leafIndex: 501 },
      ],
      { places: places({ journal, storedThrough: () => 500 }) },
    );
    t.equal(report.checked.records, 697);
  },
);

t.test("a row below the stored mark is missing at once, however long rows may take", async (t) => {
  const log = await MemoryLog.of(300);
  log.rows.remove(299);
  const asked: number[] = [];
  const report = await expectFaults(t, log, [{ fault: "row_missing", leafIndex: 299 }], {
    settleMs: LONG_MS,
    places: places({
      storedThrough: () => 300,
      journal: (from) => {
        asked.push(from);
        return [];
      },
    }),
  });
  t.equal(report.treeSize, 300);
  t.same(asked, [], "the journal is not asked");
});

t.test("a row beyond the tree that is in the journal too waits to be sealed", async (t) => {
  const log = await MemoryLog.of(300);
  for (const index of [300, 301, 302]) log.rows.add(index);
  await expectFaults(t, log, [{ fault: "row_added", leafIndex: 301, table: "logs" }], {
    places: places({
      journal: [300, 301, 302].map((leafIndex) => ({
        leafIndex,
        kind: kindAt(leafIndex),
        rowHash: rowHash(leafIndex === 301 ? "another row" : `row ${leafIndex}`),
      })),
    }),
  });
});

t.test(
  "a row that moved from the journal to its table between two looks is found there",
  async (t) => {
    const log = await MemoryLog.of(300);
    await log.grow(400, { store: false });
    const report = await expectFaults(t, log, [], {
      places: places({
        journal: (from) => {
          t.equal(from, 300);
          for (let index = 300; index < 400; index++) log.rows.add(index);
          return [];
        },
      }),
    });
    t.equal(report.checked.records, 400);
  },
);

t.test("rows that arrive late are waited for, and compared when they come", async (t) => {
  const log = await MemoryLog.of(300);
  await log.grow(1000, { store: false });
  let looks = 0;
  const report = await expectFaults(t, log, [{ fault: "row_changed", leafIndex: 800 }], {
    settleMs: LONG_MS,
    places: places({
      journal: () => {
        looks++;
        if (looks === 2) for (let index = 300; index < 650; index++) log.rows.add(index);
        if (looks === 3) {
          for (let index = 650; index < 1000; index++) log.rows.add(index);
          log.rows.find(800).name = "changed on its way";
        }
        return [];
      },
    }),
  });
  t.equal(looks, 3);
  t.equal(report.checked.records, 1000);
});

t.test("rows that do not come in time are missing", async (t) => {
  const log = await MemoryLog.of(300);
  await log.grow(302, { store: false });
  await expectFaults(
    t,
    log,
    [
      { fault: "row_missing", leafIndex: 300 },
      { fault: "row_missing", leafIndex: 301 },
    ],
    { settleMs: 1, places: places({}) },
  );
});

t.test("rows that the mark passes while they are waited for are missing then", async (t) => {
  const log = await MemoryLog.of(300);
  await log.grow(302, { store: false });
  let marks = 0;
  await expectFaults(
    t,
    log,
    [
      { fault: "row_missing", leafIndex: 300 },
      { fault: "row_missing", leafIndex: 301 },
    ],
    { settleMs: LONG_MS, places: places({ storedThrough: () => (marks++ < 1 ? 0 : 299 + marks) }) },
  );
});

t.test("a log that grows while it is verified is verified to where its rows are", async (t) => {
  for (const size of [400, 512, 513, 1100]) {
    const log = await MemoryLog.of(300);
    let hasGrown = false;
    log.rows.find(299).name = "changed";
    log.file("tile/entries/001.p/44")[hashInBundle(3)]! ^= 1;
    log.rows.onRead = (what) => {
      if (what !== "newest" || hasGrown) return;
      hasGrown = true;
      for (let index = 300; index < size; index++) log.rows.add(index);
      void log.grow(size, { store: false }).then(() => {
        log.files.delete("tile/entries/001.p/44");
        log.file(size < 512 ? `tile/entries/001.p/${size - 256}` : "tile/entries/001")[
          hashInBundle(3)
        ]! ^= 1;
      });
    };
    const report = await expectFaults(
      t,
      log,
      [
        { fault: "entry_changed", leafIndex: 259 },
        { fault: "row_changed", leafIndex: 299 },
      ],
      { settleMs: LONG_MS, windowLeaves: 512 },
    );
    t.equal(report.treeSize, size);
    t.equal(report.checked.records, size);
  }
});

t.test(
  "leaves that change when their tile grows are found, though tile and bundle agree",
  async (t) => {
    const log = await MemoryLog.of(300);
    const forged = await forge(280, 400);
    log.rows.onRead = (what) => {
      if (what !== "newest" || log.size === 400) return;
      for (let index = 300; index < 400; index++) log.rows.add(index);
      void log.grow(400, { store: false }).then(() => {
        for (const file of ["tile/entries/001.p/144", "tile/0/001.p/144"])
          log.files.set(file, forged.get(file)!);
      });
    };
    await expectFaults(
      t,
      log,
      [
        {
          fault: "tile_changed",
          detail: "the first 44 leaves of tile 0/1 are others than when the tile was smaller",
        },
      ],
      { settleMs: LONG_MS },
    );
  },
);

t.test("a log that is taken back while it is verified is found", async (t) => {
  const log = await MemoryLog.of(300);
  const { note } = log;
  await log.grow(700);
  log.rows.stored.length = 0;
  log.rows.add(700);
  log.rows.onRead = (what) => {
    if (what === "newest") log.note = note;
  };
  await expectFaults(
    t,
    log,
    [
      {
        fault: "checkpoint_rolled_back",
        detail: "a checkpoint of 700 leaves was published, the log's newest has 300",
      },
      { fault: "row_added", leafIndex: 700 },
    ],
    { settleMs: LONG_MS },
  );
});

t.test("of very many faults all are counted and the first are listed", async (t) => {
  const log = await MemoryLog.of(6000);
  log.rows.rows["logs"] = [];
  const report = await check(log, { windowLeaves: 4096 });
  t.equal(report.faultCount, 4001, "each row, and that they are gone together");
  t.match(report.faults[256], {
    fault: "expired_not_sealed",
    leafIndex: 1,
    detail: /^4000 rows in a row, records 1 to 5999, /,
  });
  t.equal(report.faults.length, MAX_FAULTS);
  t.match(report.faults[0], { fault: "row_missing", leafIndex: 1, table: "logs" });
});

t.test("a store that fails in mid-answer is no verdict", async (t) => {
  for (const when of ["bundles", "leaves", "newest"]) {
    const log = await MemoryLog.of(300);
    log.rows.remove(4);
    log.rows.onRead = (what) => {
      if (what === when) throw new Error("connection lost");
    };
    await t.rejects(check(log), /connection lost/, when);
  }
});

t.test("a stretch in which a server that ran sealed nothing is a gap, no fault", async (t) => {
  const log = await MemoryLog.of(1000);
  const second = 1_000_000_000n;
  const newestNs = 1_800_000_000_123_456_789n;
  log.rows.times = {
    newestNs,
    silences: [{ fromNs: newestNs - 700n * second, toNs: newestNs - 100n * second }],
    silenceCount: 1,
    uncleanStops: 2,
  };
  const whole = await check(log);
  t.match(whole, {
    integrity: "ok",
    completeness: "gaps",
    silences: [
      {
        from: "2027-01-15T07:48:20.123456789Z",
        to: "2027-01-15T07:58:20.123456789Z",
        seconds: 600,
      },
    ],
    silenceCount: 1,
    uncleanStops: 2,
    newestRecordAt: "2027-01-15T08:00:00.123456789Z",
  });
  log.rows.times = { ...log.rows.times, silences: [], silenceCount: 0 };
  t.match(await check(log), { completeness: "ok" }, "a kill alone lost nothing that is known of");
  await check(log, { from: 600, to: 700 });
  const earlier = { name: "an earlier one", note: log.note };
  await check(log, { since: earlier, distrustStore: true });
  await check(log, { rows: null });
  t.same(
    log.rows.timesAsked,
    [
      [0, 1000, 300_000],
      [0, 1000, 300_000],
      [511, 700, 300_000],
      [767, 1000, 300_000],
    ],
    "the range that is checked, from the record before it",
  );
});
