import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { Journal } from "../../src/journal/journal.ts";
import {
  keyOf,
  leafIndexes,
  makeBatch,
  makeMeta,
  MemoryFileSystem,
  options,
  plain,
  readAll,
  temporaryDirectory,
} from "./fixture.ts";

function framesFiles(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.endsWith(".frames"));
}

t.test(
  "what is appended comes back from disk as it was, with indexes, hashes and meta",
  async (t) => {
    const directory = join(temporaryDirectory(t), "a", "b");
    const journal = await Journal.open(options({ directory }));
    const expected: unknown[] = [];
    for (const [seed, counts] of [[1], [2, 0, 3], [], [1, 1, 1, 1, 1, 1]].entries()) {
      const before = journal.nextIndex;
      const { placed, durable } = journal.append(makeBatch(seed, counts), makeMeta(seed));
      await durable;
      t.equal(placed.firstIndex, before);
      t.strictSame(
        leafIndexes(placed),
        Array.from({ length: placed.count }, (_, row) => BigInt(before + row)),
      );
      // A batch of which every record was rejected is kept for its key and its answer; there is nothing of it to read.
      if (placed.count > 0) expected.push(plain(placed, makeMeta(seed)));
    }
    t.equal(journal.nextIndex, 12);
    t.strictSame(await readAll(journal, 0), expected);
    await journal.close();

    const reopened = await Journal.open(options({ directory }));
    t.equal(reopened.nextIndex, 12);
    t.strictSame(await readAll(reopened, 0), expected);
    t.strictSame(
      await readAll(reopened, 6),
      expected.slice(2),
      "only frames that reach past the index",
    );
    t.strictSame(
      await readAll(reopened, 5),
      expected.slice(1),
      "the frame that holds the index is whole",
    );
    t.strictSame(await readAll(reopened, 12), []);
    await reopened.close();
    t.equal(statSync(directory).mode & 0o777, 0o700);
    t.equal(
      statSync(join(directory, framesFiles(directory)[0]!)).mode & 0o777,
      0o600,
      "rows hold personal data",
    );
  },
);

t.test("indexes past 2^32 are written and read without loss", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const nextIndex = 2 ** 33 + 2 ** 32 - 2;
  const journal = await Journal.open(options({ fileSystem, nextIndex }));
  const { placed, durable } = journal.append(makeBatch(1, [4]), makeMeta(1));
  await durable;
  t.strictSame(
    leafIndexes(placed),
    [0n, 1n, 2n, 3n].map((row) => BigInt(nextIndex) + row),
  );
  await journal.close();
  const reopened = await Journal.open(options({ fileSystem, nextIndex: 7 }));
  t.equal(reopened.nextIndex, nextIndex + 4, "what the segments say outranks the option");
  t.equal((await readAll(reopened)).length, 1);
  await reopened.close();
});

t.test(
  "concurrent appends share syncs, become durable in index order, and never before a sync",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const order: string[] = [];
    let syncing = false;
    const journal = await Journal.open(
      options({
        fileSystem,
        segmentBytes: 20_000,
        onDurable: ({ firstIndex }) => order.push(`durable ${firstIndex}`),
      }),
    );
    fileSystem.syncs = 0;
    fileSystem.beforeSync = async () => {
      t.notOk(syncing, "one sync at a time");
      syncing = true;
      await new Promise(setImmediate);
      syncing = false;
    };
    const resolved: number[] = [];
    await Promise.all(
      Array.from({ length: 300 }, async (_, number) => {
        if (number >= 100)
          for (let turn = 0; turn < number % 10; turn++) await new Promise(setImmediate);
        const { placed, durable } = journal.append(makeBatch(number), makeMeta(number));
        await durable;
        if (!order.includes(`durable ${placed.firstIndex}`)) t.fail("onDurable comes first");
        resolved.push(placed.firstIndex);
      }),
    );
    t.equal(resolved.length, 300);
    t.strictSame(
      resolved,
      Array.from({ length: 300 }, (_, number) => 3 * number),
    );
    t.strictSame(
      order,
      resolved.map((index) => `durable ${index}`),
    );
    t.ok(fileSystem.syncs < 60, `${fileSystem.syncs} syncs for 300 frames`);
    t.equal(journal.durableIndex, 900);
    t.equal((await readAll(journal, 0)).length, 300);
    await journal.close();
    t.equal(fileSystem.opened.size, 0, "no descriptor stays open");
  },
);

