import t, { type Test } from "tap";
import { MAX_FAULTS, type Fault, type Report } from "../../src/verify/report.ts";
import { verify, type VerifyOptions } from "../../src/verify/verify.ts";
import { kindAt, MemoryLog, newKey, ORIGIN, rowHash } from "./memory-log.ts";

/** The byte of entry `i` in its bundle where its row hash begins: each entry takes 34 bytes behind its length of two. */
const hashInBundle = (i: number): number => i * 36 + 4;
/** Time for rows to arrive, in tests where they do: so much that it never runs out. */
const LONG_MS = 60_000;

function check(log: MemoryLog, options: Partial<VerifyOptions> = {}): Promise<Report> {
  return verify({ log, rows: log.rows, origin: ORIGIN, keys: [log.key], ...options });
}

type ExpectedFault = Partial<Omit<Fault, "detail">> & { readonly detail?: string | RegExp };

/** `log` has these faults and no other; of each what is named here is compared. */
async function expectFaults(
  t: Test,
  log: MemoryLog,
  expected: readonly ExpectedFault[],
  options: Partial<VerifyOptions> = {},
): Promise<Report> {
  const report = await check(log, options);
  t.match(report.faults, expected);
  t.equal(report.faults.length, expected.length);
  t.equal(report.faultCount, expected.length);
  t.equal(report.integrity, expected.length === 0 ? "ok" : "broken");
  return report;
}

t.test("a whole log verifies at every kind of size, in one window and in several", async (t) => {
  for (const size of [1, 2, 255, 256, 257, 512, 700, 65_536, 70_000]) {
    const log = await MemoryLog.of(size);
    const bundles = Math.ceil(size / 256);
    const upper = size < 256 ? 0 : size < 65_536 ? 1 : size < 65_792 ? 2 : 3;
    for (const windowLeaves of [size > 700 ? 16_384 : 256, 1_048_576]) {
      const seen: number[] = [];
      const report = await check(log, {
        windowLeaves,
        onProgress: ({ checked }) => seen.push(checked),
      });
      t.same(report, {
        integrity: "ok",
        completeness: "ok",
        treeSize: size,
        // The newest checkpoint, and the same one in the store.
        checked: { records: size, tiles: bundles * 2 + upper, checkpoints: 2 },
        faults: [],
        faultCount: 0,
        findings: {},
      });
      t.equal(seen.length, Math.ceil(size / windowLeaves));
      t.equal(seen.at(-1), size);
    }
  }
});

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

t.test("a changed row is found, in any window and at any place in it", async (t) => {
  for (const index of [0, 255, 256, 511, 699]) {
    const log = await MemoryLog.of(700);
    log.rows.find(index).hash = rowHash("changed");
    const table = kindAt(index) === 2 ? "spans" : "logs";
    const report = await expectFaults(t, log, [{ fault: "row_changed", leafIndex: index, table }], {
      windowLeaves: 256,
    });
    t.equal(report.checked.records, 700);
  }
});

t.test("a deleted row is found, with the table that it is missing from", async (t) => {
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
      { windowLeaves },
    );
  }
});

t.test(
  "a second row under the index of a sealed one is named as added, wherever it stands",
  async (t) => {
    const log = await MemoryLog.of(300);
    log.rows.table(10).push({ index: 10, hash: rowHash("added") });
    log.rows.rows["spans"]!.push({ index: 11, hash: rowHash("added to another table") });
    await expectFaults(t, log, [
      { fault: "row_added", leafIndex: 11, table: "spans" },
      { fault: "row_added", leafIndex: 10, table: "logs" },
    ]);
  },
);

t.test(
  "a row that was moved to another table is missing in one and added in the other",
  async (t) => {
    const log = await MemoryLog.of(300);
    log.rows.rows["logs"]!.push(log.rows.remove(30));
    await expectFaults(t, log, [
      { fault: "row_added", leafIndex: 30, table: "logs" },
      { fault: "row_missing", leafIndex: 30, table: "spans" },
    ]);
  },
);

t.test("two rows in the place of one are one changed and one added", async (t) => {
  const log = await MemoryLog.of(300);
  log.rows.find(20).hash = rowHash("changed");
  log.rows.table(20).push({ index: 20, hash: rowHash("added") });
  await expectFaults(t, log, [
    { fault: "row_changed", leafIndex: 20 },
    { fault: "row_added", leafIndex: 20 },
  ]);
});

