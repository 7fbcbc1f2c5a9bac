import { isDeepStrictEqual } from "node:util";
import t from "tap";
import type { MeshproofError } from "../../src/core/errors.ts";
import { Journal, type JournalOptions } from "../../src/journal/journal.ts";
import { segmentPath, SEGMENT_HEADER_LENGTH } from "../../src/journal/segment.ts";
import {
  makeBatch,
  makeMeta,
  MemoryFileSystem,
  options,
  plain,
  readAll,
  seeded,
} from "./fixture.ts";

interface Built {
  readonly fileSystem: MemoryFileSystem;
  /** Frames in order, with the file and the offset where each ends. */
  readonly frames: { readonly frame: unknown; readonly path: string; readonly end: number }[];
  readonly nextIndex: number;
}

/** Small frames, each a group of its own, in segments of about `perSegment` of them. */
async function build(count: number, perSegment: number): Promise<Built> {
  const fileSystem = new MemoryFileSystem();
  const journal = await Journal.open(options({ fileSystem, segmentBytes: 240 * perSegment }));
  const frames: Built["frames"] = [];
  for (let seed = 0; seed < count; seed++) {
    const { placed, durable } = journal.append(makeBatch(seed, [2], 4), makeMeta(seed));
    await durable;
    const path = [...fileSystem.names.keys()]
      .filter((name) => name.endsWith(".frames"))
      .sort()
      .at(-1)!;
    frames.push({
      frame: plain(placed, makeMeta(seed)),
      path,
      end: fileSystem.bytesOf(path).length,
    });
  }
  await journal.close();
  return { fileSystem, frames, nextIndex: journal.nextIndex };
}

const open = (fileSystem: MemoryFileSystem, extra: Partial<JournalOptions> = {}) =>
  Journal.open(options({ fileSystem, ...extra }));

t.test(
  "a file cut at any byte of its last frames opens with exactly the whole ones, and takes new ones",
  async (t) => {
    const { fileSystem, frames } = await build(4, 100);
    const { path } = frames[0]!;
    const size = fileSystem.bytesOf(path).length;
    const wrong: string[] = [];
    for (let cut = 0; cut <= size; cut++) {
      const whole = cut < SEGMENT_HEADER_LENGTH ? [] : frames.filter(({ end }) => end <= cut);
      const after = fileSystem.crash("kill");
      after.put(path, fileSystem.bytesOf(path).subarray(0, cut));
      let journal = await open(after);
      if (journal.nextIndex !== 2 * whole.length)
        wrong.push(`cut at ${cut}: next index ${journal.nextIndex}`);
      const { placed, durable } = journal.append(makeBatch(9), makeMeta(9));
      await durable;
      await journal.close();
      journal = await open(after.crash("power"));
      const expected = [...whole.map(({ frame }) => frame), plain(placed, makeMeta(9))];
      if (!isDeepStrictEqual(await readAll(journal, 0), expected))
        wrong.push(`cut at ${cut}: other frames`);
      await journal.close();
    }
    t.ok(size > 400);
    t.strictSame(wrong, []);
  },
);

t.test("a tail of zeros or of noise is cut off and reported", async (t) => {
  const { fileSystem, frames, nextIndex } = await build(5, 100);
  const { path } = frames[0]!;
  for (const tail of [
    Buffer.alloc(1),
    Buffer.alloc(5_000),
    Buffer.alloc(300, 0xab),
    Buffer.alloc(9_000_000, 0x31),
  ]) {
    const after = fileSystem.crash("kill");
    after.put(path, Buffer.concat([fileSystem.bytesOf(path), tail]));
    const warnings: object[] = [];
    const journal = await open(after, {
      logger: { ...options().logger, warn: (fields) => warnings.push(fields) },
    });
    t.equal(journal.nextIndex, nextIndex);
    t.match(warnings, [{ path, offset: frames.at(-1)!.end, bytes: tail.length, nextIndex }]);
    t.equal(after.bytesOf(path).length, frames.at(-1)!.end);
    await journal.close();
  }
});

