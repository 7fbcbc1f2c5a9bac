import { readFileSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../config/options.ts";
import { formatDuration as formatGoDuration } from "../config/values.ts";
import { MeshproofError } from "../core/errors.ts";
import { otherPlaces } from "../kept-rows.ts";
import { replaceFile } from "../seal/durable.ts";
import { ClickHouseRowSource } from "../store/rows.ts";
import { parseCheckpoint } from "../tlog/checkpoint.ts";
import { parseNote } from "../tlog/note.ts";
import type { SeenCheckpoint } from "../verify/checkpoint-check.ts";
import { describeFault, type Report } from "../verify/report.ts";
import { formatVerifiedState, parseVerifiedState } from "../verify/state.ts";
import { type Progress, verify as runVerify } from "../verify/verify.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { type DataDirectory, openDataDirectory, SETTLE_MS } from "./data-directory.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { type Output, printable } from "./output.ts";
import { formatDuration, VerifyProgress } from "./verify-progress.ts";

export interface VerifyCommandOptions extends ConfigOption, DirectoryChecks {
  readonly json?: boolean;
  /** A checkpoint or a newest record that is older, in milliseconds, is a failed check. */
  readonly maxAge?: number;
  /** Files of checkpoints that were kept. */
  readonly expectCheckpoint?: readonly string[];
}

/** What to check of a data directory, and how. */
export interface DirectoryChecks {
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
}

/** For whoever runs a verification beside other work. */
export interface DirectoryRun {
  readonly expected?: readonly SeenCheckpoint[];
  readonly onProgress?: (progress: Progress) => void;
  readonly onNote?: (note: string) => void;
  /** Leaves that are checked in one go. */
  readonly windowLeaves?: number;
  /** ClickHouse's settings of every statement. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** A report with the ages of what it saw, in seconds by this machine's clock; null where there is nothing to see. */
export interface DirectoryReport extends Report {
  /** By the time of the file. */
  readonly checkpointAgeSeconds: number | null;
  /** By the time in the row. */
  readonly newestRecordAgeSeconds: number | null;
}

/** Faults that people are shown; `--json` lists more. */
const SHOWN_FAULTS = 20;
/** What the commit record is called in a sentence. */
const SIGNED = "the checkpoint that state/checkpoint.json holds";
const STATE_MODE = 0o600;

/** Verifies the log and the stored rows of a data directory. Exit code 0 when nothing was changed, and nothing is too old, 1 when something was. */
export async function verify(options: VerifyCommandOptions, context: Context): Promise<ExitCode> {
  checkUsage(options);
  const { output } = context;
  const expected = (options.expectCheckpoint ?? []).map(readExpected);
  const config = readConfig(options, context);
  const progress = new VerifyProgress(output);
  const report = await verifyDirectory(config, options, {
    expected,
    onNote: (note) => output.note(note),
    ...(options.json === true ? {} : { onProgress: (figures) => progress.update(figures) }),
  }).finally(() => output.status(""));
  const freshness = options.maxAge === undefined ? null : freshnessOf(report, options.maxAge);
  if (options.json === true)
    output.json({ ...report, ...(freshness === null ? {} : { freshness }) });
  else print(output, report, freshness, options.maxAge);
  return report.integrity === "ok" && freshness !== "stale" ? EXIT.ok : EXIT.failed;
}

/**
 * Verifies a data directory beside its server or without one; with `incremental` or `state` it remembers how far that was, unless it found a fault.
 * Throws: what `openDataDirectory` and the store throw.
 */
export async function verifyDirectory(
  config: Config,
  checks: DirectoryChecks,
  run: DirectoryRun = {},
): Promise<DirectoryReport> {
  const data = await openDataDirectory(config, {
    key: checks.key,
    store: checks.logOnly !== true,
  });
  try {
    if (data.client !== null && data.wasKilled)
      run.onNote?.(
        "The server that ran here was killed. What it had not stored or sealed yet is in its journal, for the next start; rows there count as present.",
      );
    const statePath = findState(checks, data.path);
    const report = await runChecks(checks, run, data, config, statePath);
    if (statePath !== null && report.integrity === "ok" && report.checkpoint !== null)
      await remember(statePath, report.checkpoint);
    const { newestRecordAt } = report;
    return {
      ...report,
      checkpointAgeSeconds: ageSeconds(checkpointMs(data.path)),
      newestRecordAgeSeconds: ageSeconds(
        newestRecordAt === null ? null : Date.parse(newestRecordAt),
      ),
    };
  } finally {
    await data.close();
  }
}

function runChecks(
  { from, to, distrustStore }: DirectoryChecks,
  { expected = [], onProgress, windowLeaves, settings = {} }: DirectoryRun,
  data: DataDirectory,
  config: Config,
  statePath: string | null,
): Promise<Report> {
  const { signedLog, origin, keys, formerKeys, logId, client, path, isServed, lastSigned } = data;
  const own = lastSigned === null ? [] : [{ name: SIGNED, note: lastSigned }];
  const since = statePath === null ? null : recall(statePath);
  return runVerify({
    log: signedLog,
    rows: client === null ? null : new ClickHouseRowSource({ client, logId, settings }),
    origin,
    keys,
    formerKeys,
    logId,
    expected: [...own, ...expected],
    ...(since === null ? {} : { since }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(distrustStore === undefined ? {} : { distrustStore }),
    ...(windowLeaves === undefined ? {} : { windowLeaves }),
    isSoleLog: config.exporters.clickhouse.endpoint === "embedded",
    places: otherPlaces(path, logId),
    settleMs: isServed ? SETTLE_MS : 0,
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}

function checkUsage(options: VerifyCommandOptions): void {
  const { from = 0, to = Infinity, incremental, state, logOnly, distrustStore, maxAge } = options;
  const wrong = (expected: string): MeshproofError =>
    new MeshproofError("CONFIG_INVALID", `meshproof verify: expected ${expected}`);
  if (from >= to) throw wrong(`--from below --to, got ${from} and ${to}`);
  if (maxAge !== undefined && to < Infinity)
    throw wrong("--max-age, or a range that ends by --to, not both");
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

function findState({ incremental, state }: DirectoryChecks, path: string): string | null {
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

/** When the newest checkpoint was published, by the file's time; null where there is none. */
function checkpointMs(path: string): number | null {
  return statSync(join(path, "log", "checkpoint"), { throwIfNoEntry: false })?.mtimeMs ?? null;
}

function ageSeconds(atMs: number | null): number | null {
  return atMs === null ? null : Math.max(0, Math.round((Date.now() - atMs) / 1000));
}

/** Stale where a server that runs would have published a checkpoint since, or sealed a heartbeat. */
export function freshnessOf(
  {
    checkpointAgeSeconds,
    newestRecordAgeSeconds,
  }: Pick<DirectoryReport, "checkpointAgeSeconds" | "newestRecordAgeSeconds">,
  maxAgeMs: number,
): "ok" | "stale" {
  const age = Math.max(checkpointAgeSeconds ?? Infinity, newestRecordAgeSeconds ?? 0);
  return age * 1000 > maxAgeMs ? "stale" : "ok";
}

function print(
  output: Output,
  report: DirectoryReport,
  freshness: "ok" | "stale" | null,
  maxAgeMs = 0,
): void {
  const { integrity, completeness, treeSize, checked, faults, faultCount, findings } = report;
  const { checkpointAgeSeconds, newestRecordAgeSeconds } = report;
  const verdict = (isGood: boolean, text: string): string =>
    output.paint(isGood ? "green" : "red", text);
  const old = (seconds: number | null): string =>
    seconds === null ? "" : ` that is ${formatDuration(seconds)} old`;
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
      completeness === "ok" ? "nothing is known to be missing" : "something is known to be missing",
    ],
    ...(freshness === null
      ? []
      : [
          [
            "Freshness",
            verdict(freshness === "ok", freshness),
            `${freshness === "ok" ? "no older" : "older"} than ${formatGoDuration(maxAgeMs)}`,
          ],
        ]),
    ["Log", `${treeSize} records`, `under a signed checkpoint${old(checkpointAgeSeconds)}`],
    ...(newestRecordAgeSeconds === null
      ? []
      : [
          [
            "Newest record",
            report.newestRecordAt!,
            `${formatDuration(newestRecordAgeSeconds)} old`,
          ],
        ]),
    [
      "Checked",
      `${checked.records} rows`,
      `${checked.tiles} tiles and bundles, ${checked.checkpoints} ${checked.checkpoints === 1 ? "checkpoint" : "checkpoints"}`,
    ],
    ...(report.expired === 0
      ? []
      : [
          [
            "Expired",
            `${report.expired} rows`,
            "dropped after their period, as sealed records say",
          ],
        ]),
    ...(report.erased === 0
      ? []
      : [["Erased", `${report.erased} rows`, "erased on request, as sealed records say"]]),
  ]);
  if (faults.length > 0) output.line();
  for (const fault of faults.slice(0, SHOWN_FAULTS)) output.line(printable(describeFault(fault)));
  if (faultCount > SHOWN_FAULTS)
    output.line(`… and ${faultCount - SHOWN_FAULTS} more; --json lists up to 1,000`);
  printSilences(output, report);
  if (Object.keys(findings).length > 0) {
    output.line();
    output.line("Open findings:");
    output.columns(
      Object.entries(findings).map(([kind, count]) => [`  ${printable(kind)}`, String(count)]),
    );
  }
}

function printSilences(
  output: Output,
  { silences, silenceCount, uncleanStops }: DirectoryReport,
): void {
  if (silenceCount > 0) {
    output.line();
    output.line("Nothing was sealed, not even a heartbeat, though no stop is on record:");
    for (const { from, to, seconds } of silences.slice(0, SHOWN_FAULTS))
      output.line(`  ${from} to ${to}, ${formatDuration(seconds)}`);
    if (silenceCount > SHOWN_FAULTS) output.line(`  … and ${silenceCount - SHOWN_FAULTS} more`);
  }
  if (uncleanStops === 0) return;
  output.line();
  output.line(
    `The server ended ${uncleanStops === 1 ? "once" : `${uncleanStops} times`} without a record of it. What it had acknowledged is in the log; what it had counted of refused requests may not be.`,
  );
}