t.test("a row beyond the tree was never sealed", async (t) => {
  const log = await MemoryLog.of(300);
  log.rows.table(302).push({ index: 302, hash: rowHash("added") });
  log.rows.rows["spans"]!.push({ index: 2 ** 60, hash: rowHash("added") });
  await expectFaults(t, log, [
    { fault: "row_added", leafIndex: 2 ** 60, table: "spans" },
    { fault: "row_added", leafIndex: 302, table: "logs" },
  ]);
});

t.test("a row that is there twice, or three times, is named once", async (t) => {
  const log = await MemoryLog.of(300);
  log.rows.batch = 1;
  for (const index of [5, 6, 6])
    log.rows.table(index).push({ index, hash: rowHash(`row ${index}`) });
  const report = await expectFaults(t, log, [
    { fault: "row_duplicated", leafIndex: 6, table: "spans" },
    { fault: "row_duplicated", leafIndex: 5, table: "logs" },
  ]);
  t.equal(report.checked.records, 303);
});

t.test(
  "a changed entry is found, in a full bundle and in the last one, and its row is still good",
  async (t) => {
    for (const [file, i, leafIndex] of [
      ["tile/entries/000", 100, 100],
      ["tile/entries/001", 255, 511],
      ["tile/entries/002.p/188", 187, 699],
    ] as const) {
      const log = await MemoryLog.of(700);
      log.file(file)[hashInBundle(i)]! ^= 0x80;
      await expectFaults(t, log, [{ fault: "entry_changed", leafIndex }]);
    }
  },
);

t.test("a change of an entry's kind is a change of the entry", async (t) => {
  const log = await MemoryLog.of(300);
  log.file("tile/entries/000")[hashInBundle(8) - 1] = 2;
  await expectFaults(t, log, [{ fault: "entry_changed", leafIndex: 8 }]);
});

t.test("a bundle that is cut, grown or no bundle at all is a change of its entries", async (t) => {
  for (const change of [
    (bytes: Buffer) => bytes.subarray(0, -1),
    (bytes: Buffer) => Buffer.concat([bytes, bytes.subarray(0, 36)]),
    (bytes: Buffer) => bytes.fill(0xff, 36, 38),
    () => Buffer.alloc(0),
  ]) {
    const log = await MemoryLog.of(700);
    log.files.set("tile/entries/001", change(log.file("tile/entries/001")));
    await expectFaults(t, log, [{ fault: "entry_changed", leafIndex: 256, detail: /bundle 1:/ }]);
  }
});

t.test("a changed tile is named, on level 0, level 1 and level 2, full and partial", async (t) => {
  const logs = new Map([
    [700, await MemoryLog.of(700)],
    [70_000, await MemoryLog.of(70_000)],
  ]);
  for (const [size, file, name] of [
    [700, "tile/0/001", "0/1"],
    [700, "tile/0/002.p/188", "0/2"],
    [700, "tile/1/000.p/2", "1/0"],
    [70_000, "tile/0/255", "0/255"],
    [70_000, "tile/1/000", "1/0"],
    [70_000, "tile/1/001.p/17", "1/1"],
    [70_000, "tile/2/000.p/1", "2/0"],
  ] as const) {
    const log = logs.get(size)!;
    log.file(file)[31]! ^= 1;
    await expectFaults(t, log, [{ fault: "tile_changed", detail: `tile ${name} ` }]);
    log.file(file)[31]! ^= 1;
  }
});

t.test("a tile of the wrong length is a changed tile", async (t) => {
  for (const file of ["tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"]) {
    const log = await MemoryLog.of(700);
    log.files.set(file, log.file(file).subarray(0, -32));
    await expectFaults(t, log, [{ fault: "tile_changed" }]);
  }
});

t.test("a missing bundle or tile is named, and the rows are checked all the same", async (t) => {
  for (const [file, detail] of [
    ["tile/entries/001", "entry bundle 1 (leaves 256 to 511)"],
    ["tile/entries/002.p/188", "entry bundle 2 (leaves 512 to 699)"],
    ["tile/0/000", "tile 0/0 (leaves 0 to 255)"],
    ["tile/0/002.p/188", "tile 0/2 (leaves 512 to 699)"],
    ["tile/1/000.p/2", "tile 1/0 of 2 hashes"],
  ] as const) {
    const log = await MemoryLog.of(700);
    log.files.delete(file);
    log.rows.find(2).hash = rowHash("changed");
    log.rows.find(600).hash = rowHash("changed");
    const missing = { fault: "tile_missing", detail } as const;
    const changed = [600, 2].map((leafIndex) => ({ fault: "row_changed", leafIndex }) as const);
    // Tiles above the bundles are compared when all rows are done.
    const isUpper = file.startsWith("tile/1");
    await expectFaults(t, log, isUpper ? [...changed, missing] : [missing, ...changed]);
  }
});

