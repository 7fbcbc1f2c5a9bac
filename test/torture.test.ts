import { spawn } from "node:child_process";
import { join } from "node:path";
import t from "tap";
import { newKey, MemoryLog } from "./verify/memory-log.ts";
import { whyNoEngine } from "./support/server-fixture.ts";
import { disagreementsOf } from "./torture/served-checkpoints.ts";
import { addTallies, tallyOf } from "./torture/tally.ts";
import type { TortureResult } from "./torture/torture.ts";

/** The torture itself, in short; and that it would notice. */

t.setTimeout(300_000);

async function runTorture(
  ...args: string[]
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "torture/run.ts"), ...args]);
  t.teardown(() => child.kill("SIGTERM"));
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise<number | null>((done) => child.once("close", done));
  return { code, stdout, stderr };
}

t.test(
  "a server killed three times under load loses and doubles nothing",
  { skip: whyNoEngine() },
  async (t) => {
    const { code, stdout, stderr } = await runTorture("--kills", "3", "--seed", "4", "--json");
    t.equal(code, 0, stderr);
    const { kills, verified, ...result } = JSON.parse(stdout) as TortureResult;
    t.equal(kills.server + kills.engine + kills.both + kills.start, 3);
    t.ok(kills.engine < 3, "meshproof itself was killed");
    t.match(result, { lost: 0, doubled: 0, disagreements: [], faults: [] });
    t.ok(result.acknowledged > 1_000, `${result.acknowledged} acknowledged`);
    t.equal(result.found, result.acknowledged);
    t.ok(result.checkpoints > 3, `${result.checkpoints} checkpoints`);
    t.ok(verified > 0);
  },
);

t.test("lost and doubled records are counted, whoever they are", async (t) => {
  t.same(tallyOf([1, 2, 3, 4], [4, 2, 2, 9, 2, 9]), {
    acknowledged: 4,
    found: 2,
    lost: 2,
    doubled: 3,
  });
  t.same(addTallies([tallyOf([1, 2], [1]), tallyOf([7], [7, 7]), tallyOf([], [])]), {
    acknowledged: 3,
    found: 2,
    lost: 1,
    doubled: 1,
  });
});

t.test("checkpoints of another history, or of another key, disagree", async (t) => {
  const keys = newKey();
  const log = new MemoryLog(keys);
  const notes: string[] = [];
  for (const size of [1, 7, 256, 300, 700]) {
    await log.grow(size);
    notes.push(log.note);
  }
  t.same(await disagreementsOf(notes, log.key, log), []);
  t.same(await disagreementsOf([], log.key, log), [], "the newest is there in any case");

  const fork = new MemoryLog(keys);
  for (const size of [7, 300, 700]) {
    await fork.grow(size, { forged: 5 });
    t.match(await disagreementsOf([...notes, fork.note], log.key, log), [/^\d+ and 700 leaves: /]);
  }
  const later = new MemoryLog(keys);
  await later.grow(701);
  t.not(
    (await disagreementsOf([...notes, later.note], log.key, log)).length,
    0,
    "it was taken back",
  );
  const stranger = new MemoryLog();
  await stranger.grow(7);
  t.match(await disagreementsOf([...notes, stranger.note], log.key, log), [/signature|key/]);
});

t.test("its options are checked, and explained", async (t) => {
  const help = await runTorture("--help");
  t.equal(help.code, 0);
  for (const option of ["--minutes", "--kills", "--seed", "--keep", "--json"])
    t.match(help.stdout, option);
  for (const args of [
    ["--minutes", "soon"],
    ["--seed", "1.5"],
    ["--kill", "3"],
  ])
    t.equal((await runTorture(...args)).code, 2, args.join(" "));
});
