import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fuzz, type FuzzResult } from "./fuzz.ts";

const HELP = `Usage: npm run fuzz -- [--minutes N] [--seed N]

Changes the records of the fixtures at random and sends each through decoding, recognition, redaction and encoding. Looked for is

  - anything thrown that is no refusal of the request;
  - a row that cannot be read back, or is longer than its bound;
  - a planted secret that is found in a row;
  - a line that was read in part and is not kept;
  - columns that depend on the records before;
  - a record that takes long.

  --minutes N  how long (1)
  --seed N     the same sequence of inputs again

Inputs that break a promise are written to a folder that is named at the end.
Exit codes: 0 none did; 1 some did; 2 usage.
`;

interface Arguments {
  readonly minutes: number;
  readonly seed: number;
}

/** Throws: what is wrong, as an Error for people. */
function readArguments(args: readonly string[]): Arguments | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string", default: "1" },
      seed: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const minutes = Number(values.minutes);
  if (!(minutes > 0) || minutes > 10_000)
    throw new Error(`--minutes: expected a number above 0, got ${JSON.stringify(values.minutes)}`);
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
  if (!Number.isInteger(seed) || seed < 0)
    throw new Error(`--seed: expected a whole number, got ${JSON.stringify(values.seed)}`);
  return { minutes, seed };
}

function summary({ inputs, dialects, partial, slowestMs, failures }: FuzzResult): string {
  const claimed = [...dialects].toSorted(([, a], [, b]) => b - a);
  return [
    `${inputs} inputs, ${partial} read in part, slowest ${slowestMs.toFixed(1)} ms, ${failures.length} failures`,
    claimed.map(([name, count]) => `${name} ${count}`).join(", "),
  ].join("\n  ");
}

async function main(): Promise<number> {
  let read: Arguments | "help";
  try {
    read = readArguments(process.argv.slice(2));
  } catch (error) {
    console.error((error as Error).message);
    console.error(HELP);
    return 2;
  }
  if (read === "help") {
    console.log(HELP);
    return 0;
  }
  console.log(`seed ${read.seed}, ${read.minutes} minutes`);
  const result = await fuzz(read, (sofar) => console.log(summary(sofar)));
  console.log(summary(result));
  if (result.failures.length === 0) return 0;
  const folder = join(tmpdir(), `meshproof-fuzz-${read.seed}`);
  mkdirSync(folder, { recursive: true });
  result.failures.forEach(({ reason, input }, i) => {
    writeFileSync(join(folder, `${i}.json`), `${JSON.stringify(input, null, 2)}\n`);
    console.log(`${i}: ${reason}`);
  });
  console.log(`inputs: ${folder}`);
  return 1;
}

process.exitCode = await main();
