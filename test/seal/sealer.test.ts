import {
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { PlacedBatch } from "../../src/core/rows.ts";
import { Sealer } from "../../src/seal/sealer.ts";
import { FileLogStore, TileBuffer } from "../../src/seal/tile-store.ts";
import { openCheckpoint } from "../../src/tlog/checkpoint.ts";
import { encodeEntry } from "../../src/tlog/entry.ts";
import { leafHash } from "../../src/tlog/merkle.ts";
import { parseVerifierKey, signNote } from "../../src/tlog/note.ts";
import { checkProof } from "../../src/tlog/proof.ts";
import { formatTilePath } from "../../src/tlog/tiles.ts";
import {
  Disk,
  DiskStore,
  JournalModel,
  ORIGIN,
  type TestSigner,
  batchOf,
  bundleAt,
  kindAt,
  newSigner,
  optionsOf,
  pathsAt,
  rowHashAt,
  textAt,
} from "./fixture.ts";

/** A log in files of `sizes.at(-1)` records with a checkpoint at each of `sizes`, closed. */
async function makeLog(
  directory: string,
  signer: TestSigner,
  sizes: readonly number[],
): Promise<JournalModel> {
  const journal = new JournalModel();
  const sealer = await Sealer.open(optionsOf(directory, signer));
  await sealer.recover([]);
  for (const size of sizes) {
    sealer.append(journal.append(size - sealer.size));
    await sealer.checkpoint();
  }
  await sealer.close();
  return journal;
}

async function openAndRecover(
  directory: string,
  signer: TestSigner,
  frames: readonly PlacedBatch[] = [],
): Promise<Sealer> {
  const sealer = await Sealer.open(optionsOf(directory, signer));
  await sealer.recover(frames).catch(async (error: unknown) => {
    await sealer.close();
    throw error;
  });
  return sealer;
}

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

const readState = (directory: string): { checkpoint: string; durableThrough: number } =>
  JSON.parse(readFileSync(join(directory, "state/checkpoint.json"), "utf8"));

t.test("the log is laid out in files as C2SP tlog-tiles serves them", async (t) => {
  const directory = t.testdir();
  const signer = newSigner();
  await makeLog(directory, signer, [256, 300, 600]);
  const note = readFileSync(join(directory, "log/checkpoint"), "utf8");
  t.ok(note.startsWith(textAt(600)));
  t.equal(openCheckpoint(note, ORIGIN, [parseVerifierKey(signer.verifierKey)]).size, 600);
  for (const size of [256, 300, 600]) {
    for (const path of pathsAt(size)) {
      const file = join(directory, "log", formatTilePath(path));
      const partialIsGone =
        path.width < 256 &&
        existsSync(join(directory, "log", formatTilePath({ ...path, width: 256 })));
      if (!partialIsGone) t.ok(existsSync(file), `${formatTilePath(path)} of ${size}`);
    }
  }
  t.same(readFileSync(join(directory, "log/tile/entries/001")), bundleAt(1, 256));
  t.same(readFileSync(join(directory, "log/tile/entries/002.p/88")), bundleAt(2, 88));
  t.equal(statSync(join(directory, "log/tile/0/000")).size, 8_192);
  t.equal(statSync(join(directory, "log/tile/1/000.p/2")).size, 64);
  t.equal(statSync(join(directory, "log/checkpoint")).mode & 0o777, 0o644 & ~process.umask());
  t.equal(statSync(join(directory, "state/checkpoint.json")).mode & 0o777, 0o600);
  t.same(
    readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".tmp"),
    ),
    [],
  );
});

t.test("every record of the published checkpoint has a proof, also after a restart", async (t) => {
  const directory = t.testdir();
  const signer = newSigner();
  await makeLog(directory, signer, [5, 257, 515]);
  const sealer = await openAndRecover(directory, signer);
  const key = parseVerifierKey(signer.verifierKey);
  for (let index = 0; index < 515; index += 7) {
    checkProof(
      await sealer.prove(index),
      leafHash(encodeEntry(kindAt(index), rowHashAt(index))),
      ORIGIN,
      [key],
    );
  }
  await t.rejects(sealer.prove(515), { code: "PROOF_RANGE" });
  t.same(
    await sealer.read({ level: "entries", index: 0, width: 5 }),
    bundleAt(0, 5),
    "a partial bundle that is gone is cut from the full one",
  );
  t.equal((await sealer.read({ level: 0, index: 0, width: 5 }))?.length, 160);
  t.equal(await sealer.read({ level: 0, index: 9, width: 256 }), null);
  t.equal(sealer.published?.size, 515);
  await sealer.close();
});