t.test(
  "a reader follows the journal while it grows, and sees nothing that is not durable",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const journal = await Journal.open(options({ fileSystem, segmentBytes: 700 }));
    const append = (seed: number) => journal.append(makeBatch(seed), makeMeta(seed)).durable;
    await append(0);
    const seen: number[] = [];
    for await (const frame of journal.frames(0)) {
      seen.push(frame.firstIndex);
      if (seen.length < 20) await append(seen.length);
      if (seen.length === 20) {
        fileSystem.beforeSync = () => new Promise(setImmediate);
        void append(99);
      }
    }
    t.strictSame(
      seen,
      Array.from({ length: 20 }, (_, number) => 3 * number),
    );
    await journal.close();
  },
);

t.test(
  "a full journal refuses with JOURNAL_FULL, keeps its reserve for our own records, and takes more after a release",
  async (t) => {
    const directory = temporaryDirectory(t);
    const journal = await Journal.open(
      options({ directory, maxBytes: 20_000, reserveBytes: 3_000 }),
    );
    const append = (reserve: boolean) =>
      journal.append(makeBatch(1, [2], 300), makeMeta(1), { reserve });
    const full = { name: "MeshproofError", code: "JOURNAL_FULL", retryAfterSeconds: 5 };
    for (;;) {
      try {
        await append(false).durable;
      } catch (error) {
        t.match(error, full);
        break;
      }
    }
    const filled = journal.nextIndex;
    t.ok(journal.bytes <= 20_000 && journal.bytes > 19_000);
    await Promise.all([append(true).durable, append(true).durable]);
    t.throws(() => append(false), full);
    for (;;) {
      try {
        append(true).durable.catch(t.fail);
      } catch (error) {
        t.match(error, full, "the reserve has an end too, with frames that wait counted in");
        break;
      }
    }
    t.ok(journal.bytes <= 23_000 && journal.bytes > 22_000);
    t.ok(journal.nextIndex > filled, "a refused append takes no index");
    await new Promise(setImmediate);
    await journal.release(journal.nextIndex);
    while (journal.durableIndex < journal.nextIndex) await new Promise(setImmediate);
    await journal.release(journal.nextIndex);
    t.ok(journal.bytes <= 6_000, "all but the last segment, a quarter of the bound, is free");
    await append(false).durable;
    await journal.close();
    const onDisk = framesFiles(directory).reduce(
      (sum, name) => sum + statSync(join(directory, name)).size,
      0,
    );
    t.equal(journal.bytes, onDisk);
  },
);

t.test(
  "release deletes whole segments below the index, and a journal that was wholly released goes on where it was",
  async (t) => {
    const directory = temporaryDirectory(t);
    const open = () => Journal.open(options({ directory, segmentBytes: 1_000 }));
    let journal = await open();
    for (let seed = 0; seed < 30; seed++)
      await journal.append(makeBatch(seed), makeMeta(seed)).durable;
    const firsts = framesFiles(directory).map((name) => Number.parseInt(name, 10));
    t.ok(firsts.length >= 5);
    await journal.release(firsts[2]! - 1);
    t.equal(journal.firstIndex, firsts[1], "a segment with one row at or above the index stays");
    await journal.release(firsts[2]!);
    t.equal(journal.firstIndex, firsts[2]);
    await t.rejects(
      readAll(journal, firsts[2]! - 1),
      { code: "JOURNAL_CORRUPT" },
      "what was released cannot be read",
    );
    await journal.release(90);
    t.equal(framesFiles(directory).length, 1, "the active one stays");
    await journal.close();

    for (let round = 0; round < 3; round++) {
      journal = await open();
      t.equal(journal.nextIndex, 90 + 3 * round);
      const { placed, durable } = journal.append(makeBatch(round), makeMeta(round));
      await durable;
      t.equal(placed.firstIndex, 90 + 3 * round, "no index is used twice");
      await journal.release(journal.nextIndex);
      await journal.close();
    }
  },
);

