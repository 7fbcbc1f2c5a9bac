import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import t from "tap";
import { cacheDirectory } from "./cache.ts";
import { Children } from "./child.ts";
import { whyMissing } from "./needs.ts";
import { renderReport } from "./report.ts";

const RUNNER = join(import.meta.dirname, "run.ts");
const LIMIT = { timeLimitMs: 30_000 };

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

t.test(
  "a lane whose program is not installed is skipped, says why, and is no failure",
  async (t) => {
    const children = new Children(new AbortController().signal);
    const environment = { PATH: t.testdir(), MESHPROOF_INTEROP_CACHE: t.testdir({}) };
    const { code, stdout } = await children.run(process.execPath, [RUNNER, "log"], {
      ...LIMIT,
      environment,
    });
    t.equal(code, 0);
    t.match(stdout, /^log +skipped/m);
    t.match(stdout, "log skipped: expected go 1.25 or newer: it is not installed");
    t.match(stdout, /\n0 passed, 0 failed\n$/);

    const asJson = await children.run(process.execPath, [RUNNER, "--json"], {
      ...LIMIT,
      environment,
    });
    const { lanes, failed } = JSON.parse(asJson.stdout) as {
      lanes: { lane: string; outcome: string }[];
      failed: number;
    };
    t.equal(failed, 0);
    t.ok(lanes.length > 1 && lanes.some(({ lane }) => lane === "log"));
    for (const { lane, outcome } of lanes) t.equal(outcome, "skipped", lane);
  },
);

t.test("a lane that does not exist is a mistake in the command", async (t) => {
  const children = new Children(new AbortController().signal);
  const { code, stderr } = await children.run(process.execPath, [RUNNER, "lgo"], LIMIT);
  t.equal(code, 2);
  t.match(stderr, /expected a lane \(.*log.*\).*got lgo/);
});

t.test("a program that prints no version, or an old one, does not do", async (t) => {
  for (const [stdout, why] of [
    ["go1.26.8\n", null],
    ["go1.25\n", null],
    ["go1.24.13\n", "expected go 1.25 or newer, got go1.24.13"],
    ["go2.0\n", null],
    ["", 'expected go 1.25 or newer, got ""'],
  ] as const) {
    const answers = { run: async () => ({ code: 0, stdout, stderr: "" }) } as unknown as Children;
    t.equal(await whyMissing("go", answers), why);
  }
});

t.test(
  "a child that does not end is ended, and its exit code is not taken for an answer",
  async (t) => {
    const children = new Children(new AbortController().signal);
    const running = children.run(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], {
      timeLimitMs: 100,
    });
    await t.rejects(running, /did not end within 0.1 s/);
  },
);

t.test(
  "an interrupted run ends its children with all that they started, deaf or not",
  async (t) => {
    const directory = t.testdir();
    const interruption = new AbortController();
    const children = new Children(interruption.signal);
    const deaf = `process.on("SIGTERM", () => {}); require("fs").writeFileSync(String(process.pid), ""); setInterval(() => {}, 1e6);`;
    const parent = `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(deaf)}]);`;
    const running = children.run(
      process.execPath,
      ["-e", `${parent} setInterval(() => {}, 1e6);`],
      { ...LIMIT, directory },
    );
    while (readdirSync(directory).length === 0) await setTimeout(20);
    interruption.abort(new Error("interrupted"));
    await t.rejects(running, /interrupted/);
    await t.rejects(children.run(process.execPath, ["-e", ""], LIMIT), /interrupted/);
    await children.endAll();
    const [grandchild] = readdirSync(directory).map(Number);
    while (isAlive(grandchild!)) await setTimeout(20); // or tap's time is up
    t.pass("it is gone");
  },
);

t.test("the cache is where the environment says, never a relative XDG directory", async (t) => {
  const directory = t.testdir();
  const own = join(directory, "own");
  t.equal(cacheDirectory({ MESHPROOF_INTEROP_CACHE: own, XDG_CACHE_HOME: directory }), own);
  t.equal(cacheDirectory({ XDG_CACHE_HOME: directory }), join(directory, "meshproof-interop"));
  t.ok(existsSync(own));
});

t.test("the report names what failed and what was not checked", async (t) => {
  const lines = renderReport([
    {
      lane: "log",
      outcome: "failed",
      passed: 3,
      failed: 1,
      seconds: 2.04,
      failures: [{ claim: "the root", message: "another one" }],
      skips: [{ claim: "fsck", message: "cannot be fetched" }],
    },
  ]);
  t.match(lines[2], /^log +failed +3 +1 +1 +2\.0$/);
  t.match(lines.join("\n"), /log, not checked: fsck\ncannot be fetched/);
  t.match(lines.join("\n"), /log, ✗ the root\nanother one/);
});

t.test("a program that goes on running can be read, and ends with its group", async (t) => {
  const children = new Children(new AbortController().signal);
  const child = await children.start(process.execPath, [
    "-e",
    "console.log('out'); console.error('err'); setInterval(() => {}, 1e6)",
  ]);
  while (!(child.output.includes("out\n") && child.output.includes("err\n"))) await setTimeout(10);
  t.ok(isAlive(child.pid));
  t.equal(await child.end("SIGKILL"), null);
  t.notOk(isAlive(child.pid));

  await t.rejects(children.start("a program that does not exist", []), { code: "ENOENT" });

  const left = await children.start(process.execPath, ["-e", "setInterval(() => {}, 1e6)"]);
  await children.endAll();
  t.notOk(isAlive(left.pid), "what was forgotten ends with the lane");
});