t.test(
  "a log that was closed goes on without its journal, and signs nothing anew while nothing comes",
  async (t) => {
    const directory = t.testdir();
    const signer = newSigner();
    await makeLog(directory, signer, [300]);
    const first = await openAndRecover(directory, signer);
    t.equal(first.replayFrom, 300);
    t.equal(first.durableThrough, 300);
    t.equal(signer.signed.length, 1, "the restart alone signs nothing");
    first.append(batchOf(300, 300));
    await first.close();
    t.same(signer.signed, [textAt(300), textAt(600)], "closing makes the last checkpoint");
    t.equal(readState(directory).durableThrough, 600);
    const second = await openAndRecover(directory, signer);
    t.equal(second.publishedSize, 600);
    await second.close();
  },
);

t.test("checkpoints come by interval and by number of records, not without records", async (t) => {
  const signer = newSigner();
  const published: number[] = [];
  const durable: number[] = [];
  const sealer = await Sealer.open(
    optionsOf(t.testdir(), signer, {
      checkpointIntervalMs: 5,
      checkpointRecords: 100,
      store: new DiskStore(new Disk()),
      onPublished: ({ size }) => published.push(size),
      onDurable: (through) => durable.push(through),
    }),
  );
  await sealer.recover([]);
  sealer.append(batchOf(0, 3));
  await waitFor(() => durable.at(-1) === 3);
  t.same(published, [3]);
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.same(published, [3], "nothing new, nothing signed");
  await sealer.close();

  published.length = 0;
  const byNumber = await Sealer.open(
    optionsOf(t.testdir(), signer, {
      checkpointRecords: 100,
      store: new DiskStore(new Disk()),
      onPublished: ({ size }) => published.push(size),
    }),
  );
  await byNumber.recover([]);
  byNumber.append(batchOf(0, 99));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(published, []);
  byNumber.append(batchOf(99, 1));
  for (let size = 100; size < 160; size += 10) byNumber.append(batchOf(size, 10));
  await waitFor(() => published.length > 0);
  t.same(published, [160], "what arrives before the checkpoint begins is part of it");
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(published, [160], "and does not call for another");
  await byNumber.close();
});

t.test("batches out of order are a programmer's mistake", async (t) => {
  const sealer = await Sealer.open(
    optionsOf(t.testdir(), newSigner(), { store: new DiskStore(new Disk()) }),
  );
  t.throws(() => sealer.append(batchOf(0, 1)), { code: "ERR_ASSERTION" }, "before recover");
  await sealer.recover([]);
  t.throws(() => sealer.append(batchOf(1, 1)), { code: "ERR_ASSERTION" });
  sealer.append(batchOf(0, 2));
  t.throws(() => sealer.append(batchOf(1, 1)), { code: "ERR_ASSERTION" });
  await sealer.close();
  t.throws(() => sealer.append(batchOf(2, 1)), { code: "ERR_ASSERTION" }, "after close");
  await sealer.close();
});