t.test("a row that is missing where the bundle is missing too has no table", async (t) => {
  const log = await MemoryLog.of(300);
  log.files.delete("tile/entries/000");
  log.rows.remove(4);
  await expectFaults(t, log, [
    { fault: "tile_missing" },
    { fault: "row_missing", leafIndex: 4, table: null },
  ]);
});

t.test(
  "where bundle and tile are both gone nothing is said of the rows, nor of what stands above",
  async (t) => {
    const log = await MemoryLog.of(700);
    log.files.delete("tile/entries/001");
    log.files.delete("tile/0/001");
    log.rows.remove(300);
    log.rows.find(301).hash = rowHash("changed");
    log.rows.find(600).hash = rowHash("changed");
    await expectFaults(t, log, [
      { fault: "tile_missing", detail: "entry bundle 1" },
      { fault: "tile_missing", detail: "tile 0/1" },
      { fault: "row_changed", leafIndex: 600 },
    ]);
  },
);

t.test("whoever changes row, entry and tiles alike is found by the signed root", async (t) => {
  const log = await MemoryLog.of(700);
  for (const [file, bytes] of await forge(5, 700)) log.files.set(file, bytes);
  log.rows.find(5).hash = rowHash("forged");
  await expectFaults(t, log, [
    { fault: "checkpoint_invalid", detail: /signs the root .*, the entries give/ },
    { fault: "checkpoint_invalid", detail: "was signed over another tree", table: "checkpoints" },
  ]);
});

t.test("a checkpoint that does not hold is all that is said", async (t) => {
  const { key } = newKey();
  for (const [name, tamper, options] of [
    ["no checkpoint", (log: MemoryLog) => (log.note = ""), {}],
    ["no note", (log: MemoryLog) => (log.note = "what is this"), {}],
    ["a changed size", (log: MemoryLog) => (log.note = log.note.replace("\n300\n", "\n299\n")), {}],
    ["another key", () => {}, { keys: [key] }],
    ["another origin", () => {}, { origin: "meshproof.test/other" }],
    [
      "an origin that is not the key's",
      async (log: MemoryLog) => (log.note = await log.sign({ origin: "meshproof.test/other" })),
      { origin: "meshproof.test/other" },
    ],
  ] as const) {
    const log = await MemoryLog.of(300);
    await tamper(log);
    const report = await expectFaults(t, log, [{ fault: "checkpoint_invalid" }], options);
    t.equal(report.treeSize, 0, name);
    t.equal(report.checked.checkpoints, 0, name);
  }
});

t.test("a checkpoint with a good signature over another root is found", async (t) => {
  const log = await MemoryLog.of(300);
  log.note = await log.sign({ root: rowHash("another root") });
  await expectFaults(t, log, [{ fault: "checkpoint_invalid", detail: /signs the root/ }]);
});

t.test("a log that was taken back is found by the checkpoint that the store holds", async (t) => {
  const log = await MemoryLog.of(300);
  const { note } = log;
  const rows = log.rows.table(299).length;
  await log.grow(700);
  log.note = note;
  for (const name of ["spans", "logs"])
    log.rows.rows[name] = log.rows.rows[name]!.filter(({ index }) => index < 300);
  t.equal(log.rows.table(299).length, rows);
  await expectFaults(t, log, [
    {
      fault: "checkpoint_rolled_back",
      table: "checkpoints",
      detail: "the store holds a checkpoint of 700 leaves, the log's newest has 300",
    },
  ]);
});

t.test(
  "each checkpoint in the store must be signed, of its size, and over this tree",
  async (t) => {
    const log = await MemoryLog.of(100);
    for (const size of [256, 300, 512, 700]) await log.grow(size);
    t.equal((await check(log)).checked.checkpoints, 6);
    log.rows.stored.push(
      { size: 200, note: await log.sign({ size: 200, root: rowHash("a fork") }) },
      { size: 250, note: log.rows.stored[0]!.note },
      { size: 260, note: "nothing" },
      { size: 9000, note: log.note.replace("\n700\n", "\n9000\n") },
    );
    await expectFaults(t, log, [
      { fault: "checkpoint_invalid", detail: /9000 leaves does not hold: .*verify/ },
      { fault: "checkpoint_invalid", detail: /260 leaves does not hold/ },
      { fault: "checkpoint_invalid", detail: /250 leaves is one of 100 leaves/ },
      { fault: "checkpoint_invalid", detail: /200 leaves was signed over another tree/ },
    ]);
  },
);

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