t.test("rows leave the journal after a while even where a segment never fills", async (t) => {
  const fileSystem = new MemoryFileSystem();
  let now = 0;
  const journal = await Journal.open(options({ fileSystem, clock: () => now, segmentAgeMs: 100 }));
  await journal.append(makeBatch(1), makeMeta(1)).durable;
  now = 99;
  await journal.append(makeBatch(2), makeMeta(2)).durable;
  await journal.release(6);
  t.equal(journal.firstIndex, 0);
  now = 100;
  await journal.append(makeBatch(3), makeMeta(3)).durable;
  await journal.release(6);
  t.equal(journal.firstIndex, 6);
  await journal.close();
});

t.test("rows leave the journal at once where the next frame is to begin a segment", async (t) => {
  const journal = await Journal.open(options({ fileSystem: new MemoryFileSystem() }));
  journal.beginSegment();
  for (let n = 0; n < 2; n++) await journal.append(makeBatch(n), makeMeta(n)).durable;
  await journal.release(3);
  t.equal(
    journal.firstIndex,
    3,
    "an empty segment is not followed by another: the second frame begins one",
  );
  journal.beginSegment();
  await journal.release(6);
  t.equal(journal.firstIndex, 3, "nothing happens before a frame comes");
  await journal.append(makeBatch(2), makeMeta(2)).durable;
  await journal.append(makeBatch(3), makeMeta(3)).durable;
  await journal.release(12);
  t.equal(journal.firstIndex, 6);
  await journal.close();
});

t.test(
  "frames without rows fill a segment past its bound, since the next one would bear the same name",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const journal = await Journal.open(options({ fileSystem, segmentBytes: 300 }));
    for (let seed = 0; seed < 10; seed++)
      await journal.append(makeBatch(seed, []), makeMeta(seed)).durable;
    await journal.append(makeBatch(10), makeMeta(10)).durable;
    await journal.append(makeBatch(11), makeMeta(11)).durable;
    await journal.close();
    const reopened = await Journal.open(options({ fileSystem }));
    t.equal((await readAll(reopened, 0)).length, 2);
    await reopened.close();
  },
);

t.test(
  "frames without rows come to readers that ask for them, each once and in order",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const open = () => Journal.open(options({ fileSystem, segmentBytes: 1_000 }));
    const journal = await open();
    const counts = [[], [2], [], [], [3], [4], [1], [], [2], [], []];
    const expected: unknown[] = [];
    for (const [seed, rows] of counts.entries()) {
      const { placed, durable } = journal.append(makeBatch(seed, rows), makeMeta(seed));
      await durable;
      expected.push(plain(placed, makeMeta(seed)));
    }
    await journal.close();
    const reopened = await open();
    const from = async (index: number): Promise<unknown[]> => {
      const frames: unknown[] = [];
      for await (const frame of reopened.frames(index, { rowless: true }))
        frames.push(plain(frame, frame.meta));
      return frames;
    };
    t.strictSame(await from(0), expected);
    t.strictSame(await from(2), expected.slice(2));
    t.strictSame(
      await readAll(reopened),
      expected.filter((_, i) => counts[i]!.length > 0),
    );
    await reopened.close();
  },
);

t.test("close writes what waits and refuses what comes after", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const journal = await Journal.open(options({ fileSystem }));
  const last = journal.append(makeBatch(1), makeMeta(1));
  await Promise.all([journal.close(), journal.close()]);
  await last.durable;
  t.throws(() => journal.append(makeBatch(2), makeMeta(2)), { code: "SHUTTING_DOWN" });
  const reopened = await Journal.open(options({ fileSystem }));
  t.equal(reopened.nextIndex, 3);
  await reopened.close();
});

t.test(
  "a directory that cannot be used is a JOURNAL_FAILED, not a bare system error",
  async (t) => {
    const directory = join(temporaryDirectory(t), "file");
    writeFileSync(directory, "");
    const error = await Journal.open(options({ directory })).catch((error: unknown) => error);
    t.type(error, MeshproofError);
    t.match(error, { code: "JOURNAL_FAILED", cause: { code: "EEXIST" } });
  },
);