t.test(
  "a signer that fails puts the checkpoint off; a wrong signature ends the sealer",
  async (t) => {
    const signer = newSigner();
    const { sign } = signer;
    const disk = new Disk();
    const options = optionsOf(t.testdir(), signer, { store: new DiskStore(disk) });
    const sealer = await Sealer.open(options);
    await sealer.recover([]);
    sealer.append(batchOf(0, 10));
    signer.sign = async () => {
      throw new Error("no route to the key");
    };
    await t.rejects(sealer.checkpoint(), { code: "UNAVAILABLE", message: /no route to the key/ });
    t.equal(disk.state, null, "nothing is committed");
    sealer.append(batchOf(10, 10));
    signer.sign = sign;
    await sealer.checkpoint();
    t.equal(sealer.publishedSize, 20);
    sealer.append(batchOf(20, 1));
    signer.sign = async () => Buffer.alloc(64);
    await t.rejects(sealer.checkpoint(), { code: "KEY_INVALID" });
    t.match(options.fatal, [{ code: "KEY_INVALID" }]);
    t.throws(() => sealer.append(batchOf(21, 1)), { code: "KEY_INVALID" });
    await t.rejects(sealer.checkpoint(), { code: "KEY_INVALID" });
    await sealer.close();
    t.equal(options.fatal.length, 1, "a fatal error is reported once");
    t.match(disk.published, new RegExp(`^${ORIGIN}\n20\n`));
  },
);

/** A store whose next operation of a name fails once with a system error. */
class FailingStore extends DiskStore {
  failing: { operation: string; code: string; syscall: string } | null = null;

  #fail(operation: string): void {
    if (this.failing?.operation !== operation) return;
    const { code, syscall } = this.failing;
    this.failing = null;
    throw Object.assign(new Error(`${code}: ${syscall}`), { code, syscall });
  }

  override async write(...args: Parameters<DiskStore["write"]>): Promise<void> {
    this.#fail("write");
    return super.write(...args);
  }

  override async sync(): Promise<void> {
    this.#fail("sync");
    return super.sync();
  }

  override async writeState(...args: Parameters<DiskStore["writeState"]>): Promise<void> {
    this.#fail("writeState");
    return super.writeState(...args);
  }
}

t.test("a full disk is waited for, at each place that a write can notice it", async (t) => {
  for (const operation of ["write", "writeState"]) {
    const store = new FailingStore(new Disk());
    const signer = newSigner();
    const options = optionsOf(t.testdir(), signer, { store });
    const sealer = await Sealer.open(options);
    await sealer.recover([]);
    sealer.append(batchOf(0, 300));
    store.failing = { operation, code: "ENOSPC", syscall: "write" };
    await t.rejects(sealer.checkpoint(), { code: "STORAGE_FULL" }, operation);
    sealer.append(batchOf(300, 300));
    await sealer.checkpoint();
    await sealer.close();
    t.same(options.fatal, []);
    t.ok(store.disk.published!.startsWith(textAt(600)));
    for (const path of pathsAt(600))
      t.ok(store.disk.files.has(formatTilePath(path)), formatTilePath(path));
  }
});

t.test("any other failure of the disk ends the sealer, above all one of fsync", async (t) => {
  const failures = [
    { operation: "write", code: "EIO", syscall: "write" },
    { operation: "write", code: "ENOSPC", syscall: "fdatasync" },
    { operation: "writeState", code: "ENOSPC", syscall: "fsync" },
    { operation: "sync", code: "EIO", syscall: "fdatasync" },
  ];
  for (const failure of failures) {
    const store = new FailingStore(new Disk());
    const options = optionsOf(t.testdir(), newSigner(), { store });
    const sealer = await Sealer.open(options);
    await sealer.recover([]);
    sealer.append(batchOf(0, 300));
    store.failing = failure;
    await sealer.checkpoint().catch(() => {});
    await waitFor(() => options.fatal.length > 0);
    t.match(
      options.fatal,
      [{ code: "LOG_FAILED", cause: { code: failure.code } }],
      JSON.stringify(failure),
    );
    t.throws(() => sealer.append(batchOf(300, 1)), { code: "LOG_FAILED" });
    await sealer.close();
    t.equal(sealer.durableThrough, 0, "and calls nothing durable");
  }
});

interface Damage {
  readonly what: string;
  readonly code: string;
  readonly message: RegExp;
  /** Changes the log that was closed at 300 and at 600 records; `before` is its commit record at 300. */
  act(directory: string, before: string, signer: TestSigner): void | TestSigner | Promise<void>;
}

const flip = (file: string, at: number): void => {
  const bytes = readFileSync(file);
  bytes[at]! ^= 1;
  writeFileSync(file, bytes);
};