t.test("a changed bit anywhere before the last frame is found, and never cut off", async (t) => {
  const { fileSystem, frames } = await build(12, 3);
  const last = frames.at(-1)!;
  t.ok(
    frames.filter(({ path }) => path === last.path).length >= 3,
    "damage within the last segment is tried too",
  );
  const random = seeded(1);
  const paths = [...new Set(frames.map(({ path }) => path))];
  t.ok(paths.length >= 3);
  const wrong: string[] = [];
  for (const path of paths) {
    const size = fileSystem.bytesOf(path).length;
    const lastFrame = frames.at(-2)!.end;
    for (let offset = 0; offset < size; offset++) {
      const after = fileSystem.crash("kill");
      after.bytesOf(path)[offset]! ^= 1 << Math.floor(random() * 8);
      // Nothing tells damage in the last frame from a torn write; the checkpoint does, which was signed over it.
      const expected =
        path === last.path && offset >= lastFrame
          ? `next index ${2 * (frames.length - 1)}`
          : `JOURNAL_CORRUPT ${path}, offset`;
      const came = await open(after).then(
        async (journal) => {
          await journal.close();
          return `next index ${journal.nextIndex}`;
        },
        (error: MeshproofError) => `${error.code} ${error.message}`,
      );
      if (!came.startsWith(expected))
        wrong.push(`${path} at ${offset}: expected ${expected}, got ${came}`);
      if (after.opened.size > 0) wrong.push(`${path} at ${offset}: a descriptor stays open`);
    }
  }
  t.strictSame(wrong, []);
});

t.test("a frame read back later is checked again", async (t) => {
  const { fileSystem, frames } = await build(4, 2);
  const journal = await open(fileSystem);
  fileSystem.bytesOf(frames[0]!.path)[frames[0]!.end - 1]! ^= 1;
  await t.rejects(readAll(journal, 0), {
    code: "JOURNAL_CORRUPT",
    message: `${frames[0]!.path}, offset ${SEGMENT_HEADER_LENGTH}: the CRC`,
  });
  t.equal((await readAll(journal, 4)).length, 2);
  await journal.close();
});

t.test(
  "missing, swapped and overlapping segments are refused; a missing first one shows in the first index",
  async (t) => {
    const { fileSystem, frames } = await build(8, 2);
    const paths = [...new Set(frames.map(({ path }) => path))];
    t.equal(paths.length, 4);
    const damaged = (change: (after: MemoryFileSystem) => void) => {
      const after = fileSystem.crash("kill");
      change(after);
      return open(after);
    };
    const corrupt = (text: RegExp) => ({ code: "JOURNAL_CORRUPT", message: text });
    await t.rejects(
      damaged((after) => after.names.delete(paths[1]!)),
      corrupt(/begins at index 4, got 8: rows are missing/),
    );
    await t.rejects(
      damaged((after) => after.put(paths[2]!, fileSystem.bytesOf(paths[1]!))),
      corrupt(/expected first index 8 as in the name, got 4/),
    );
    await t.rejects(
      damaged((after) =>
        after.put(segmentPath("/journal", 6, "frames"), fileSystem.bytesOf(paths[1]!)),
      ),
      corrupt(/begins at index 8, got 6: the indexes overlap/),
    );
    await t.rejects(
      damaged((after) =>
        after.put(paths[1]!, fileSystem.bytesOf(paths[1]!).subarray(0, frames[2]!.end)),
      ),
      corrupt(/begins at index 6, got 8/),
    );
    await t.rejects(
      damaged((after) => after.put(paths[1]!, Buffer.alloc(0))),
      corrupt(/expected a segment header of 32 bytes, got 0 bytes/),
    );
    for (const [version, said] of [
      [4, /got one of version 4: a newer meshproof wrote it/],
      [1, /got the bytes 4d504a524e4c0001/],
    ] as const)
      await t.rejects(
        damaged((after) => {
          const bytes = Buffer.from(fileSystem.bytesOf(paths[1]!));
          bytes[7] = version;
          after.put(paths[1]!, bytes);
        }),
        corrupt(said),
      );
    await t.rejects(
      damaged((after) =>
        after.put(
          paths[3]!,
          Buffer.concat([
            fileSystem.bytesOf(paths[3]!),
            fileSystem.bytesOf(paths[3]!).subarray(SEGMENT_HEADER_LENGTH),
          ]),
        ),
      ),
      corrupt(/expected a frame that begins at index 16, got 12/),
    );
    const journal = await damaged((after) => after.names.delete(paths[0]!));
    t.equal(journal.firstIndex, 4);
    await t.rejects(
      readAll(journal, 0),
      corrupt(/expected rows from index 0 on, the first on disk is 4/),
    );
    await journal.close();
    const other = await damaged((after) => after.put("/journal/lost+found", Buffer.alloc(3)));
    t.equal(other.nextIndex, 16, "a name that is not ours is left alone");
    await other.close();
  },
);

