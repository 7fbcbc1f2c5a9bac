import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { printTable } from "../bench/measure.ts";
import { whyNoEngine } from "../support/server-fixture.ts";
import { torture, type TortureResult } from "./torture.ts";

const HELP = `Usage: npm run torture -- [--minutes N] [--kills N] [--seed N] [--keep] [--json]

Kills a real server under load, again and again, and counts what became of the records that it had acknowledged.

Six senders send logs, access logs and spans, each request until it is answered 200, as a collector with a queue does. At random moments
meshproof, its ClickHouse, or both get SIGKILL, at times once more while they start. After some of the kills and at the end it is checked that

  - each acknowledged record is in ClickHouse, once;
  - meshproof verify says ok, beside the running server and without it;
  - every checkpoint that was ever served is signed, and agrees with all others, by consistency proofs.

  --minutes N  how long (1 unless --kills is given)
  --kills N    end after so many kills
  --seed N     the same sequence of kills again; the load is never quite the same
  --keep       leave the data directory there, and say where it is
  --json       the result as JSON on standard output, what goes on on standard error

Exit codes: 0 nothing lost, doubled or changed; 1 something was; 2 usage; 3 could not run.
SIGKILL leaves what was written in the page cache. For power failures at every single operation see test/durability.test.ts.
`;

interface Arguments {
  readonly minutes: number | undefined;
  readonly kills: number | undefined;
  readonly seed: number;
  readonly keep: boolean;
  readonly json: boolean;
}

/** Throws: what is wrong, as an Error for people. */
function readArguments(args: readonly string[]): Arguments | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string" },
      kills: { type: "string" },
      seed: { type: "string" },
      keep: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const numberOf = (name: "minutes" | "kills" | "seed", isWhole: boolean): number | undefined => {
    const text = values[name];
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!(value >= 0) || value > 1e9 || (isWhole && !Number.isInteger(value)))
      throw new Error(`--${name}: expected a number, got ${JSON.stringify(text)}`);
    return value;
  };
  const kills = numberOf("kills", true);
  return {
    kills,
    minutes: numberOf("minutes", false) ?? (kills === undefined ? 1 : undefined),
    seed: numberOf("seed", true) ?? Date.now() % 1_000_000,
    keep: values.keep,
    json: values.json,
  };
}

function report(result: TortureResult, print: (line: string) => void): void {
  const { kills, disagreements, faults } = result;
  const all = Object.values(kills).reduce((sum, count) => sum + count, 0);
  printTable(
    "What became of the records",
    [
      "acknowledged",
      "found",
      "lost",
      "doubled",
      "kills",
      "retries",
      "checkpoints",
      "disagree",
      "verify",
    ],
    [
      [
        result.acknowledged,
        result.found,
        result.lost,
        result.doubled,
        all,
        result.retries,
        result.checkpoints,
        disagreements.length,
        faults.length === 0 ? `ok (${result.verified})` : "broken",
      ].map(String),
    ],
    print,
  );
  print(
    `\nkilled: ${Object.entries(kills)
      .map(([victim, count]) => `${victim} ${count}`)
      .join(", ")}`,
  );
  for (const line of [...disagreements, ...faults]) print(`! ${line}`);
}

/** Did it all hold? A run in which nothing was sent shows nothing. */
export function isGood({
  acknowledged,
  lost,
  doubled,
  disagreements,
  faults,
}: TortureResult): boolean {
  return acknowledged > 0 && lost + doubled + disagreements.length + faults.length === 0;
}

async function main(args: readonly string[]): Promise<number> {
  let given: Arguments | "help";
  try {
    given = readArguments(args);
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
  if (given === "help") {
    console.log(HELP);
    return 0;
  }
  const why = whyNoEngine();
  if (why !== false) {
    console.error(why);
    return 3;
  }
  const { minutes, kills, seed, keep, json } = given;
  const print = json ? console.error : console.log;
  const interruption = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => interruption.abort());
  const directory = mkdtempSync(join(tmpdir(), "meshproof-torture-"));
  print(`seed ${seed}, data in ${directory}`);
  try {
    const result = await torture({
      directory,
      seed,
      ...(minutes === undefined ? {} : { minutes }),
      ...(kills === undefined ? {} : { kills }),
      signal: interruption.signal,
      note: print,
    });
    report(result, print);
    if (json) console.log(JSON.stringify(result));
    return isGood(result) ? 0 : 1;
  } catch (error) {
    console.error(error);
    return 3;
  } finally {
    if (keep) print(`the data is left in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
