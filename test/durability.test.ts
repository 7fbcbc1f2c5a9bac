import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import t, { type Test } from "tap";
import type { MeshproofError } from "../src/core/errors.ts";
import type { DurableStep } from "../src/core/durable-steps.ts";
import { putDiskUnderneath } from "./support/faults/hooks.ts";
import type * as paths from "./support/faults/durable-path.ts";
import { type Fate, Life, type Operation, type OperationKind } from "./support/faults/life.ts";

putDiskUnderneath();
// Behind it, so that what they import stands on the disk in memory.
const { DURABLE_STEPS } = await import("../src/core/durable-steps.ts");
const { DurablePath, World } = await import("./support/faults/durable-path.ts");
const { hashOf } = await import("./support/faults/warehouse.ts");
const { seeded } = await import("./journal/fixture.ts");
const { ORIGIN } = await import("./seal/fixture.ts");
const { TreeBuilder } = await import("../src/tlog/builder.ts");
const { encodeEntry } = await import("../src/tlog/entry.ts");
const { leafHash } = await import("../src/tlog/merkle.ts");
const { parseVerifierKey } = await import("../src/tlog/note.ts");
const { DirectoryLogReader } = await import("../src/verify/log-reader.ts");
const { verify } = await import("../src/verify/verify.ts");

/** The whole durable path together: the real journal, sealer with its tile files, and writer, on a disk and a store that break at every operation. */

t.setTimeout(600_000);

/** Rows of each batch. Two are sent at once; a checkpoint follows. Sizes pass 256 and 512. */
const BATCHES = [3, 90, 170, 1, 270, 20];

/** One life of the process: opens what is there, sends what its senders have no answer for, and closes. */
async function live(world: paths.World, life: Life): Promise<void> {
  return life.run(async () => {
    let path: paths.DurablePath | undefined;
    try {
      path = await DurablePath.open(world, life);
      for (let i = 0; i < BATCHES.length; i += 2) {
        await Promise.all([path.send(i, BATCHES[i]!), path.send(i + 1, BATCHES[i + 1]!)]);
        await path.sealer.checkpoint();
      }
      await path.stop(life);
      if (path.fatal.length > 0) throw path.fatal[0]!;
    } catch (error) {
      if (!life.isStopped) throw error;
      await path?.close().catch(() => {});
    }
  });
}

/** What may never break, after everything has come to its end. */
async function check(t: Test, world: paths.World, what: string): Promise<void> {
  const fail = (message: string): void => void t.fail(`${what}: ${message}`);
  const rows = world.warehouse.rows.toSorted((a, b) => a.index - b.index);
  const names = new Map<string, number>();
  for (const { index, record } of rows) {
    const name = (record["Subject"] ??
      (record["Detail"] as Record<string, string>)["name"]) as string;
    if (names.has(name)) fail(`${name} is stored at ${names.get(name)} and ${index}`);
    names.set(name, index);
  }
  for (const [number, count] of BATCHES.entries()) {
    if (!world.acknowledged.has(number)) fail(`batch ${number} was never acknowledged`);
    const first = world.acknowledged.get(number);
    for (let row = 0; row < count; row++) {
      const index = names.get(`${number}/${row}`);
      if (index === undefined) fail(`${number}/${row} is lost`);
      else if (first !== undefined && index !== first + row)
        fail(`${number}/${row} was acknowledged at ${first + row} and is stored at ${index}`);
    }
  }
  if (rows.some(({ index }, i) => index !== i)) fail("an index is used twice, or not at all");

  // Every tree that was ever signed is a beginning of the log that came of it.
  const builder = new TreeBuilder(() => {});
  const roots = new Map<number, string>();
  const signed = world.signer.signed.map((text) => text.split("\n"));
  const sizes = new Set(signed.map(([, size]) => Number(size)));
  for (const { index, row, record } of rows) {
    const kind = record["Kind"] as 5 | 6;
    builder.append(Buffer.from(leafHash(encodeEntry(kind, hashOf(row)))), 0);
    if (sizes.has(index + 1)) roots.set(index + 1, Buffer.from(builder.root()).toString("base64"));
  }
  for (const [, size, root] of signed) {
    if (roots.get(Number(size)) !== root) fail(`another tree of ${size} was signed`);
  }

  const report = await new Life(world.disk).run(() =>
    verify({
      log: new DirectoryLogReader(join(world.disk.root, "log")),
      rows: world.warehouse.source(),
      origin: ORIGIN,
      keys: [parseVerifierKey(world.signer.verifierKey)],
      expected: [...world.notes].map((note) => ({ name: "a published checkpoint", note })),
    }),
  );
  if (report.integrity !== "ok") fail(JSON.stringify(report.faults.slice(0, 3)));
  if (report.treeSize !== rows.length) fail(`${report.treeSize} of ${rows.length} rows are sealed`);
  if (report.checked.records !== rows.length) fail(`${report.checked.records} rows were checked`);
  const left = world.disk.files(join(world.disk.root, "journal")).map((path) => basename(path));
  if (left.filter((name) => !name.endsWith(".keys")).length !== 1)
    fail(`the journal was not let go of: ${left.join(" ")}`);
}

