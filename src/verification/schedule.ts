import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DirectoryReport } from "../cli/verify.ts";
import type { Logger } from "../core/logger.ts";
import type { RowSection } from "../core/rows.ts";
import { nowNanos } from "../core/time.ts";
import type { FindingLedger } from "../correlate/ledger.ts";
import { controlSection } from "../records/own-rows.ts";
import { replaceFile } from "../seal/durable.ts";
import type { VerificationReading } from "../telemetry/gauges.ts";
import type { VerificationRunStatus, VerificationStatus } from "../query/api.ts";
import type { HealthCheck } from "../telemetry/health.ts";
import { describeFault } from "../verify/report.ts";

export const MODES = ["full", "incremental"] as const;
export type Mode = (typeof MODES)[number];

/** What came of a scheduled verification, as the API shows it but with numbers: safe integers. */
export interface VerificationRun extends Omit<VerificationRunStatus, Counts> {
  readonly mode: Mode;
  readonly treeSize: number;
  readonly records: number;
  readonly faultCount: number;
}

type Counts = "treeSize" | "records" | "faultCount";

export interface VerificationOptions {
  readonly dataDirectory: string;
  readonly logId: string;
  readonly origin: string;
  /** How often each mode runs; 0 is never. */
  readonly intervalMs: Readonly<Record<Mode, number>>;
  readonly timeoutMs: number;
  /** Verifies, until `signal` ends it. */
  readonly verify: (mode: Mode, signal: AbortSignal) => Promise<DirectoryReport>;
  readonly ledger: FindingLedger;
  /** Seals what is open in the ledger soon. */
  readonly hurry: () => void;
  readonly seal: (sections: readonly RowSection[], nowNs: bigint) => Promise<void>;
  readonly onRun: (run: VerificationRun) => void;
  readonly logger: Logger;
}

/** How often it is looked whether a run is due. */
const TICK_MS = 1_000;
/** A start has other things to do at first. */
const FIRST_DELAY_MS = 60_000;
/** A run that is due and does not come for so many intervals is worth a word. */
const OVERDUE_INTERVALS = 2;
const MAX_SHOWN_FAULTS = 10;
const MAX_FAULT_LENGTH = 300;
const MAX_EVIDENCE = 100;
const VERSION = 1;
const FILE_MODE = 0o600;

/**
 * Verifies on a schedule. What came of it is a sealed record, so that an auditor sees how often this was done and that nothing was hidden since;
 * a fault is a finding as well. The times of the last runs are kept across restarts.
 */