const DAMAGES: readonly Damage[] = [
  {
    what: "an older commit record",
    code: "LOG_INCONSISTENT",
    message: /600 records is published, state\/ knows of 300/,
    act: (directory, before) => writeFileSync(join(directory, "state/checkpoint.json"), before),
  },
  {
    what: "no commit record",
    code: "LOG_INCONSISTENT",
    message: /600 records is published, state\/ knows of 0/,
    act: (directory) => rmSync(join(directory, "state/checkpoint.json")),
  },
  {
    what: "no commit record, and a publication by another key",
    code: "LOG_INCONSISTENT",
    message: /state\/ has no record/,
    act: (directory) => {
      rmSync(join(directory, "state/checkpoint.json"));
      return newSigner();
    },
  },
  {
    what: "a fork: another tree of the same size, signed",
    code: "LOG_INCONSISTENT",
    message: /two different trees of 600/,
    act: async (directory, _before, signer) =>
      writeFileSync(
        join(directory, "log/checkpoint"),
        await signNote(textAt(600).replace(/\n.{43}=/, `\n${"A".repeat(43)}=`), [signer]),
      ),
  },
  {
    what: "a commit record that is no JSON",
    code: "LOG_INCONSISTENT",
    message: /expected JSON/,
    act: (directory) => writeFileSync(join(directory, "state/checkpoint.json"), ""),
  },
  {
    what: "a commit record of another form",
    code: "LOG_INCONSISTENT",
    message: /expected a commit record/,
    act: (directory) => writeFileSync(join(directory, "state/checkpoint.json"), '{"version":1}'),
  },
  {
    what: "a commit record of a later version",
    code: "LOG_INCONSISTENT",
    message: /got one of version 2: a newer meshproof wrote it/,
    act: (directory) => writeFileSync(join(directory, "state/checkpoint.json"), '{"version":2}'),
  },
  {
    what: "a commit record with another root",
    code: "LOG_INCONSISTENT",
    message: /valid signature/,
    act: (directory) => {
      const file = join(directory, "state/checkpoint.json");
      writeFileSync(file, readFileSync(file, "utf8").replace(/600\\n.{4}/, "600\\nAAAA"));
    },
  },
  {
    what: "a commit record that claims more to be durable than was signed",
    code: "LOG_INCONSISTENT",
    message: /do not end with that of its checkpoint/,
    act: (directory) => {
      const file = join(directory, "state/checkpoint.json");
      writeFileSync(
        file,
        readFileSync(file, "utf8").replace('"durableThrough": 600', '"durableThrough": 900'),
      );
    },
  },
  {
    what: "another key",
    code: "KEY_INVALID",
    message: /was signed by key/,
    act: () => newSigner(),
  },
  {
    what: "a changed partial tile",
    code: "LOG_INCONSISTENT",
    message: /does not hash to its leaf/,
    act: (directory) => flip(join(directory, "log/tile/0/002.p/88"), 40),
  },
  {
    what: "a changed partial bundle",
    code: "LOG_INCONSISTENT",
    message: /entry 514 does not hash/,
    act: (directory) => flip(join(directory, "log/tile/entries/002.p/88"), 2 * 36 + 30),
  },
  {
    what: "a cut partial bundle",
    code: "LOG_INCONSISTENT",
    message: /entry bundle/,
    act: (directory) =>
      writeFileSync(join(directory, "log/tile/entries/002.p/88"), bundleAt(2, 87)),
  },
  {
    what: "a changed upper tile",
    code: "LOG_INCONSISTENT",
    message: /do not hash to the root/,
    act: (directory) => flip(join(directory, "log/tile/1/000.p/2"), 1),
  },
  {
    what: "a missing tile",
    code: "LOG_INCONSISTENT",
    message: /tile\/1\/000\.p\/2 is missing/,
    act: (directory) => rmSync(join(directory, "log/tile/1/000.p/2")),
  },
  {
    what: "a tile of a wrong length",
    code: "LOG_INCONSISTENT",
    message: /expected 64 bytes/,
    act: (directory) => writeFileSync(join(directory, "log/tile/1/000.p/2"), "x"),
  },
];

