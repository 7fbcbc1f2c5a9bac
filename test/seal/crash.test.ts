import t, { type Test } from "tap";
import { Sealer } from "../../src/seal/sealer.ts";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { HASH_LENGTH, leafHash } from "../../src/tlog/merkle.ts";
import { decodeBundle, formatTilePath } from "../../src/tlog/tiles.ts";
import {
  Disk,
  DiskStore,
  JournalModel,
  type TestSigner,
  newSigner,
  optionsOf,
  pathsAt,
  rootAt,
  textAt,
} from "./fixture.ts";

/** Rows of each batch; a checkpoint follows each. Sizes pass 256 and 512 within, at and beyond a checkpoint. */
const BATCHES = [1, 99, 150, 6, 40, 300, 260, 168, 1, 511];

/** What the outside world may have seen of this log. */
interface Witnessed {
  readonly notes: Set<string>;
}

/** Runs the log from what `disk` and `journal` hold until all batches are in, or until the store stops. */
async function run(
  t: Test,
  directory: string,
  signer: TestSigner,
  disk: Disk,
  journal: JournalModel,
  seen: Witnessed,
  stopAt?: number,
  syncTurns = 1,
): Promise<DiskStore> {
  const store = new DiskStore(disk, stopAt, syncTurns);
  const options = optionsOf(directory, signer, {
    store,
    onPublished: ({ note }) => seen.notes.add(note),
    onDurable: (through) => journal.release(through),
  });
  const sealer = await Sealer.open(options);
  try {
    await sealer.recover(journal.frames(sealer.replayFrom));
    for (let total = 0, i = 0; i < BATCHES.length; total += BATCHES[i++]!) {
      if (total < journal.nextIndex) continue;
      // The journal has the batch before the sealer sees it.
      sealer.append(journal.append(BATCHES[i]!));
      await sealer.checkpoint();
    }
  } catch (error) {
    if (stopAt === undefined) throw error;
    t.match(error, { message: /stopped/ });
  } finally {
    await sealer.close();
  }
  if (stopAt === undefined) t.same(options.fatal, []);
  return store;
}

/** Everything that may never break: what was signed, what was published, what is on disk. */
function check(
  t: Test,
  disk: Disk,
  signer: TestSigner,
  seen: Witnessed,
  total: number,
  what: string,
): void {
  const roots = new Set(signer.signed);
  for (const text of roots) {
    const size = Number(text.split("\n")[1]);
    if (text !== textAt(size)) t.fail(`${what}: signed another tree of ${size}`);
  }
  if (!disk.published!.startsWith(textAt(total)))
    t.fail(`${what}: the last checkpoint is not published`);
  if (disk.state!.checkpoint !== disk.published) t.fail(`${what}: state and publication differ`);
  if (disk.state!.durableThrough !== total)
    t.fail(`${what}: durable through ${disk.state!.durableThrough} of ${total}`);
  if (disk.unsynced.size > 0) t.fail(`${what}: not durable: ${[...disk.unsynced].join(" ")}`);
  // The tree from the served bundles alone, and every served tile against it.
  const tiles = new Map<string, Buffer>();
  const builder = new TreeBuilder((level, index, hashes) =>
    tiles.set(formatTilePath({ level, index, width: 256 }), Buffer.from(hashes)),
  );
  for (const path of pathsAt(total)) {
    if (path.level !== "entries") continue;
    for (const entry of decodeBundle(disk.files.get(formatTilePath(path))!, path.width))
      builder.append(Buffer.from(leafHash(entry)), 0);
  }
  for (const { tile, hashes } of builder.partials())
    tiles.set(formatTilePath(tile), Buffer.from(hashes));
  if (Buffer.from(builder.root()).toString("base64") !== rootAt(total))
    t.fail(`${what}: the bundles are not the log`);
  for (const path of pathsAt(total)) {
    if (path.level === "entries") continue;
    if (
      !tiles
        .get(formatTilePath(path))!
        .equals(disk.files.get(formatTilePath(path)) ?? Buffer.alloc(0))
    )
      t.fail(`${what}: ${formatTilePath(path)}`);
  }
  // Whoever saw a checkpoint can fetch its tiles: the partial ones, or the full ones in their place.
  for (const note of seen.notes) {
    for (const path of pathsAt(Number(note.split("\n")[1]))) {
      const bytes =
        disk.files.get(formatTilePath(path)) ??
        disk.files.get(formatTilePath({ ...path, width: 256 }));
      if (
        bytes === undefined ||
        (path.level !== "entries" && bytes.length < path.width * HASH_LENGTH)
      )
        t.fail(`${what}: ${formatTilePath(path)} of a published checkpoint is gone`);
    }
  }
}

async function crashEverywhere(
  t: Test,
  crash: (disk: Disk, stopAt: number) => void,
  syncTurns: number,
): Promise<number> {
  const directory = t.testdir();
  const total = BATCHES.reduce((sum, count) => sum + count);
  let stopAt = 0;
  for (; ; stopAt++) {
    const signer = newSigner();
    const [disk, journal, seen] = [new Disk(), new JournalModel(), { notes: new Set<string>() }];
    const store = await run(t, directory, signer, disk, journal, seen, stopAt, syncTurns);
    if (2 * store.operations <= stopAt) return stopAt;
    crash(disk, stopAt);
    // A second crash while recovering from the first.
    await run(t, directory, signer, disk, journal, seen, stopAt % 9, syncTurns);
    crash(disk, stopAt + 1);
    await run(t, directory, signer, disk, journal, seen);
    check(t, disk, signer, seen, total, `stopped at ${stopAt}`);
  }
}

t.test("without a crash everything is signed, published, durable and tidy", async (t) => {
  const signer = newSigner();
  const [disk, journal, seen] = [new Disk(), new JournalModel(), { notes: new Set<string>() }];
  await run(t, t.testdir(), signer, disk, journal, seen);
  check(t, disk, signer, seen, journal.nextIndex, "no crash");
  t.equal(seen.notes.size, BATCHES.length);
  t.same(journal.frames(0), [], "the journal holds nothing that the log needs");
  const full = [...disk.files.keys()].filter((path) => !path.includes(".p/"));
  const superseded = [...disk.files.keys()].filter(
    (path) => full.includes(path.replace(/\.p\/.*/, "")) && path.includes(".p/"),
  );
  // Those of the checkpoint before the last stay for whoever is reading it.
  t.ok(
    superseded.every((path) => /\/00[34]\.p\//.test(path)),
    superseded.join(" "),
  );
});

/** Turns of the event loop that an fsync takes: done within a checkpoint, and some checkpoints later. */
const SYNC_TURNS = [1, 40];

for (const syncTurns of SYNC_TURNS) {
  t.test(
    `a process killed before or after any operation, twice, loses nothing (fsyncs of ${syncTurns} turns)`,
    async (t) => {
      const stops = await crashEverywhere(t, (disk) => disk.unsynced.clear(), syncTurns);
      t.ok(stops > 60, `${stops} places to stop`);
    },
  );

  t.test(
    `a power failure before or after any operation, twice, loses nothing (fsyncs of ${syncTurns} turns)`,
    async (t) => {
      const fateOf = (file: number, stopAt: number): number =>
        (file * 7 + stopAt * 3 + syncTurns + ((file * stopAt) >> 2)) & 3;
      const stops = await crashEverywhere(
        t,
        (disk, stopAt) => disk.losePower((file) => fateOf(file, stopAt)),
        syncTurns,
      );
      t.ok(stops > 60, `${stops} places to stop`);
    },
  );
}
