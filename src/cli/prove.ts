import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { MeshproofError } from "../core/errors.ts";
import { MAX_ROWS_PER_QUERY } from "../store/records.ts";
import { formatVerifierKey } from "../tlog/note.ts";
import { MAX_BUNDLE_RECORDS } from "../tlog/proof-bundle.ts";
import { Prover } from "../verify/prover.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { type DataDirectory, openDataDirectory, SETTLE_MS } from "./data-directory.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { proveInBundle } from "./prove-bundle.ts";
import {
  type Candidates,
  FILE_MODE,
  missingRow,
  type Outcome,
  STANDARD_OUTPUT,
} from "./prove-outcome.ts";
import { type FoundRow, RecordRows } from "./record-rows.ts";
import { describeFault } from "../verify/report.ts";

export interface ProveOptions extends ConfigOption {
  readonly json?: boolean;
  /** Verifier key to trust; without it, that of the key file beside the log. */
  readonly key?: string;
  /** Directory for the files; "-" is standard output. */
  readonly output: string;
  /** File for one bundle with all proofs, instead; "-" is standard output. */
  readonly bundle?: string;
  /** All records of this trace. */
  readonly trace?: string;
}

/** How often a running server is asked whether it has sealed a record that is new. */
const SEAL_INTERVAL_MS = 200;

/** Writes proofs of records by leaf index or by trace. Exit code 1 when a stored row is not what was sealed, or is gone. */
export async function prove(
  indexes: readonly number[],
  options: ProveOptions,
  context: Context,
): Promise<ExitCode> {
  checkUsage(indexes, options);
  const { trace, output: target } = options;
  const data = await openDataDirectory(readConfig(options, context), {
    key: options.key,
    store: true,
  });
  try {
    const rows = new RecordRows(data, data.client!);
    const wanted =
      trace === undefined ? [...new Set(indexes)].map(BigInt) : await rows.ofTrace(trace);
    if (wanted.length === 0)
      throw new MeshproofError("NOT_FOUND", `trace ${trace}: no record of it is stored`);
    const prover = await openProver(data, rows, wanted);
    const sealed = wanted.filter((index) => index < prover.size);
    const unsealed = wanted.filter((index) => index >= prover.size);
    if (trace === undefined && unsealed.length > 0) throw notSealed(unsealed, prover.size);

    // A line now and then for files that appear; for a bundle, of which nothing is seen before its end, a status.
    const { output } = context;
    const progress = (text: string): void =>
      options.bundle === undefined ? output.note(`${text} proved`) : output.status(`${text} read`);
    const found = candidatesOf(sealed, rows, progress);
    const outcomes =
      options.bundle === undefined
        ? await proveSingly(prover, found, target, context)
        : await proveInBundle(prover, found, options.bundle, context);
    if ((options.bundle ?? target) !== STANDARD_OUTPUT) report(outcomes, data, options, context);
    for (const { fault, leafIndex, table, detail } of outcomes)
      if (fault !== undefined)
        context.output.note(describeFault({ fault, leafIndex, table, detail: detail! }));
    if (unsealed.length > 0) context.output.note(notSealed(unsealed, prover.size).message);
    if (outcomes.some(({ fault }) => fault !== undefined)) return EXIT.failed;
    return unsealed.length > 0 ? EXIT.unable : EXIT.ok;
  } finally {
    await data.close();
  }
}

/** Each record with the rows that claim to be it, in the order asked for. */
async function* candidatesOf(
  indexes: readonly bigint[],
  rows: RecordRows,
  progress: (text: string) => void,
): AsyncGenerator<Candidates> {
  for (let from = 0; from < indexes.length; from += MAX_ROWS_PER_QUERY) {
    if (from > 0) progress(`${from} of ${indexes.length} records`);
    const some = indexes.slice(from, from + MAX_ROWS_PER_QUERY);
    const found = Map.groupBy(await rows.at(some), ({ leafIndex }) => leafIndex);
    for (const index of some) yield { index, rows: found.get(index) ?? [] };
  }
}