export class ScheduledVerification {
  readonly #options: VerificationOptions;
  readonly #path: string;
  readonly #startedMs = Date.now();
  readonly #stopping = new AbortController();
  #last: Partial<Record<Mode, VerificationRun>>;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: VerificationOptions) {
    this.#options = options;
    this.#path = join(options.dataDirectory, "state", "verification.json");
    this.#last = readRuns(this.#path);
  }

  start(): void {
    const shortest = Math.min(...Object.values(this.#options.intervalMs).filter((ms) => ms > 0));
    if (shortest === Infinity) return;
    const firstMs = this.#startedMs + Math.min(FIRST_DELAY_MS, shortest);
    this.#timer = setInterval(() => {
      const now = Date.now();
      if (now < this.#startedMs || now >= firstMs) this.tick(now);
    }, TICK_MS);
    this.#timer.unref();
  }

  /** Begins a run that is due, unless one is under way. */
  tick(nowMs: number): void {
    if (this.#running !== undefined || this.#stopping.signal.aborted) return;
    const mode = MODES.find((one) => this.#isDue(one, nowMs, 1));
    if (mode === undefined) return;
    this.#running = this.#run(mode).finally(() => (this.#running = undefined));
  }

  /** Ends a run that is under way; nothing is said of it. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort(new Error("the server stops"));
    await this.#running;
  }

  /** Resolves when no run is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** The last run of each mode, for the API. */
  status(): VerificationStatus {
    const { full, incremental } = this.#last;
    return { full: toStatus(full), incremental: toStatus(incremental) };
  }

  readings(): readonly VerificationReading[] {
    return Object.values(this.#last).map((run) => ({
      mode: run.mode,
      endedAtSeconds: Date.parse(run.endedAt) / 1000,
      durationSeconds: run.durationMs / 1000,
      records: run.records,
      faults: run.faultCount,
      integrityOk: run.integrity === "unknown" ? null : Number(run.integrity === "ok"),
    }));
  }

  /** A broken log is no reason to refuse records: it is for people to see. */
  check(): HealthCheck {
    const problems = MODES.flatMap((mode) => {
      const run = this.#last[mode];
      if (run?.integrity === "broken")
        return [`${mode}, ${run.endedAt}: ${run.faultCount} faults; run meshproof verify`];
      if (run?.outcome === "failed") return [`${mode}, ${run.endedAt}: ${run.reason}`];
      return this.#isDue(mode, Date.now(), OVERDUE_INTERVALS) ? [`${mode}: overdue`] : [];
    });
    const detail = problems.length === 0 ? "nothing to report" : problems.join("; ");
    return { name: "verification", ok: problems.length === 0, isWarning: true, detail };
  }

  /** A run that ended at a time to come was made on a clock that was wrong. */
  #isDue(mode: Mode, nowMs: number, intervals: number): boolean {
    const intervalMs = this.#options.intervalMs[mode];
    const last = this.#last[mode];
    const sinceMs = last === undefined ? this.#startedMs : Date.parse(last.endedAt);
    return intervalMs > 0 && (nowMs - sinceMs >= intervalMs * intervals || nowMs < sinceMs);
  }

  async #run(mode: Mode): Promise<void> {
    const { verify, timeoutMs, logger } = this.#options;
    const started = performance.now();
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([timeout, this.#stopping.signal]);
    let report: DirectoryReport | null = null;
    let reason = "";
    try {
      report = await verify(mode, signal);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      reason = timeout.aborted
        ? `it took longer than extensions.verification.timeout (${timeoutMs} ms)`
        : (error as Error).message;
    }
    const run = this.#toRun(mode, report, reason, performance.now() - started);
    this.#last = { ...this.#last, [mode]: run };
    this.#say(run, report);
    try {
      await this.#seal(run, report);
      await replaceFile(
        this.#path,
        `${JSON.stringify({ version: VERSION, ...this.#last })}\n`,
        FILE_MODE,
      );
    } catch (error) {
      logger.error({ err: error }, "the result of a verification could not be kept");
    }
  }

  #toRun(
    mode: Mode,
    report: DirectoryReport | null,
    reason: string,
    durationMs: number,
  ): VerificationRun {
    const before = this.#last[mode];
    return {
      mode,
      endedAt: new Date().toISOString(),
      durationMs: Math.round(durationMs),
      outcome: report === null ? "failed" : report.integrity,
      reason: reason.slice(0, MAX_FAULT_LENGTH),
      integrity: report?.integrity ?? before?.integrity ?? "unknown",
      completeness: report?.completeness ?? "unknown",
      treeSize: report?.treeSize ?? 0,
      records: report?.checked.records ?? 0,
      faultCount: report?.faultCount ?? before?.faultCount ?? 0,
    };
  }

  #say(run: VerificationRun, report: DirectoryReport | null): void {
    const { logger, onRun } = this.#options;
    onRun(run);
    const { mode, durationMs, treeSize, records, faultCount, reason } = run;
    const fields = { mode, durationMs, treeSize, records };
    if (run.outcome === "ok") logger.info(fields, "verified: nothing was changed");
    else if (run.outcome === "failed") logger.warn({ mode, reason }, "the log was not verified");
    else
      logger.error(
        { ...fields, faultCount, faults: shown(report!) },
        "verified: something is not what was sealed; run meshproof verify",
      );
  }

  async #seal(run: VerificationRun, report: DirectoryReport | null): Promise<void> {
    const { logId, origin, ledger, hurry, seal } = this.#options;
    const now = nowNanos();
    const { mode, outcome, reason, durationMs } = run;
    if (report?.integrity === "broken") {
      const indexes = report.faults.map(({ leafIndex }) => leafIndex);
      const evidence = [...new Set(indexes)].filter((index) => Number.isSafeInteger(index));
      ledger.note({
        kind: "integrity_broken",
        subject: origin,
        atNs: now,
        count: report.faultCount,
        reason: shown(report)[0]!,
        detail: { mode, tree_size: String(report.treeSize), fault_kinds: countKinds(report) },
        evidence: (evidence as number[]).slice(0, MAX_EVIDENCE),
        dueMs: 0,
      });
      hurry();
    }
    const detail = {
      mode,
      outcome,
      duration_ms: String(durationMs),
      ...(report === null
        ? { reason }
        : {
            integrity: report.integrity,
            completeness: report.completeness,
            tree_size: String(report.treeSize),
            records: String(report.checked.records),
            tiles: String(report.checked.tiles),
            checkpoints: String(report.checked.checkpoints),
            faults: String(report.faultCount),
            fault_kinds: countKinds(report),
            first_faults: shown(report).join("\n"),
          }),
    };
    await seal(
      [controlSection(logId, [{ timestampNs: now, controlKind: "verified", detail }])],
      now,
    );
  }
}

function toStatus(run: VerificationRun | undefined): VerificationRunStatus | null {
  if (run === undefined) return null;
  const { treeSize, records, faultCount, mode: _, ...others } = run;
  return {
    ...others,
    treeSize: String(treeSize),
    records: String(records),
    faultCount: String(faultCount),
  };
}

function shown({ faults }: DirectoryReport): string[] {
  return faults
    .slice(0, MAX_SHOWN_FAULTS)
    .map((fault) => describeFault(fault).slice(0, MAX_FAULT_LENGTH));
}

/** `row_changed 3, row_missing 1`: of the faults that are listed. */
function countKinds({ faults }: DirectoryReport): string {
  return [...Map.groupBy(faults, ({ fault }) => fault)]
    .map(([fault, all]) => `${fault} ${all.length}`)
    .join(", ");
}

/** The last runs, where the file holds any: nothing rests on it but the time of the next one. */
function readRuns(path: string): Partial<Record<Mode, VerificationRun>> {
  try {
    const { version, full, incremental } = JSON.parse(readFileSync(path, "utf8"));
    if (version !== VERSION) return {};
    const isRun = (run: VerificationRun | undefined, mode: Mode): boolean =>
      run?.mode === mode && !Number.isNaN(Date.parse(run.endedAt));
    return {
      ...(isRun(full, "full") ? { full } : {}),
      ...(isRun(incremental, "incremental") ? { incremental } : {}),
    };
  } catch {
    return {};
  }
}
