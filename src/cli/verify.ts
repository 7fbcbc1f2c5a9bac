import { readFileSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../config/options.ts";
import { MeshproofError } from "../core/errors.ts";
import { otherPlaces } from "../kept-rows.ts";
import { replaceFile } from "../seal/durable.ts";
import { ClickHouseRowSource } from "../store/rows.ts";
import { parseCheckpoint } from "../tlog/checkpoint.ts";
import { parseNote } from "../tlog/note.ts";
import type { SeenCheckpoint } from "../verify/checkpoint-check.ts";
import type { Fault, Report } from "../verify/report.ts";
import { formatVerifiedState, parseVerifiedState } from "../verify/state.ts";
import { verify as runVerify } from "../verify/verify.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { type DataDirectory, openDataDirectory, SETTLE_MS } from "./data-directory.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { type Output, printable } from "./output.ts";
import { formatDuration, VerifyProgress } from "./verify-progress.ts";

export interface VerifyCommandOptions extends ConfigOption {
  readonly json?: boolean;
  /** Verifier key to trust; without it, that of the key file beside the log. */
  readonly key?: string;
  /** Check entries, tiles and checkpoint, but no rows. */
  readonly logOnly?: boolean;
  /** Hash rows here instead of in the store. */
  readonly distrustStore?: boolean;
  /** Leaf indexes [from, to) alone. */
  readonly from?: number;
  readonly to?: number;
  /** Check what is new since the last time. */
  readonly incremental?: boolean;
  /** Where to remember how far that was; means `incremental`. */
  readonly state?: string;
  /** Files of checkpoints that were kept. */
  readonly expectCheckpoint?: readonly string[];
}

/** Faults that people are shown; `--json` lists more. */
const SHOWN_FAULTS = 20;
const STATE_MODE = 0o600;

/** Verifies the log and the stored rows of a data directory. Exit code 0 when nothing was changed, 1 when something was. */
export async function verify(options: VerifyCommandOptions, context: Context): Promise<ExitCode> {
  checkUsage(options);
  const { output } = context;
  const expected = (options.expectCheckpoint ?? []).map(readExpected);
  const config = readConfig(options, context);
  const data = await openDataDirectory(config, {
    key: options.key,
    store: options.logOnly !== true,
  });
  try {
    if (data.client !== null && data.wasKilled)
      output.note(
        "The server that ran here was killed. What it had not stored or sealed yet is in its journal, for the next start; rows there count as present.",
      );
    const statePath = findState(options, data.path);
    const report = await run(options, data, config, expected, statePath, output);
    if (statePath !== null && report.integrity === "ok" && report.checkpoint !== null)
      await remember(statePath, report.checkpoint);
    const ageSeconds = checkpointAge(data.path);
    if (options.json === true) output.json({ ...report, checkpointAgeSeconds: ageSeconds });
    else print(output, report, ageSeconds);
    return report.integrity === "ok" ? EXIT.ok : EXIT.failed;
  } finally {
    output.status("");
    await data.close();
  }
}

function run(
  options: VerifyCommandOptions,
  { signedLog, origin, keys, formerKeys, logId, client, path, isServed }: DataDirectory,
  config: Config,
  expected: readonly SeenCheckpoint[],
  statePath: string | null,
  output: Output,
): Promise<Report> {
  const since = statePath === null ? null : recall(statePath);
  const progress = new VerifyProgress(output);
  const { from, to, distrustStore } = options;
  return runVerify({
    log: signedLog,
    rows: client === null ? null : new ClickHouseRowSource({ client, logId }),
    origin,
    keys,
    formerKeys,
    expected,
    ...(since === null ? {} : { since }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(distrustStore === undefined ? {} : { distrustStore }),
    isSoleLog: config.exporters.clickhouse.endpoint === "embedded",
    places: otherPlaces(path, logId),
    settleMs: isServed ? SETTLE_MS : 0,
    ...(options.json === true ? {} : { onProgress: (figures) => progress.update(figures) }),
  });
}

function checkUsage(options: VerifyCommandOptions): void {
  const { from = 0, to = Infinity, incremental, state, logOnly, distrustStore } = options;
  const wrong = (expected: string): MeshproofError =>
    new MeshproofError("CONFIG_INVALID", `meshproof verify: expected ${expected}`);
  if (from >= to) throw wrong(`--from below --to, got ${from} and ${to}`);
  const isIncremental = incremental === true || state !== undefined;
  if (isIncremental && (from > 0 || to < Infinity))
    throw wrong("--incremental, or a range by --from and --to, not both");
  if (isIncremental && logOnly === true)
    throw wrong(
      "--incremental or --log-only, not both: what is remembered is that rows were checked",
    );
  if (distrustStore === true && logOnly === true)
    throw wrong("--distrust-store or --log-only, not both");
}

/** A checkpoint that somebody kept. Throws: CONFIG_INVALID when the file holds none; whether it holds is for `verify` to say. */
function readExpected(file: string): SeenCheckpoint {
  try {
    const note = readFileSync(file, "utf8");
    parseCheckpoint(parseNote(note).text);
    return { name: `the expected checkpoint (${file})`, note };
  } catch (cause) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `${file}: expected a signed checkpoint, as log/checkpoint is one: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function findState({ incremental, state }: VerifyCommandOptions, path: string): string | null {
  if (state !== undefined) return state;
  return incremental === true ? join(path, "state", "verified") : null;
}

/** Where the last verification ended; null when this is the first. */
function recall(path: string): SeenCheckpoint | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new MeshproofError("CONFIG_INVALID", `${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const { checkpoint, verifiedAt } = parseVerifiedState(text, path);
  return { name: `the checkpoint that was verified on ${verifiedAt}`, note: checkpoint };
}

async function remember(path: string, checkpoint: string): Promise<void> {
  await mkdir(dirname(resolve(path)), { recursive: true });
  const verifiedAt = new Date().toISOString();
  await replaceFile(path, formatVerifiedState({ checkpoint, verifiedAt }), STATE_MODE);
}

/** Seconds since the newest checkpoint was published, by the file's time; null where there is none. */
function checkpointAge(path: string): number | null {
  const found = statSync(join(path, "log", "checkpoint"), { throwIfNoEntry: false });
  return found === undefined ? null : Math.max(0, Math.round((Date.now() - found.mtimeMs) / 1000));
}

function print(output: Output, report: Report, ageSeconds: number | null): void {
  const { integrity, completeness, treeSize, checked, faults, faultCount, findings } = report;
  const verdict = (isGood: boolean, text: string): string =>
    output.paint(isGood ? "green" : "red", text);
  const age = ageSeconds === null ? "" : ` that is ${formatDuration(ageSeconds)} old`;
  output.line();
  output.columns([
    [
      "Integrity",
      verdict(integrity === "ok", integrity),
      integrity === "ok"
        ? "what was checked is what was sealed"
        : `${faultCount} ${faultCount === 1 ? "fault" : "faults"}`,
    ],
    [
      "Completeness",
      verdict(completeness === "ok", completeness),
      completeness === "ok"
        ? "nothing is known to be missing"
        : "findings say that something is missing",
    ],
    ["Log", `${treeSize} records`, `under a signed checkpoint${age}`],
    [
      "Checked",
      `${checked.records} rows`,
      `${checked.tiles} tiles and bundles, ${checked.checkpoints} checkpoints`,
    ],
  ]);
  if (faults.length > 0) output.line();
  for (const fault of faults.slice(0, SHOWN_FAULTS)) output.line(printable(describeFault(fault)));
  if (faultCount > SHOWN_FAULTS)
    output.line(`… and ${faultCount - SHOWN_FAULTS} more; --json lists up to 1,000`);
  if (Object.keys(findings).length > 0) {
    output.line();
    output.line("Open findings:");
    output.columns(
      Object.entries(findings).map(([kind, count]) => [`  ${printable(kind)}`, String(count)]),
    );
  }
}

/** A fault as a line for people. */
export function describeFault({ fault, leafIndex, table, detail }: Fault): string {
  const where = [
    ...(leafIndex === null ? [] : [`record ${leafIndex}`]),
    ...(table === null ? [] : [`in ${table}`]),
  ].join(" ");
  return `${fault}${where === "" ? "" : `  ${where}`}: ${detail}`;
}