type Flavour = "kill" | "power";

/** Stops at the operation of this number. */
function stopAt(number: number, fate: Fate): (operation: Operation) => Fate | undefined {
  return (operation) => (operation.number === number ? fate : undefined);
}

/** What can be done by half. */
const DIVISIBLE = new Set<OperationKind>(["write", "insert"]);

/** Steps that happen beside the others, in an order of their own. */
const BESIDE = new Set<DurableStep>([
  "insert_rows",
  "release_segments",
  "record_durable",
  "prune_tiles",
]);
/** Steps in which nothing is written. */
const WITHOUT_OPERATIONS = new Set<DurableStep>(["acknowledge", "sign"]);

t.test("without a fault each step happens, in the order of the list", async (t) => {
  const world = new World(t.testdir());
  const life = new Life(world.disk);
  await live(world, life);
  await check(t, world, "no fault");
  t.same([...life.seenSteps].toSorted(), [...DURABLE_STEPS].toSorted());
  const inOrder = (steps: Iterable<DurableStep>): DurableStep[] =>
    [...steps].filter((step) => !BESIDE.has(step));
  t.same(inOrder(life.seenSteps), inOrder(DURABLE_STEPS));
  const real = readdirSync(world.disk.root).filter((name) => !name.startsWith("lock"));
  t.same(real, [], "nothing was written past the disk in memory");
});

/**
 * A process that is killed as `plan` says and starts again; or a power failure there, and another most of the time while recovering from the first.
 * Returns where the first was; undefined: there is no such place.
 */
async function crash(
  t: Test,
  root: string,
  flavour: Flavour,
  number: number,
  plan: (operation: Operation) => Fate | undefined,
): Promise<Operation | undefined> {
  const random = seeded(number);
  const world = new World(root);
  // A store that is behind the log, and one that is not.
  world.warehouse.insertTurns = flavour === "kill" ? 20 : 1;
  const first = new Life(world.disk, plan);
  await live(world, first);
  const { stoppedAt } = first;
  if (stoppedAt === undefined) return undefined;
  const what = `${stoppedAt.fate as string} ${stoppedAt.kind} ${stoppedAt.path} (operation ${number})`;
  try {
    if (flavour === "power") {
      world.disk.losePower(random);
      const fate = number % 2 === 0 ? "after" : "before";
      await live(world, new Life(world.disk, stopAt((number * 7) % 61, fate)));
      world.disk.losePower(random);
    }
    await live(world, new Life(world.disk));
    await check(t, world, what);
  } catch (error) {
    t.fail(`${what}: ${String(error)}`);
  }
  return stoppedAt;
}

for (const [flavour, name] of [
  ["kill", "a process killed at any operation"],
  ["power", "power failures, one at any operation and one soon after,"],
] as const) {
  t.test(`${name} loses and doubles nothing`, async (t) => {
    const root = t.testdir();
    const steps = new Set<DurableStep | undefined>();
    let places = 0;
    for (let number = 0; t.counts.fail < 3; number++) {
      const stopped = await crash(t, root, flavour, number, stopAt(number, "after"));
      if (stopped === undefined) break;
      steps.add(stopped.step);
      places++;
      if (!DIVISIBLE.has(stopped.kind)) continue;
      await crash(t, root, flavour, number, stopAt(number, "within"));
      places++;
    }
    t.ok(places > 200, `${places} places`);
    for (const step of DURABLE_STEPS)
      if (!WITHOUT_OPERATIONS.has(step)) t.ok(steps.has(step), `${step} was interrupted`);
  });
}