t.test("a log that contradicts itself is not continued", async (t) => {
  const root = t.testdir();
  const whole = join(root, "whole");
  const signer = newSigner();
  await makeLog(whole, signer, [300]);
  const before = readFileSync(join(whole, "state/checkpoint.json"), "utf8");
  const sealer = await openAndRecover(whole, signer);
  sealer.append(batchOf(300, 300));
  await sealer.close();
  for (const [i, damage] of DAMAGES.entries()) {
    const directory = join(root, String(i));
    cpSync(whole, directory, { recursive: true });
    const other = await damage.act(directory, before, signer);
    const published = readFileSync(join(directory, "log/checkpoint"), "utf8");
    await t.rejects(
      Sealer.open(optionsOf(directory, other ?? signer)),
      { code: damage.code, message: damage.message },
      damage.what,
    );
    t.equal(
      readFileSync(join(directory, "log/checkpoint"), "utf8"),
      published,
      "nothing is changed",
    );
  }
  const renamed = newSigner("meshproof.test/renamed");
  await t.rejects(Sealer.open({ ...optionsOf(whole, renamed), origin: renamed.name }), {
    code: "LOG_INCONSISTENT",
    message: /an origin cannot change/,
  });
});

t.test("a last full tile is checked against the one above", async (t) => {
  const directory = t.testdir();
  const signer = newSigner();
  await makeLog(directory, signer, [512]);
  // A bundle and its tile, changed alike.
  const changed = encodeEntry(1, rowHashAt(999));
  const bundle = Buffer.concat([bundleAt(1, 255), Buffer.of(0, 34), changed]);
  writeFileSync(join(directory, "log/tile/entries/001"), bundle);
  const tile = readFileSync(join(directory, "log/tile/0/001"));
  tile.set(leafHash(changed), 255 * 32);
  writeFileSync(join(directory, "log/tile/0/001"), tile);
  await t.rejects(Sealer.open(optionsOf(directory, signer)), {
    code: "LOG_INCONSISTENT",
    message: /tile 1 of level 0 does not hash to its place in level 1/,
  });
});

t.test("an older or a broken publication is published again", async (t) => {
  const directory = t.testdir();
  const signer = newSigner();
  await makeLog(directory, signer, [300]);
  const old = readFileSync(join(directory, "log/checkpoint"), "utf8");
  const sealer = await openAndRecover(directory, signer);
  sealer.append(batchOf(300, 300));
  await sealer.close();
  const current = readFileSync(join(directory, "log/checkpoint"), "utf8");
  for (const text of [old, "", "garbage", current.replace("600", "900"), null]) {
    if (text === null) rmSync(join(directory, "log/checkpoint"));
    else writeFileSync(join(directory, "log/checkpoint"), text);
    await (await openAndRecover(directory, signer)).close();
    t.equal(readFileSync(join(directory, "log/checkpoint"), "utf8"), current, JSON.stringify(text));
  }
  t.equal(signer.signed.length, 2, "no new signature is made for it");
});

/** A log whose commit record is at 600 and whose files are known to be durable up to 300 alone. */
async function makeUnsynced(
  t: Test,
): Promise<{ signer: TestSigner; disk: Disk; journal: JournalModel }> {
  const signer = newSigner();
  const disk = new Disk();
  const journal = new JournalModel();
  const first = await Sealer.open(optionsOf(t.testdir(), signer, { store: new DiskStore(disk) }));
  await first.recover([]);
  first.append(journal.append(300));
  await first.close();
  const store = new DiskStore(disk, 2 * 3);
  const second = await Sealer.open(optionsOf(t.testdir(), signer, { store }));
  await second.recover([]);
  for (let i = 0; i < 3; i++) second.append(journal.append(100));
  await second.checkpoint().catch(() => {});
  await second.close();
  return { signer, disk, journal };
}

