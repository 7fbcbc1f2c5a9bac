import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import t from "tap";
import type { MeshproofError } from "../../src/core/errors.ts";
import { nodeFileSystem, type FileSystem } from "../../src/journal/files.ts";
import { Journal } from "../../src/journal/journal.ts";
import {
  makeBatch,
  makeMeta,
  MemoryFileSystem,
  options,
  plain,
  readAll,
  seeded,
  temporaryDirectory,
} from "./fixture.ts";

const settle = (all: readonly Promise<void>[]) =>
  Promise.all(
    all.map((one) =>
      one.then(
        () => "kept",
        (error: MeshproofError) => error.code,
      ),
    ),
  );

t.test(
  "a full disk refuses all that waits with STORAGE_FULL and keeps all that was acknowledged, wherever the room ends",
  async (t) => {
    const frames = 9;
    for (let room = 33; room < 2_400; room += 19) {
      const fileSystem = new MemoryFileSystem();
      fileSystem.room = room;
      const journal = await Journal.open(options({ fileSystem, segmentBytes: 700 }));
      const kept: unknown[] = [];
      let refused = 0;
      const append = async (seed: number) => {
        const { placed, durable } = journal.append(makeBatch(seed), makeMeta(seed));
        const [outcome] = await settle([durable]);
        if (outcome === "kept") kept.push(plain(placed, makeMeta(seed)));
        else refused++;
        t.match(outcome, /^(kept|STORAGE_FULL)$/);
      };
      for (let seed = 0; seed < frames; seed += 3) {
        const group = await Promise.all([append(seed), append(seed + 1), append(seed + 2)]);
        t.equal(group.length, 3);
        t.equal(journal.nextIndex, journal.durableIndex, "a refused batch leaves no index behind");
        const onDisk = [...fileSystem.names].reduce(
          (sum, [path, { bytes }]) => sum + (path.endsWith(".frames") ? bytes.length : 0),
          0,
        );
        t.equal(journal.bytes, onDisk, "nor bytes");
      }
      t.equal(kept.length + refused, frames);
      const killed = await Journal.open(options({ fileSystem: fileSystem.crash("power") }));
      t.strictSame(await readAll(killed, 0), kept, `room for ${room} bytes`);
      await killed.close();

      fileSystem.room = Infinity;
      await append(50);
      await append(51);
      t.equal(kept.length + refused, frames + 2);
      t.strictSame(await readAll(journal, 0), kept, "with room again, it goes on");
      await journal.close();
      t.equal(fileSystem.opened.size, 0);
    }
  },
);

t.test("a full disk is said once, and so is its end", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const said: string[] = [];
  const logger = {
    ...options().logger,
    error: () => said.push("full"),
    info: () => said.push("room"),
  };
  const journal = await Journal.open(options({ fileSystem, logger }));
  fileSystem.room = 0;
  for (let seed = 0; seed < 3; seed++) {
    const error = await journal
      .append(makeBatch(seed), makeMeta(seed))
      .durable.catch((error: unknown) => error);
    t.match(error, { code: "STORAGE_FULL", retryable: true, retryAfterSeconds: 5 });
  }
  t.ok(journal.storageFull);
  fileSystem.room = Infinity;
  for (let seed = 0; seed < 3; seed++)
    await journal.append(makeBatch(seed), makeMeta(seed)).durable;
  t.notOk(journal.storageFull);
  t.strictSame(said, ["full", "room"]);
  await journal.close();
});