t.test("rows that look like frames do not turn a torn write into damage", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const journal = await open(fileSystem);
  await journal.append(makeBatch(1), makeMeta(1)).durable;
  const path = segmentPath("/journal", 0, "frames");
  const copied = fileSystem.bytesOf(path).subarray(SEGMENT_HEADER_LENGTH);
  const end = fileSystem.bytesOf(path).length;
  const foreign = Buffer.from(copied);
  foreign[0]! ^= 1; // a sender can copy the form of a frame, but not the mark of this segment
  await journal.close();
  const after = fileSystem.crash("kill");
  after.put(path, Buffer.concat([fileSystem.bytesOf(path), Buffer.alloc(50), foreign, foreign]));
  const reopened = await open(after);
  t.equal(after.bytesOf(path).length, end);
  await reopened.close();
});

t.test(
  "the last group torn in its first frame is cut off as a whole, also where later frames of it are on disk",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const journal = await open(fileSystem);
    await journal.append(makeBatch(1), makeMeta(1)).durable;
    const path = segmentPath("/journal", 0, "frames");
    const end = fileSystem.bytesOf(path).length;
    await Promise.all(
      [2, 3, 4].map((seed) => journal.append(makeBatch(seed), makeMeta(seed)).durable),
    );
    await journal.close();
    fileSystem.bytesOf(path)[end + 100]! ^= 1;
    const reopened = await open(fileSystem);
    t.equal(reopened.nextIndex, 3);
    t.equal(fileSystem.bytesOf(path).length, end);
    await reopened.close();
  },
);

/** Runs one life of a journal until the file system halts; says what was acknowledged and what was released. */
async function live(
  fileSystem: MemoryFileSystem,
  acknowledged: Map<number, unknown>,
): Promise<{ released: number }> {
  let released = 0;
  const pending: Promise<void>[] = [];
  try {
    const journal = await open(fileSystem, { segmentBytes: 900, onFatal: () => {} });
    for (let round = 0; round < 4; round++) {
      for (let number = 0; number < 3; number++) {
        const seed = 10 * round + number;
        const { placed, durable } = journal.append(makeBatch(seed, [1, 2]), makeMeta(seed));
        pending.push(
          durable.then(
            () => void acknowledged.set(placed.firstIndex, plain(placed, makeMeta(seed))),
          ),
        );
        if (number === 1) await durable;
      }
      released = Math.max(0, journal.durableIndex - 7);
      await journal.release(released);
    }
    await journal.close();
  } catch (error) {
    t.match(error, { code: "JOURNAL_FAILED", cause: { code: "EHALT" } });
  }
  await Promise.allSettled(pending);
  return { released };
}

t.test(
  "a crash after any write, sync, creation or deletion loses nothing acknowledged and reuses no index",
  async (t) => {
    const whole = new MemoryFileSystem();
    await live(whole, new Map());
    t.ok(whole.mutations > 40, `${whole.mutations} steps`);
    for (let step = 0; step <= whole.mutations; step++) {
      const before = new MemoryFileSystem();
      before.haltAfter = step;
      const acknowledged = new Map<number, unknown>();
      const { released } = await live(before, acknowledged);
      for (const mode of ["kill", "power", "torn", "torn", "torn"] as const) {
        const random = seeded(step);
        const after = before.crash(mode, random);
        const journal = await open(after);
        const found = new Map(
          (await readAll(journal)).map((frame) => [
            (frame as { firstIndex: number }).firstIndex,
            frame,
          ]),
        );
        for (const [firstIndex, frame] of acknowledged) {
          if (firstIndex + 3 > released && !isDeepStrictEqual(found.get(firstIndex), frame))
            t.fail(`step ${step}, ${mode}: frame ${firstIndex} is lost`);
          if (journal.nextIndex < firstIndex + 3)
            t.fail(`step ${step}, ${mode}: index ${firstIndex} would be given again`);
        }
        const kept = await open(after.crash("power"));
        t.equal(
          kept.nextIndex,
          journal.nextIndex,
          `step ${step}, ${mode}: what recovery found is durable`,
        );
        await kept.close();
        const { placed, durable } = journal.append(makeBatch(77), makeMeta(77));
        await durable;
        await journal.close();
        const again = await open(after.crash("power"));
        t.equal(
          again.nextIndex,
          placed.firstIndex + 3,
          `step ${step}, ${mode}: and so is what follows`,
        );
        await again.close();
      }
    }
  },
);
