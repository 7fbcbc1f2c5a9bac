import t from "tap";
import { formatVerifiedState, parseVerifiedState } from "../../src/verify/state.ts";
import { check, expectFaults, forge } from "./expect-faults.ts";
import { MemoryLog, newKey, rowHash } from "./memory-log.ts";

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
    log.rows.stored.length = 0;
    await tamper(log);
    const report = await expectFaults(t, log, [{ fault: "checkpoint_invalid" }], options);
    t.match(report, { treeSize: 0, checkpoint: null, checked: { checkpoints: 0 } }, name);
  }
});

t.test("any byte of the checkpoint that is flipped is found", async (t) => {
  const log = await MemoryLog.of(300);
  const { note } = log;
  for (let at = 0; at < note.length; at++) {
    log.note = `${note.slice(0, at)}${String.fromCharCode(note.charCodeAt(at) ^ 1)}${note.slice(at + 1)}`;
    const { integrity, faults } = await check(log, { rows: null });
    t.same([integrity, faults.length, faults[0]?.fault], ["broken", 1, "checkpoint_invalid"]);
  }
});

t.test("a checkpoint with a good signature over another root is found", async (t) => {
  const log = await MemoryLog.of(300);
  log.rows.stored.length = 0;
  log.note = await log.sign({ root: rowHash("another root") });
  await expectFaults(t, log, [
    { fault: "checkpoint_invalid", detail: /signs the root .* entries give [0-9a-f]{64}$/ },
  ]);
});