/** Sends all batches, each until it is taken, as a collector does. Returns the codes of what refused them. */
async function sendAll(path: paths.DurablePath): Promise<Set<string>> {
  const refusals = new Set<string>();
  const note = (error: unknown): void => void refusals.add((error as MeshproofError).code);
  for (let i = 0; i < BATCHES.length; i += 2) {
    for (let isTaken = false; !isTaken && path.fatal.length === 0;) {
      const answers = await Promise.allSettled([
        path.send(i, BATCHES[i]!),
        path.send(i + 1, BATCHES[i + 1]!),
      ]);
      isTaken = answers.every(({ status }) => status === "fulfilled");
      for (const answer of answers) if (answer.status === "rejected") note(answer.reason);
    }
    await path.sealer.checkpoint().catch(note);
  }
  return refusals;
}

/** What one life came to in which operations fail as `plan` says. */
interface Outcome {
  /** Did it start? */
  readonly isOpen: boolean;
  readonly refusals: ReadonlySet<string>;
  /** The error that ended it, or that kept it from starting. */
  readonly end: string | undefined;
}

async function suffer(
  world: paths.World,
  plan: (operation: Operation) => Fate | undefined,
): Promise<Outcome> {
  const life = new Life(world.disk, plan);
  return life.run(async () => {
    let path: paths.DurablePath;
    try {
      path = await DurablePath.open(world, life);
    } catch (error) {
      const end = (error as MeshproofError).code;
      return { isOpen: false, refusals: new Set(), end };
    }
    const refusals = await sendAll(path);
    await (path.fatal.length === 0 ? path.stop(life) : path.close()).catch(() => {});
    return { isOpen: true, refusals, end: path.fatal[0]?.code };
  });
}

/** Kinds of operations that take room. */
const TAKES_ROOM = new Set<OperationKind>(["create", "write", "mkdir", "link"]);
/** How many of them fail one after the other, before somebody makes room. */
const FULL_FOR = 5;

t.test(
  "a disk that is full from any operation on refuses, goes on when there is room, and loses nothing",
  async (t) => {
    const root = t.testdir();
    const refusals = new Set<string>();
    let places = 0;
    for (; t.counts.fail < 3; places++) {
      const world = new World(root);
      let nth = 0;
      const outcome = await suffer(world, ({ kind }) => {
        if (!TAKES_ROOM.has(kind)) return undefined;
        nth++;
        return nth > places && nth <= places + FULL_FOR ? { code: "ENOSPC" } : undefined;
      });
      if (nth <= places) break;
      if (outcome.isOpen) {
        for (const code of outcome.refusals) refusals.add(code);
        if (outcome.end !== undefined) t.fail(`place ${places}: ended by ${outcome.end}`);
        if (world.acknowledged.size < BATCHES.length) t.fail(`place ${places}: still refused`);
      }
      await live(world, new Life(world.disk));
      await check(t, world, `full from place ${places}`);
    }
    t.ok(places > 50, `${places} places`);
    t.same([...refusals], ["STORAGE_FULL"]);
  },
);

for (const kind of ["write", "sync", "syncDirectory"] as const) {
  t.test(`EIO of any ${kind} refuses or ends the process, and loses nothing`, async (t) => {
    const root = t.testdir();
    const [refusals, ends] = [new Set<string>(), new Set<string | undefined>()];
    let places = 0;
    for (; t.counts.fail < 3; places++) {
      const world = new World(root);
      let nth = 0;
      const {
        isOpen,
        refusals: refused,
        end,
      } = await suffer(world, (operation) =>
        operation.kind === kind && nth++ === places ? { code: "EIO" } : undefined,
      );
      if (nth <= places) break;
      if (isOpen) {
        for (const code of refused) refusals.add(code);
        ends.add(end);
      }
      // What an fsync failed for is not on the disk, whatever the page cache says.
      world.disk.losePower(seeded(places));
      await live(world, new Life(world.disk));
      await check(t, world, `EIO at ${kind} ${places}`);
    }
    t.ok(places > 20, `${places} places`);
    t.ok(ends.has("JOURNAL_FAILED") && ends.has("LOG_FAILED"), [...ends].join(" "));
    for (const code of refusals) t.match(code, /^(JOURNAL|LOG)_FAILED$/);
    for (const end of ends) t.match(end ?? "LOG_FAILED", /^(JOURNAL|LOG)_FAILED$/);
  });
}
