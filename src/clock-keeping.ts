import { statSync } from "node:fs";
import type { Logger } from "./core/logger.ts";
import type { FindingLedger } from "./correlate/ledger.ts";
import { type ClockJump, type ClockReading, ClockWatch } from "./telemetry/clock.ts";
import { NtpWatch, readClockSource } from "./telemetry/ntp.ts";

export interface ClockKeepingOptions {
  /** Whose clock it is, in findings: the origin of the log. */
  readonly subject: string;
  readonly maxJumpMs: number;
  readonly ledger: FindingLedger;
  /** Seals what is open in the ledger soon. */
  readonly hurry: () => void;
  readonly logger: Logger;
  readonly read?: () => ClockReading;
}

const NTP_INTERVAL_MS = 60_000;
/** A clock that jumps again and again gives one finding a minute. */
const HURRY_INTERVAL_MS = 60_000;

/** What meshproof says of its clock: findings of jumps, and the state of the clock for the records that it seals of itself. */
export class ClockKeeping {
  readonly #options: ClockKeepingOptions;
  readonly #watch: ClockWatch;
  readonly #ntp = new NtpWatch();
  #clockSource = "";
  #hurriedAtMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ClockKeepingOptions) {
    const { maxJumpMs, read } = options;
    this.#options = options;
    this.#watch = new ClockWatch({
      maxJumpMs,
      onJump: (jump) => this.#jumped(jump, "running"),
      ...(read === undefined ? {} : { read }),
    });
  }

  /** Begins to watch. `newestMs` is when the newest record of the run before was received: a time to come means that the clock was set back meanwhile. */
  async start(newestMs: number): Promise<void> {
    this.#clockSource = await readClockSource();
    await this.#ntp.refresh(Date.now());
    this.#watch.start();
    this.#timer = setInterval(() => void this.#ntp.refresh(Date.now()), NTP_INTERVAL_MS);
    this.#timer.unref();
    const { wallMs } = this.#watch.state();
    if (newestMs - wallMs > this.#options.maxJumpMs)
      this.#jumped(
        {
          direction: "backward",
          byMs: newestMs - wallMs,
          beforeMs: newestMs,
          afterMs: wallMs,
        },
        "restart",
      );
  }

  stop(): void {
    this.#watch.stop();
    clearInterval(this.#timer);
  }

  /** How much further the wall clock went than time did, since the start, in seconds; and its jumps. */
  get offsetSeconds(): number {
    return this.#watch.state().offsetMs / 1000;
  }

  get jumps(): number {
    return this.#watch.state().jumps;
  }

  /** The clock now, for a sealed record. */
  detail(): Record<string, string> {
    this.#watch.sample();
    const { wallMs, elapsedMs, offsetMs, driftMs, jumps, suspendedMs } = this.#watch.state();
    const { state, source, atMs } = this.#ntp.state;
    return {
      uptime_ms: String(Math.round(elapsedMs)),
      clock_ns: nanosOf(wallMs),
      clock_offset_ms: String(Math.round(offsetMs)),
      clock_drift_ms: String(Math.round(driftMs)),
      clock_jumps: String(jumps),
      clock_suspended_ms: String(Math.round(suspendedMs)),
      clock_source: this.#clockSource,
      ntp: state,
      ntp_source: source,
      ntp_at: atMs === null ? "" : new Date(atMs).toISOString(),
    };
  }

  #jumped({ direction, byMs, beforeMs, afterMs }: ClockJump, when: "running" | "restart"): void {
    const { subject, ledger, hurry, logger } = this.#options;
    const [before, after] = [beforeMs, afterMs].map((ms) => new Date(ms).toISOString());
    const detail = {
      direction,
      by_ms: String(Math.round(byMs)),
      before: before!,
      after: after!,
      when,
    };
    logger.warn(detail, "the clock jumped");
    const atNs = BigInt(nanosOf(afterMs));
    // Due at once: the end of its minute, on a clock that is set back, may never come.
    ledger.note({ kind: "clock_jump", subject, atNs, detail, dueMs: 0 });
    const nowMs = performance.now();
    if (when === "restart" || nowMs - this.#hurriedAtMs < HURRY_INTERVAL_MS) return;
    this.#hurriedAtMs = nowMs;
    hurry();
  }
}

/** When this file was written, by the clock of then; -Infinity where there is none. */
export function writtenMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -Infinity;
}

function nanosOf(ms: number): string {
  return String(BigInt(Math.round(ms)) * 1_000_000n);
}
