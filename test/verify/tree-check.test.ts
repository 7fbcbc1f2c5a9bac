import t from "tap";
import { encodeBundle } from "../../src/tlog/tiles.ts";
import { check, expectFaults, type ExpectedFault, forge } from "./expect-faults.ts";
import { MemoryLog } from "./memory-log.ts";

/** Bytes of an entry in its bundle, with its length in front. */
const STRIDE = 36;

t.test(
  "any byte of an entry that is flipped names its record, and the row is still good",
  async (t) => {
    const places = [
      ["tile/entries/000", 0, 0],
      ["tile/entries/000", 100, 100],
      ["tile/entries/001", 255, 511],
      ["tile/entries/002.p/188", 0, 512],
      ["tile/entries/002.p/188", 187, 699],
    ] as const;
    const log = await MemoryLog.of(700);
    for (const [file, i, leafIndex] of places) {
      // Both bytes of the length, version, kind, first and last byte of the row hash.
      for (const byte of [0, 1, 2, 3, 4, 35]) {
        for (const bit of [0x01, 0x80]) {
          const at = i * STRIDE + byte;
          log.file(file)[at]! ^= bit;
          await expectFaults(t, log, [{ fault: "entry_changed", leafIndex }]);
          log.file(file)[at]! ^= bit;
        }
      }
    }
    await expectFaults(t, log, []);
  },
);

t.test("several changed entries are all named", async (t) => {
  const log = await MemoryLog.of(700);
  for (const at of [3 * STRIDE, 3 * STRIDE + 1, 9 * STRIDE + 1, 11 * STRIDE + 7])
    log.file("tile/entries/001")[at]! ^= 1;
  const { faults } = await check(log);
  t.same(
    faults.map(({ fault, leafIndex }) => [fault, leafIndex]),
    [259, 265, 267].map((leafIndex) => ["entry_changed", leafIndex]),
  );
});

t.test("entries that swap their places are both named", async (t) => {
  const log = await MemoryLog.of(300);
  const file = log.file("tile/entries/000");
  const first = Buffer.from(file.subarray(4 * STRIDE, 5 * STRIDE));
  file.copy(file, 4 * STRIDE, 7 * STRIDE, 8 * STRIDE);
  first.copy(file, 7 * STRIDE);
  await expectFaults(t, log, [
    { fault: "entry_changed", leafIndex: 4 },
    { fault: "entry_changed", leafIndex: 7 },
  ]);
});

t.test("a bundle that is cut, grown or no bundle at all is changed from there on", async (t) => {
  for (const [change, leafIndex] of [
    [(bytes: Buffer) => bytes.subarray(0, -1), 511],
    [(bytes: Buffer) => bytes.subarray(0, 10 * STRIDE + 1), 266],
    [(bytes: Buffer) => bytes.subarray(0, 10 * STRIDE), 266],
    [(bytes: Buffer) => Buffer.concat([bytes, bytes.subarray(0, STRIDE)]), 511],
    [(bytes: Buffer) => bytes.fill(0xff, STRIDE, STRIDE + 2), 257],
    [() => Buffer.alloc(0), 256],
  ] as const) {
    const log = await MemoryLog.of(700);
    log.files.set("tile/entries/001", change(log.file("tile/entries/001")));
    await expectFaults(t, log, [{ fault: "entry_changed", leafIndex, detail: /bundle 1:/ }]);
  }
});

t.test("an entry of another length is changed like any other", async (t) => {
  const log = await MemoryLog.of(300);
  const old = log.file("tile/entries/000");
  const entries = Array.from({ length: 256 }, (_, i) =>
    old.subarray(i * STRIDE + 2, (i + 1) * STRIDE),
  );
  entries[17] = Buffer.from("something else");
  log.files.set("tile/entries/000", Buffer.from(encodeBundle(entries)));
  await expectFaults(t, log, [{ fault: "entry_changed", leafIndex: 17 }]);
});

t.test(
  "any byte of a tile that is flipped names the tile, on every level, full and partial",
  async (t) => {
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
      const bytes = log.file(file);
      for (const at of [0, 31, bytes.length - 1]) {
        bytes[at]! ^= 1;
        const rows = size > 700 ? { rows: null } : {};
        await expectFaults(t, log, [{ fault: "tile_changed", detail: `tile ${name} ` }], rows);
        bytes[at]! ^= 1;
      }
    }
  },
);

t.test("a tile of the wrong length is a changed tile", async (t) => {
  for (const file of ["tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"]) {
    for (const change of [
      (bytes: Buffer) => bytes.subarray(0, -32),
      (bytes: Buffer) => bytes.subarray(0, -1),
      (bytes: Buffer) => Buffer.concat([bytes, bytes.subarray(0, 32)]),
      () => Buffer.alloc(0),
    ]) {
      const log = await MemoryLog.of(700);
      log.files.set(file, change(log.file(file)));
      await expectFaults(t, log, [{ fault: "tile_changed" }]);
    }
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
    log.rows.find(2).name = "changed";
    log.rows.find(600).name = "changed";
    const missing = { fault: "tile_missing", detail } as const;
    const changed = [2, 600].map((leafIndex) => ({ fault: "row_changed", leafIndex }) as const);
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
    log.rows.find(301).name = "changed";
    log.rows.find(600).name = "changed";
    await expectFaults(t, log, [
      { fault: "tile_missing", detail: "entry bundle 1" },
      { fault: "tile_missing", detail: "tile 0/1" },
      { fault: "row_changed", leafIndex: 600 },
    ]);
  },
);

t.test(
  "row, entry and tiles changed alike are found by the first tile above that was not",
  async (t) => {
    const original = await MemoryLog.of(66_000);
    const forged = await forge(1000, 66_000);
    const [bundle, tile, above] = ["tile/entries/003", "tile/0/003", "tile/1/000"];
    for (const [files, expected] of [
      [
        [bundle, tile],
        {
          fault: "entry_changed",
          leafIndex: 768,
          detail: /^of the records 768 to 1023 .* tile 1\/0,/,
        },
      ],
      [
        [bundle, tile, above],
        {
          fault: "entry_changed",
          leafIndex: 0,
          detail: /^of the records 0 to 65535 .* tile 2\/0,/,
        },
      ],
    ] as const satisfies [string[], ExpectedFault][]) {
      const log = await MemoryLog.of(0);
      for (const [name, bytes] of original.files) log.files.set(name, bytes);
      for (const name of files) log.files.set(name, forged.get(name)!);
      log.note = original.note;
      await expectFaults(t, log, [expected], { rows: null, keys: [original.key] });
    }
  },
);

t.test(
  "a log of which everything but the checkpoint was forged is found by the root",
  async (t) => {
    for (const size of [5, 256, 700]) {
      const log = await MemoryLog.of(size);
      for (const [file, bytes] of await forge(3, size)) log.files.set(file, bytes);
      log.rows.find(3).name = "forged";
      await expectFaults(t, log, [
        { fault: "checkpoint_invalid", detail: /signs the root .*, the entries give/ },
      ]);
    }
  },
);