async function proveSingly(
  prover: Prover,
  found: AsyncIterable<Candidates>,
  target: string,
  context: Context,
): Promise<Outcome[]> {
  if (target !== STANDARD_OUTPUT) await mkdir(target, { recursive: true });
  const outcomes: Outcome[] = [];
  for await (const { index, rows } of found)
    outcomes.push(...(await proveRecord(prover, index, rows, target, context)));
  return outcomes;
}

function checkUsage(
  indexes: readonly number[],
  { trace, output, json, bundle }: ProveOptions,
): void {
  const wrong = (expected: string): MeshproofError =>
    new MeshproofError("CONFIG_INVALID", `meshproof prove: expected ${expected}`);
  if (trace === undefined && indexes.length === 0) throw wrong("leaf indexes, or --trace");
  if (trace !== undefined && indexes.length > 0) throw wrong("leaf indexes or --trace, not both");
  if (bundle !== undefined) {
    if (output === STANDARD_OUTPUT) throw wrong("--bundle or --output -, not both");
    if (indexes.length > MAX_BUNDLE_RECORDS)
      throw wrong(`at most ${MAX_BUNDLE_RECORDS} records for a bundle, got ${indexes.length}`);
    if (bundle === STANDARD_OUTPUT && json === true) throw wrong("--json or --bundle -, not both");
    return;
  }
  if (output !== STANDARD_OUTPUT) return;
  if (indexes.length !== 1) throw wrong("one leaf index with --output -");
  if (json === true) throw wrong("--json or --output -, not both");
}

function notSealed(indexes: readonly bigint[], size: number): MeshproofError {
  const [first] = indexes;
  const which =
    indexes.length === 1
      ? `record ${first} is`
      : `record ${first} and ${indexes.length - 1} more are`;
  return new MeshproofError(
    "PROOF_RANGE",
    `${which} not sealed: the newest checkpoint covers ${size} records`,
  );
}

/** A prover whose checkpoint covers all that is wanted. A running server is given some time to seal what it has, but not yet sealed. */
async function openProver(
  data: DataDirectory,
  rows: RecordRows,
  wanted: readonly bigint[],
): Promise<Prover> {
  const { log, origin, keys } = data;
  const deadline = Date.now() + (data.isServed ? SETTLE_MS : 0);
  for (;;) {
    const prover = await Prover.open({ log, origin, keys });
    const unsealed = wanted.filter((index) => index >= prover.size).slice(0, MAX_ROWS_PER_QUERY);
    if (unsealed.length === 0 || Date.now() >= deadline) return prover;
    if ((await rows.at(unsealed)).length === 0) return prover;
    await setTimeout(SEAL_INTERVAL_MS);
  }
}

/** Proves the rows that claim to be this record. More than one claims it where somebody added rows: then each that is not the record is a fault. */
async function proveRecord(
  prover: Prover,
  index: bigint,
  candidates: readonly FoundRow[],
  target: string,
  { output }: Context,
): Promise<Outcome[]> {
  const leafIndex = Number(index);
  if (candidates.length === 0) return [missingRow(leafIndex)];
  const outcomes: Outcome[] = [];
  for (const { table, row } of candidates) {
    const proved = await prover.prove(leafIndex, row);
    if ("fault" in proved) {
      outcomes.push({ leafIndex, table, file: null, ...proved });
    } else if (target === STANDARD_OUTPUT) {
      output.write(proved.proof);
      break;
    } else {
      const file = join(target, `${leafIndex}.tlog-proof`);
      await writeFile(file, proved.proof, { mode: FILE_MODE });
      outcomes.push({ leafIndex, table, file });
    }
  }
  return outcomes;
}

function report(
  outcomes: readonly Outcome[],
  { key }: DataDirectory,
  options: ProveOptions,
  { output }: Context,
): void {
  if (options.json === true) {
    output.json(outcomes);
    return;
  }
  const written = outcomes.filter(({ file }) => file !== null);
  if (written.length === 0) return;
  if (options.bundle === undefined)
    output.columns(
      written.map(({ leafIndex, table, file }) => [`record ${leafIndex}`, table!, file!]),
    );
  else
    output.columns([
      [written.length === 1 ? "1 record" : `${written.length} records`, options.bundle],
    ]);
  output.line();
  output.line("Whoever has this key can check them, without this machine:");
  output.line(`  meshproof verify-proof --key ${formatVerifierKey(key)} FILE`);
}