t.test(
  "a row that is kept beside the tables counts as present when it is what was sealed",
  async (t) => {
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
          async *kept() {
            yield { leafIndex: 30, kind: 2, rowHash: rowHash("row 30") };
            yield { leafIndex: 31, kind: 3, rowHash: rowHash("other bytes") };
            yield { leafIndex: 33, kind: 3, rowHash: rowHash("row 33") }; // another kind than was sealed
            yield { leafIndex: 34, kind: 3, rowHash: rowHash("not asked for") };
            yield { leafIndex: 900, kind: kindAt(900), rowHash: rowHash("row 900") };
          },
        },
      );
      t.equal(report.checked.records, 1298);
    }
  },
);

t.test("a row beyond the tree that is kept elsewhere too, waits to be sealed", async (t) => {
  const log = await MemoryLog.of(300);
  for (const index of [300, 301, 302]) log.rows.add(index);
  const asked: number[][] = [];
  await expectFaults(t, log, [{ fault: "row_added", leafIndex: 301, table: "logs" }], {
    async *kept(from, to) {
      asked.push([from, to]);
      yield { leafIndex: 300, kind: kindAt(300), rowHash: rowHash("row 300") };
      yield { leafIndex: 301, kind: kindAt(301), rowHash: rowHash("another row 301") };
      yield { leafIndex: 302, kind: kindAt(302), rowHash: rowHash("row 302") };
    },
  });
  t.same(asked, [[300, Infinity]], "nothing else is asked for while nothing is missing");
});

t.test("rows that arrive late are waited for, and compared when they come", async (t) => {
  const log = await MemoryLog.of(300);
  await log.grow(1000, { store: false });
  let reads = 0;
  log.rows.onRead = () => {
    // Two tables, first the window, then what lies beyond the tree: then they begin to come.
    if (++reads === 5) for (let index = 300; index < 650; index++) log.rows.add(index);
    if (reads === 7) {
      for (let index = 650; index < 1000; index++) log.rows.add(index);
      log.rows.find(800).hash = rowHash("changed on its way");
    }
  };
  const report = await expectFaults(t, log, [{ fault: "row_changed", leafIndex: 800 }], {
    settleMs: LONG_MS,
  });
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
    { settleMs: 1 },
  );
});

t.test("a log that grows while it is verified is verified to where its rows are", async (t) => {
  for (const size of [400, 512, 513, 1100]) {
    const log = await MemoryLog.of(300);
    log.rows.find(299).hash = rowHash("changed");
    log.file("tile/entries/001.p/44")[hashInBundle(3)]! ^= 1;
    let reads = 0;
    log.rows.onRead = () => {
      if (++reads === 3) for (let index = 300; index < size; index++) log.rows.add(index);
      if (reads === 4) {
        void log.grow(size, { store: false }).then(() => {
          log.files.delete("tile/entries/001.p/44");
          log.file(size < 512 ? `tile/entries/001.p/${size - 256}` : "tile/entries/001")[
            hashInBundle(3)
          ]! ^= 1;
        });
      }
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
    let reads = 0;
    log.rows.onRead = () => {
      if (++reads === 3) for (let index = 300; index < 400; index++) log.rows.add(index);
      if (reads !== 4) return;
      void log.grow(400, { store: false }).then(async () => {
        const forged = await forge(280, 400);
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
  let reads = 0;
  log.rows.onRead = () => {
    if (++reads === 3) log.note = note;
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
  t.equal(report.faultCount, 4000);
  t.equal(report.faults.length, MAX_FAULTS);
  t.match(report.faults[0], { fault: "row_missing", leafIndex: 1, table: "logs" });
});

t.test("a store that fails in mid-answer is no verdict", async (t) => {
  const log = await MemoryLog.of(300);
  log.rows.onRead = () => {
    throw new Error("connection lost");
  };
  await t.rejects(check(log), /connection lost/);
});

/** The files of the log of `size` records with another row at `index`, sealed as it ought to be. */
async function forge(index: number, size: number): Promise<ReadonlyMap<string, Buffer>> {
  const log = new MemoryLog();
  await log.grow(size, { forged: index });
  return log.files;
}