t.test(
  "what was in flight when a deletion failed is refused, and nobody is told that it is durable",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const durable: number[] = [];
    const journal = await Journal.open(
      options({
        fileSystem,
        segmentBytes: 500,
        onFatal: () => {},
        onDurable: ({ firstIndex }) => durable.push(firstIndex),
      }),
    );
    for (let seed = 0; seed < 3; seed++)
      await journal.append(makeBatch(seed), makeMeta(seed)).durable;
    const { promise: synced, resolve: sync } = Promise.withResolvers<void>();
    const { promise: syncing, resolve: begun } = Promise.withResolvers<void>();
    fileSystem.beforeSync = () => {
      begun();
      return synced;
    };
    const inFlight = settle([journal.append(makeBatch(3), makeMeta(3)).durable]);
    await syncing;
    fileSystem.rename = () => Promise.reject(new Error("EIO"));
    await t.rejects(journal.release(6), { code: "JOURNAL_FAILED" });
    sync();
    t.strictSame(await inFlight, ["JOURNAL_FAILED"]);
    await journal.close();
    t.strictSame(durable, [0, 3, 6]);
  },
);

t.test("a segment that found no room does not come back after a crash", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const journal = await Journal.open(options({ fileSystem, segmentBytes: 700 }));
  await journal.append(makeBatch(1), makeMeta(1)).durable;
  fileSystem.beforeSync = async () => {
    fileSystem.beforeSync = () => {};
    await fileSystem.syncDirectory(); // somebody else's sync makes the new name durable
    throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
  };
  t.strictSame(await settle([journal.append(makeBatch(2, [9], 90), makeMeta(2)).durable]), [
    "STORAGE_FULL",
  ]);
  await journal.append(makeBatch(3), makeMeta(3)).durable; // small enough for the segment that is there
  const reopened = await Journal.open(options({ fileSystem: fileSystem.crash("power") }));
  t.equal(reopened.nextIndex, 6);
  await reopened.close();
  await journal.append(makeBatch(4, [9], 90), makeMeta(4)).durable;
  t.equal(journal.durableIndex, 15);
  await journal.close();
});

t.test(
  "a failed sync ends the journal: what waits and what comes later is refused, once reported, and nothing is said to be kept",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    const fatal: MeshproofError[] = [];
    const journal = await Journal.open(
      options({ fileSystem, onFatal: (error) => fatal.push(error) }),
    );
    await journal.append(makeBatch(1), makeMeta(1)).durable;
    fileSystem.beforeSync = async () => {
      await new Promise(setImmediate);
      throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
    };
    const first = journal.append(makeBatch(2), makeMeta(2)).durable;
    const group = settle([first]);
    await new Promise(setImmediate);
    const second = settle([journal.append(makeBatch(3), makeMeta(3)).durable]);
    t.strictSame(await group, ["JOURNAL_FAILED"]);
    t.strictSame(await second, ["JOURNAL_FAILED"]);
    fileSystem.beforeSync = () => {};
    t.throws(() => journal.append(makeBatch(4), makeMeta(4)), {
      code: "JOURNAL_FAILED",
      cause: { code: "EIO" },
    });
    await t.rejects(journal.release(3), { code: "JOURNAL_FAILED" });
    await journal.close();
    t.equal(fatal.length, 1);
    t.equal(journal.durableIndex, 3);
    t.equal(fileSystem.opened.size, 0);
  },
);

t.test(
  "a failure of any other write call is fatal too: write, deletion, a listener that throws",
  async (t) => {
    const failing = (call: keyof FileSystem): [MemoryFileSystem, () => void] => {
      const fileSystem = new MemoryFileSystem();
      const fail = () => {
        Object.assign(fileSystem, {
          [call]: () => Promise.reject(Object.assign(new Error("EIO"), { code: "EIO" })),
        });
      };
      return [fileSystem, fail];
    };
    for (const call of ["writev", "rename", "syncDirectory"] as const) {
      const [fileSystem, fail] = failing(call);
      const fatal: string[] = [];
      const journal = await Journal.open(
        options({ fileSystem, segmentBytes: 500, onFatal: ({ code }) => fatal.push(code) }),
      );
      for (let seed = 0; seed < 5; seed++)
        await journal.append(makeBatch(seed), makeMeta(seed)).durable;
      fail();
      if (call === "writev")
        t.strictSame(await settle([journal.append(makeBatch(9), makeMeta(9)).durable]), [
          "JOURNAL_FAILED",
        ]);
      else await t.rejects(journal.release(6), { code: "JOURNAL_FAILED" });
      t.strictSame(fatal, ["JOURNAL_FAILED"], call);
      await journal.close();
    }
    const fatal: string[] = [];
    const journal = await Journal.open(
      options({
        fileSystem: new MemoryFileSystem(),
        onFatal: ({ code }) => fatal.push(code),
        onDurable() {
          throw new Error("the sealer does not follow");
        },
      }),
    );
    await journal.append(makeBatch(1), makeMeta(1)).durable;
    t.throws(() => journal.append(makeBatch(2), makeMeta(2)), { code: "JOURNAL_FAILED" });
    t.strictSame(fatal, ["JOURNAL_FAILED"]);
    await journal.close();
  },
);