t.test("a log that was taken back is found by the checkpoint that the store holds", async (t) => {
  const log = await MemoryLog.of(300);
  const { note } = log;
  await log.grow(700);
  log.note = note;
  for (const name of ["spans", "logs"])
    log.rows.rows[name] = log.rows.rows[name]!.filter(({ index }) => index < 300);
  await expectFaults(t, log, [
    {
      fault: "checkpoint_rolled_back",
      table: "checkpoints",
      detail: "the stored checkpoint of 700 leaves was signed, the log's newest has 300",
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
      { size: 280, note: await new MemoryLog().sign({ size: 280, root: rowHash("foreign") }) },
      { size: 9000, note: log.note.replace("\n700\n", "\n9000\n") },
    );
    await expectFaults(t, log, [
      { fault: "checkpoint_invalid", detail: /9000 leaves does not hold: .*verify/ },
      { fault: "checkpoint_invalid", detail: /280 leaves does not hold/ },
      { fault: "checkpoint_invalid", detail: /260 leaves does not hold/ },
      { fault: "checkpoint_invalid", detail: /250 leaves is one of 100 leaves/ },
      {
        fault: "checkpoint_invalid",
        table: "checkpoints",
        detail:
          "the stored checkpoint of 200 leaves was signed over another tree: the log has forked",
      },
    ]);
  },
);

t.test("a fork that was signed several times is one fault", async (t) => {
  const log = await MemoryLog.of(100);
  await log.grow(700);
  for (const size of [200, 300, 400])
    log.rows.stored.push({ size, note: await log.sign({ size, root: rowHash(`fork ${size}`) }) });
  await expectFaults(t, log, [
    {
      fault: "checkpoint_invalid",
      detail:
        "the stored checkpoint of 200 leaves was signed over another tree, as were the 2 after it up to that of 400 leaves: the log has forked",
    },
  ]);
});

t.test("the checkpoints in the store tell where a forged log was changed", async (t) => {
  const log = new MemoryLog();
  for (let size = 100; size <= 700; size += 100) await log.grow(size);
  for (const [file, bytes] of await forge(350, 700)) log.files.set(file, bytes);
  log.rows.find(350).name = "forged";
  await expectFaults(t, log, [
    {
      fault: "checkpoint_invalid",
      detail: /the change lies in records 300 to 399; the first 300 are/,
    },
  ]);
});

t.test(
  "a log that its key's holder wrote anew is found by a checkpoint that was kept",
  async (t) => {
    const log = await MemoryLog.of(300);
    const kept = { name: "the expected checkpoint (kept)", note: log.note };
    await log.grow(700);
    await expectFaults(t, log, [], { expected: [kept] });

    const forged = new MemoryLog(log);
    await forged.grow(700, { forged: 5 });
    forged.rows.find(5).name = "forged";
    await expectFaults(t, forged, []);
    await expectFaults(
      t,
      forged,
      [
        {
          fault: "checkpoint_invalid",
          table: null,
          detail:
            "the expected checkpoint (kept), of 300 leaves, was signed over another tree: the log has forked",
        },
      ],
      { expected: [kept] },
    );
  },
);

t.test("an expected checkpoint that is newer, or foreign, is named as such", async (t) => {
  const log = await MemoryLog.of(300);
  const { note } = log;
  await log.grow(400);
  const newer = { name: "the expected checkpoint", note: log.note };
  log.note = note;
  log.rows.stored.length = 1;
  for (const name of ["spans", "logs"])
    log.rows.rows[name] = log.rows.rows[name]!.filter(({ index }) => index < 300);
  await expectFaults(
    t,
    log,
    [
      {
        fault: "checkpoint_rolled_back",
        table: null,
        detail: "the expected checkpoint, of 400 leaves, was signed, the log's newest has 300",
      },
    ],
    { expected: [newer] },
  );
  const other = await MemoryLog.of(300);
  await expectFaults(
    t,
    log,
    [{ fault: "checkpoint_invalid", detail: /^the expected checkpoint does not hold: / }],
    { expected: [{ name: "the expected checkpoint", note: other.note }] },
  );
});

t.test(
  "since a checkpoint only what is new is checked, and that the log continues it",
  async (t) => {
    for (const [before, after] of [
      [1, 2],
      [255, 256],
      [256, 256],
      [256, 700],
      [300, 300],
      [300, 700],
      [511, 66_000],
      [65_536, 66_000],
      [65_800, 66_000],
    ] as const) {
      const log = await MemoryLog.of(before);
      const since = { name: "the checkpoint before", note: log.note };
      await log.grow(after);
      const start = Math.floor(before / 256) * 256;
      const report = await expectFaults(t, log, [], { since });
      t.equal(report.checked.records, after - start, `${before} to ${after}`);
      if (after > before) {
        log.rows.find(after - 1).name = "changed";
        await expectFaults(t, log, [{ fault: "row_changed", leafIndex: after - 1 }], { since });
        log.rows.find(after - 1).name = `row ${after - 1}`;
      }
      if (start > 0) {
        log.rows.find(0).name = "changed";
        await expectFaults(t, log, [], { since });
      }
    }
  },
);

t.test("a log that does not continue what was verified before is found", async (t) => {
  for (const before of [300, 512]) {
    const log = await MemoryLog.of(before);
    const since = { name: "the checkpoint before", note: log.note };
    const forged = new MemoryLog(log);
    await forged.grow(700, { forged: 5 });
    await expectFaults(
      t,
      forged,
      [
        {
          fault: "checkpoint_invalid",
          detail: /^the checkpoint before, of \d+ leaves, was signed over/,
        },
      ],
      { since },
    );
    const shorter = await MemoryLog.of(200);
    await expectFaults(
      t,
      shorter,
      [{ fault: "checkpoint_invalid", detail: /^the checkpoint before does not hold/ }],
      { since },
    );
    const rolledBack = new MemoryLog(log);
    await rolledBack.grow(200);
    await expectFaults(t, rolledBack, [{ fault: "checkpoint_rolled_back" }], { since });
  }
});

t.test("a range is checked by its whole bundles, and led to the signed root", async (t) => {
  const log = await MemoryLog.of(70_000);
  for (const [from, to, start, end] of [
    [0, 1, 0, 256],
    [300, 400, 256, 512],
    [255, 257, 0, 512],
    [65_535, 65_537, 65_280, 65_792],
    [69_999, 70_000, 69_888, 70_000],
    [69_000, 90_000, 68_864, 70_000],
    [80_000, 90_000, 69_888, 70_000],
  ] as const) {
    const report = await expectFaults(t, log, [], { from, to, windowLeaves: 256 });
    t.equal(report.checked.records, end - start, `${from} to ${to}`);
    t.equal(report.treeSize, 70_000);
  }
  log.rows.find(299).name = "changed";
  await expectFaults(t, log, [{ fault: "row_changed", leafIndex: 299 }], { from: 300, to: 400 });
  await expectFaults(t, log, [], { from: 600, to: 700 });
  log.rows.find(299).name = "row 299";
  const forged = await forge(300, 70_000);
  for (const file of ["tile/entries/001", "tile/0/001"]) log.files.set(file, forged.get(file)!);
  await expectFaults(
    t,
    log,
    [{ fault: "entry_changed", leafIndex: 256, detail: /^of the records 256 to 511 / }],
    { from: 300, to: 400, rows: null },
  );
  await expectFaults(t, log, [], { from: 600, to: 700, rows: null });
});

t.test("a tile to the left of a range that was changed is named", async (t) => {
  const log = await MemoryLog.of(70_000);
  log.file("tile/1/000")[40]! ^= 1;
  await expectFaults(t, log, [{ fault: "tile_changed", detail: /^tile 1\/0 / }], {
    from: 600,
    to: 700,
    rows: null,
  });
  log.files.delete("tile/1/000");
  await expectFaults(
    t,
    log,
    [{ fault: "tile_missing", detail: "tile 1/0 of 256 hashes is missing" }],
    {
      from: 600,
      to: 700,
      rows: null,
    },
  );
});

t.test(
  "the state of a verification is what its text says, and nothing else is taken",
  async (t) => {
    const state = { checkpoint: "note\n", verifiedAt: "2026-09-21T14:13:20.000Z" };
    t.same(parseVerifiedState(formatVerifiedState(state), "f"), state);
    for (const text of [
      "",
      "{}",
      "null",
      "[]",
      '{"version":2,"checkpoint":"x","verifiedAt":"y"}',
      '{"version":1,"checkpoint":7,"verifiedAt":"y"}',
      '{"version":1,"checkpoint":"x"}',
    ])
      t.throws(() => parseVerifiedState(text, "f"), { code: "CONFIG_INVALID", message: /^f: / });
  },
);