t.test(
  "a segment written over an older one holds its own frames and no other, and what was released is gone at the end",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const spares = () => [...fileSystem.names.keys()].filter((name) => name.endsWith(".spare"));
    let journal = await Journal.open(options({ fileSystem, segmentBytes: 900 }));
    const first = [...fileSystem.names.values()][0]!;
    let reused = 0;
    for (let seed = 0; seed < 60; seed++) {
      const { placed, durable } = journal.append(makeBatch(seed, [1 + (seed % 3)]), makeMeta(seed));
      await durable;
      await journal.release(placed.firstIndex - 8);
      t.ok(spares().length <= 2);
      if (seed > 20 && [...fileSystem.names.values()].includes(first)) reused++;
      if (seed % 7 === 0) {
        for (const mode of ["kill", "power"] as const) {
          const after = fileSystem.crash(mode);
          const reopened = await Journal.open(options({ fileSystem: after }));
          t.strictSame(await readAll(reopened), await readAll(journal), `${mode} after ${seed}`);
          t.notOk([...after.names.keys()].some((name) => name.endsWith(".spare")));
          await reopened.close();
        }
      }
    }
    t.ok(reused > 10, "files are written over, not made anew");
    await journal.release(journal.nextIndex);
    t.ok(spares().length > 0);
    const frames = await readAll(journal);
    await journal.close();
    t.strictSame(spares(), []);
    journal = await Journal.open(
      options({
        fileSystem,
        logger: { ...options().logger, warn: () => t.fail("nothing to say") },
      }),
    );
    t.strictSame(await readAll(journal), frames);
    await journal.close();
  },
);

t.test(
  "deduplication keys survive the release of their segments for the window, and no longer",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    let now = 1_000;
    const open = async () => {
      const keys: string[] = [];
      const journal = await Journal.open(
        options({
          fileSystem,
          segmentBytes: 1_000,
          keyWindowMs: 60,
          clock: () => now,
          onRecoveredKey: ({ key, receivedAtNs, rejected, message }) =>
            keys.push(`${Buffer.from(key).toString("hex")} ${receivedAtNs} ${rejected} ${message}`),
        }),
      );
      return { journal, keys };
    };
    const expected: string[] = [];
    let { journal, keys } = await open();
    t.strictSame(keys, []);
    for (let seed = 1000; seed < 1030; seed++) {
      const meta = makeMeta(seed);
      await journal.append(makeBatch(seed), meta).durable;
      if (meta.key !== null)
        expected.push(
          `${Buffer.from(meta.key).toString("hex")} ${meta.receivedAtNs} ${meta.rejected} ${meta.message}`,
        );
    }
    await journal.release(90);
    await journal.close();
    const keyFiles = () =>
      [...fileSystem.names.keys()].filter((name) => name.endsWith(".keys")).sort();
    t.ok(keyFiles().length > 3);

    ({ journal, keys } = await open());
    t.strictSame(keys, expected, "oldest first, answers included");
    await journal.close();

    fileSystem.bytesOf(keyFiles()[1]!)[20]! ^= 1;
    ({ journal, keys } = await open());
    t.ok(
      keys.length > 0 && keys.length < expected.length,
      "a damaged file of keys costs its keys and nothing else",
    );
    t.strictSame(
      keys,
      expected.filter((key) => keys.includes(key)),
    );
    await journal.close();

    now = 1_080;
    ({ journal } = await open());
    t.ok(keyFiles().every((name) => fileSystem.bytesOf(name).length > 0));
    await journal.close();
    now = 1_100;
    ({ journal, keys } = await open());
    t.strictSame(keyFiles(), [], "out of the window the files go");
    await journal.close();
  },
);

t.test(
  "keys whose file a crash prevented or cut short are written again from their segment",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const open = async () => {
      let keys = 0;
      const journal = await Journal.open(
        options({ fileSystem, segmentBytes: 1_000, onRecoveredKey: () => keys++ }),
      );
      return { journal, keys };
    };
    const first = await open();
    for (let seed = 0; seed < 30; seed++)
      await first.journal.append(makeBatch(seed), {
        ...makeMeta(seed),
        signal: "logs",
        key: keyOf(seed),
        receivedAtNs: 1_000_000_000n,
      }).durable;
    await first.journal.close();
    const keyFiles = [...fileSystem.names.keys()].filter((name) => name.endsWith(".keys"));
    for (const [number, name] of keyFiles.entries()) {
      if (number % 3 === 0) fileSystem.names.delete(name);
      if (number % 3 === 1) fileSystem.put(name, fileSystem.bytesOf(name).subarray(0, 30));
    }
    const second = await open();
    t.equal(second.keys, 30);
    await second.journal.release(second.journal.nextIndex);
    await second.journal.close();
    const third = await open();
    t.equal(third.keys, 30);
    await third.journal.close();
  },
);