t.test("keys that cannot be written cost only themselves", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const open = fileSystem.open.bind(fileSystem);
  fileSystem.open = (path, flags) =>
    path.endsWith(".keys") ? Promise.reject(new Error("EACCES")) : open(path, flags);
  const warnings: string[] = [];
  const journal = await Journal.open(
    options({
      fileSystem,
      segmentBytes: 500,
      logger: { ...options().logger, warn: (_, message) => warnings.push(message) },
    }),
  );
  for (let seed = 0; seed < 6; seed++)
    await journal.append(makeBatch(seed), { ...makeMeta(seed), receivedAtNs: 1_000_000_000n })
      .durable;
  await journal.close();
  t.ok(warnings.length > 0);
  const reopened = await Journal.open(options({ fileSystem }));
  t.equal(reopened.nextIndex, 18);
  await reopened.close();
});

t.test("the real file system reports what it could not do", async (t) => {
  const directory = temporaryDirectory(t);
  await t.rejects(nodeFileSystem.open(join(directory, "absent"), "r"), { code: "ENOENT" });
  await t.rejects(nodeFileSystem.list(join(directory, "absent")), { code: "ENOENT" });
});

t.test(
  "a process killed under load, again and again, loses no acknowledged frame and doubles none",
  async (t) => {
    const directory = temporaryDirectory(t);
    const random = seeded(Date.now());
    /** First index to seed, as the child wrote it after each frame was durable. */
    const acknowledged = new Map<number, number>();
    let released = 0;
    for (let round = 0; round < 6; round++) {
      const child = spawn(
        process.execPath,
        [join(import.meta.dirname, "append-child.ts"), directory, String(1 + round * 1_000_000)],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      const exited = once(child, "exit");
      const wanted = acknowledged.size + 50 + Math.floor(random() * 400);
      for await (const line of createInterface({ input: child.stdout })) {
        const [word, first, second] = line.split(" ");
        if (word === "released") released = Math.max(released, Number(first));
        else if (word === "acknowledged") {
          if (acknowledged.has(Number(first))) t.fail(`index ${first} is given twice`);
          acknowledged.set(Number(first), Number(second));
        } else t.fail(`unexpected line: ${line}`);
        if (acknowledged.size >= wanted) child.kill("SIGKILL");
      }
      const [, signal] = await exited;
      t.equal(signal, "SIGKILL");

      const journal = await Journal.open(options({ directory }));
      let index = journal.firstIndex;
      const found = new Map<number, string>();
      for await (const frame of journal.frames(index)) {
        if (frame.firstIndex !== index)
          t.fail(`expected a frame at ${index}, got ${frame.firstIndex}`);
        found.set(index, frame.meta.message);
        index += frame.count;
      }
      t.equal(
        index,
        journal.nextIndex,
        `after round ${round}, ${acknowledged.size} frames acknowledged`,
      );
      for (const [firstIndex, seed] of acknowledged) {
        if (firstIndex >= released && found.get(firstIndex) !== `seed ${seed}`)
          t.fail(`the frame at ${firstIndex} is lost`);
      }
      await journal.close();
    }
  },
);