t.test("a journal that does not lead to the signed tree is refused", async (t) => {
  const { signer, disk, journal } = await makeUnsynced(t);
  t.equal(disk.state?.durableThrough, 300);
  t.ok(disk.state?.checkpoint.startsWith(textAt(600)));
  const cases: [string, PlacedBatch[], RegExp | null][] = [
    ["no journal", [], /tiles and journal end at 300/],
    ["a journal that begins too late", [batchOf(400, 200)], /the journal goes on at 400/],
    [
      "a journal with a gap",
      [batchOf(300, 100), batchOf(500, 100)],
      /tiles reach to record 400, the journal goes on at 500/,
    ],
    [
      "a journal that ends too early",
      journal.frames(300).slice(0, 2),
      /tiles and journal end at 500/,
    ],
    [
      "a changed row",
      [batchOf(300, 300, (index) => rowHashAt(index === 450 ? 0 : index))],
      /another root hash/,
    ],
    [
      "a changed row in a longer frame",
      [batchOf(300, 900, (index) => rowHashAt(index === 450 ? 0 : index))],
      /another root hash/,
    ],
    ["a frame that begins below and ends beyond", [batchOf(0, 250), batchOf(250, 700)], null],
  ];
  for (const [what, frames, message] of cases) {
    const copy = Object.assign(new Disk(), { state: disk.state, published: disk.published });
    for (const [path, bytes] of disk.files) copy.files.set(path, bytes);
    const sealer = await Sealer.open(
      optionsOf(t.testdir(), signer, { store: new DiskStore(copy) }),
    );
    t.equal(sealer.replayFrom, 300);
    if (message === null) {
      await sealer.recover(frames);
      t.equal(sealer.publishedSize, 950, what);
      t.ok(copy.published!.startsWith(textAt(950)));
    } else {
      await t.rejects(sealer.recover(frames), { code: "LOG_INCONSISTENT", message }, what);
      t.equal(copy.published, disk.published);
    }
    await sealer.close();
  }
});

t.test("files cut by a crash are written again, whole ones left alone", async (t) => {
  const directory = t.testdir();
  const store = await FileLogStore.open(directory);
  const files = new TileBuffer();
  files.add({ level: 0, index: 0, width: 256 }, Buffer.alloc(8_192, 1));
  files.add({ level: 0, index: 1_234_067, width: 3 }, Buffer.alloc(96, 2));
  files.add({ level: "entries", index: 0, width: 256 }, Buffer.alloc(9_216, 3));
  const taken = files.take();
  t.equal(files.length, 0);
  await store.write(taken);
  await store.sync();
  const whole = join(directory, "log/tile/0/000");
  const { ino, mtimeNs } = statSync(whole, { bigint: true });
  writeFileSync(join(directory, "log/tile/entries/000"), Buffer.alloc(100, 3));
  writeFileSync(join(directory, "log/tile/0/x001/x234/067.p/3"), "");
  await store.write(taken);
  await store.sync();
  t.same(readFileSync(join(directory, "log/tile/entries/000")), Buffer.alloc(9_216, 3));
  t.same(readFileSync(join(directory, "log/tile/0/x001/x234/067.p/3")), Buffer.alloc(96, 2));
  t.match(statSync(whole, { bigint: true }), { ino, mtimeNs });
  await store.removePartials([
    { level: 0, index: 1_234_067, width: 256 },
    { level: 0, index: 7, width: 256 },
  ]);
  t.notOk(existsSync(join(directory, "log/tile/0/x001/x234/067.p")));
  await store.sync();
  await store.close();
  await t.rejects(store.sync(), { code: "LOG_FAILED" });
});

t.test(
  "more files than may stay open are written, and what cannot be written is an error with its code",
  async (t) => {
    const directory = t.testdir({ log: { tile: { 9: "in the way of a directory" } } });
    const store = await FileLogStore.open(directory);
    const many = new TileBuffer();
    for (let index = 0; index < 600; index++)
      many.add({ level: 0, index, width: 256 }, Buffer.alloc(8_192, index));
    await store.write(many.take());
    await store.sync();
    t.equal(readdirSync(join(directory, "log/tile/0")).length, 600);
    t.equal(readFileSync(join(directory, "log/tile/0/599"))[0], 599 % 256);
    many.add({ level: 9, index: 0, width: 256 }, Buffer.alloc(8_192));
    await t.rejects(store.write(many.take()), { code: /EEXIST|ENOTDIR/ });
    await store.close();
  },
);
