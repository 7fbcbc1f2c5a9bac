import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { cacheDirectory } from "./cache.ts";
import { Children } from "./child.ts";
import { type Lane, type LaneContext, LaneSkipped } from "./lane.ts";
import { whyMissing } from "./needs.ts";
import { type ClaimResult, type LaneResult, renderReport } from "./report.ts";

/**
 * `npm run interop [-- lane …]`: programs that others wrote, against ours. Ends with a table and a line `N passed, N failed` of checks.
 * Exit codes: 0 no check failed (lanes that cannot run here are skipped); 1 one did; 2 usage.
 */

const LANES = join(import.meta.dirname, "lanes");
/** How long a lane that was aborted has to clean up. */
const CLEAN_UP_MS = 20_000;

async function readLanes(): Promise<Lane[]> {
  const files = readdirSync(LANES).filter((file) => file.endsWith(".ts"));
  const modules = files.sort().map((file) => import(join(LANES, file)) as Promise<{ lane: Lane }>);
  return (await Promise.all(modules)).map(({ lane }) => lane);
}

/** Runs one lane to its end. Never rejects. */
async function runLane(
  lane: Lane,
  interrupted: AbortSignal,
  print: (line: string) => void,
): Promise<LaneResult> {
  const signal = AbortSignal.any([interrupted, AbortSignal.timeout(lane.timeLimitMs)]);
  const children = new Children(signal);
  const directory = mkdtempSync(join(tmpdir(), `meshproof-interop-${lane.name}-`));
  const started = performance.now();
  const failures: ClaimResult[] = [];
  const skips: ClaimResult[] = [];
  let passed = 0;
  const check = async (claim: string, act: () => Promise<string | void>): Promise<boolean> => {
    signal.throwIfAborted();
    const since = performance.now();
    try {
      const seen = await act();
      passed++;
      const seconds = ((performance.now() - since) / 1000).toFixed(1);
      print(`  ✓ ${claim}${typeof seen === "string" ? `: ${seen}` : ""} (${seconds} s)`);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      failures.push({ claim, message: (error as Error).message });
      print(`  ✗ ${claim}: ${(error as Error).message}`);
      return false;
    }
  };
  const context: LaneContext = {
    directory,
    cache: cacheDirectory(),
    children,
    signal,
    note: (text: string) => print(`  ${text}`),
    check,
    skip: (claim, message) => {
      skips.push({ claim, message });
      print(`  - ${claim}: not checked: ${message}`);
    },
  };
  const run = async (): Promise<string | null> => {
    for (const name of lane.needs) {
      const why = await whyMissing(name, children);
      if (why !== null) throw new LaneSkipped(why);
    }
    await lane.run(context);
    return null;
  };

  print(`${lane.name}: ${lane.title}`);
  let skipped = false;
  const reason = await Promise.race([run(), aborted(signal)]).catch((error: unknown) => {
    skipped = error instanceof LaneSkipped;
    return skipped ? (error as Error).message : `could not go on: ${String(error)}`;
  });
  await children.endAll();
  rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
  // A lane that could not go on has failed, whatever it had checked before; so has one that shows nothing.
  const failed = failures.length + (!skipped && (reason !== null || passed === 0) ? 1 : 0);
  return {
    lane: lane.name,
    outcome: failed > 0 ? "failed" : skipped ? "skipped" : "passed",
    passed,
    failed,
    seconds: (performance.now() - started) / 1000,
    ...(reason === null ? {} : { reason }),
    failures,
    skips,
  };
}

/** Rejects some time after `signal`: what waits for it ends by itself until then, in its own words. */
async function aborted(signal: AbortSignal): Promise<never> {
  await new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  await setTimeout(CLEAN_UP_MS, undefined, { ref: false });
  throw signal.reason;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { list: { type: "boolean" }, json: { type: "boolean" } },
  });
  const lanes = await readLanes();
  const unknown = positionals.find((name) => !lanes.some((lane) => lane.name === name));
  if (unknown !== undefined) {
    console.error(
      `expected a lane (${lanes.map(({ name }) => name).join(", ")}), --list or --json, got ${unknown}`,
    );
    return 2;
  }
  if (values.list === true) {
    const rows = lanes.map(({ name, title, needs }) => ({ name, title, needs }));
    if (values.json === true) console.log(JSON.stringify(rows));
    else
      for (const { name, title, needs } of rows)
        console.log(`${name.padEnd(12)} ${title} (needs ${needs.join(", ")})`);
    return 0;
  }

  const interruption = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => interruption.abort(new Error(`interrupted by ${signal}`)));
  const print = values.json === true ? console.error : console.log;
  const results: LaneResult[] = [];
  for (const lane of lanes) {
    if (interruption.signal.aborted) break;
    if (positionals.length === 0 || positionals.includes(lane.name))
      results.push(await runLane(lane, interruption.signal, print));
  }
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failed = results.reduce((sum, result) => sum + result.failed, 0);
  print("");
  for (const line of renderReport(results)) print(line);
  print(`\n${passed} passed, ${failed} failed`);
  if (values.json === true) console.log(JSON.stringify({ lanes: results, passed, failed }));
  return failed > 0 || interruption.signal.aborted ? 1 : 0;
}

process.exitCode = await main();