t.test(
  "keys that found no room for a file of their own are kept in the segment that is released",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const open = fileSystem.open.bind(fileSystem);
    fileSystem.open = async (path, flags) => {
      if (path.endsWith(".keys") && flags === "wx+")
        throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
      return open(path, flags);
    };
    const first = await Journal.open(options({ fileSystem, segmentBytes: 1_000 }));
    for (let seed = 0; seed < 30; seed++)
      await first.append(makeBatch(seed), {
        ...makeMeta(seed),
        signal: "logs",
        key: keyOf(seed),
        receivedAtNs: 1_000_000_000n,
      }).durable;
    await first.release(first.nextIndex);
    await first.close();
    const names = [...fileSystem.names.keys()];
    t.equal(names.filter((name) => name.endsWith(".frames")).length, 1, "the others are released");
    t.ok(names.filter((name) => name.endsWith(".keys")).length > 3);
    for (const crash of ["kill", "power"] as const) {
      const keys: string[] = [];
      const second = await Journal.open(
        options({
          fileSystem: fileSystem.crash(crash),
          onRecoveredKey: ({ key }) => keys.push(Buffer.from(key).toString("hex")),
        }),
      );
      await second.close();
      const sent = Array.from({ length: 30 }, (_, seed) =>
        Buffer.from(keyOf(seed)).toString("hex"),
      );
      t.same(keys, sent, crash);
    }
  },
);

t.test("after its close the journal lets go of nothing", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const journal = await Journal.open(options({ fileSystem, segmentBytes: 1_000 }));
  for (let seed = 0; seed < 30; seed++)
    await journal.append(makeBatch(seed), makeMeta(seed)).durable;
  await journal.close();
  const before = [...fileSystem.names.keys()];
  await journal.release(journal.nextIndex);
  t.same([...fileSystem.names.keys()], before);
});

t.test("no more keys are kept than the bound, whole files at a time", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const journal = await Journal.open(options({ fileSystem, segmentBytes: 1_000, maxKeys: 10 }));
  for (let seed = 0; seed < 60; seed++)
    await journal.append(makeBatch(seed), {
      ...makeMeta(seed),
      signal: "logs",
      receivedAtNs: 1_000_000_000n,
    }).durable;
  await journal.release(journal.nextIndex);
  await journal.close();
  let keys = 0;
  await (await Journal.open(options({ fileSystem, onRecoveredKey: () => keys++ }))).close();
  t.ok(keys > 0 && keys <= 15, `${keys} keys`);
});

t.test(
  "originals come back with their frame, in segments that only who knows them reads",
  async (t) => {
    const directory = temporaryDirectory(t);
    const before = await Journal.open(options({ directory }));
    await before.append(makeBatch(1), makeMeta(1)).durable;
    await before.close();
    const journal = await Journal.open(options({ directory, withOriginals: true }));
    const originals = Buffer.from("as it came in");
    for (const [seed, meta] of [
      [2, { ...makeMeta(2), originals }],
      [3, makeMeta(3)],
      [4, { ...makeMeta(4), originals: new Uint8Array(0) }],
    ] as const)
      await journal.append(makeBatch(seed), meta).durable;
    await journal.close();
    const versions = framesFiles(directory)
      .sort()
      .map((name) => readFileSync(join(directory, name))[7]);
    t.same(versions, [2, 3]);
    const reopened = await Journal.open(options({ directory }));
    const kept: (string | undefined)[] = [];
    for await (const { meta, sections, firstIndex } of reopened.frames(0)) {
      kept.push(meta.originals === undefined ? undefined : Buffer.from(meta.originals).toString());
      t.equal(sections[0]!.count, 3, `rows of the frame at ${firstIndex}`);
    }
    t.same(kept, [undefined, "as it came in", undefined, ""]);
    await reopened.close();

    await t.test("and a changed byte in them is damage", async (t) => {
      const [, name] = framesFiles(directory).sort();
      const path = join(directory, name!);
      const bytes = readFileSync(path);
      bytes[bytes.indexOf("as it came in")]! ^= 1;
      writeFileSync(path, bytes);
      await t.rejects(Journal.open(options({ directory })), { code: "JOURNAL_CORRUPT" });
    });
  },
);
