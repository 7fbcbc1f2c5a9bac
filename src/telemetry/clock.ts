import { uptime } from "node:os";

/** The clocks of the machine at one moment, in milliseconds. */
export interface ClockReading {
  /** Since the Unix epoch: the clock that records carry, which people and time servers set. */
  readonly wallMs: number;
  /** From an arbitrary start, never set; it stands still while the machine sleeps (CLOCK_MONOTONIC). */
  readonly monotonicMs: number;
  /** The same, but it goes on while the machine sleeps (CLOCK_BOOTTIME); null where nothing tells it. */
  readonly bootMs: number | null;
  /** The readings are apart by at most so much: this process may have been paused between them. */
  readonly uncertaintyMs: number;
}

/** The wall clock was set, by more than a clock may be slewed. */
export interface ClockJump {
  readonly direction: "forward" | "backward";
  /** By how much, without sign. */
  readonly byMs: number;
  /** What the wall clock would have shown, and what it shows. */
  readonly beforeMs: number;
  readonly afterMs: number;
}

/** How the wall clock has gone since the watch began. */
export interface ClockState {
  readonly wallMs: number;
  /** By the monotonic clock, without the time that the machine slept. */
  readonly elapsedMs: number;
  /** How much further the wall clock went than time did: jumps and drift together. */
  readonly offsetMs: number;
  /** The part of it that came without a jump. */
  readonly driftMs: number;
  readonly jumps: number;
  /** How long the machine slept. */
  readonly suspendedMs: number;
}

export interface ClockWatchOptions {
  /** A change of the wall clock above this is a jump. */
  readonly maxJumpMs: number;
  readonly onJump: (jump: ClockJump) => void;
  readonly read?: () => ClockReading;
}

const SAMPLE_MS = 1_000;
/** No clock is slewed faster by the kernel's NTP discipline (adjtimex(2): 500 parts per million); what is faster adds up to a jump. */
const MAX_SLEW = 500e-6;
/** A shorter sleep cannot be told from the grain of the uptime, which is 10 ms. */
const MIN_SUSPEND_MS = 100;
const GOOD_UNCERTAINTY_MS = 20;
const MAX_READS = 5;

/**
 * Holds the wall clock against the monotonic one, each second.
 *
 * Linux slews both clocks alike, so there what parts them are steps and sleep. Many small steps count as one that is as large as they are together:
 * what a comparison starts from follows the wall clock no faster than a clock is slewed.
 */
export class ClockWatch {
  readonly #options: ClockWatchOptions;
  readonly #read: () => ClockReading;
  readonly #first: ClockReading;
  #last: ClockReading;
  /** Wall clock minus monotonic clock and sleep: at the start, and where no jump would be seen. */
  readonly #firstOffsetMs: number;
  #referenceMs: number;
  #jumps = 0;
  #jumpedMs = 0;
  #suspendedMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ClockWatchOptions) {
    this.#options = options;
    this.#read = options.read ?? readClock;
    this.#first = this.#last = this.#read();
    this.#firstOffsetMs = this.#referenceMs = this.#first.wallMs - this.#first.monotonicMs;
  }

  /** Begins to sample. */
  start(): void {
    this.#timer = setInterval(() => this.sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Reads the clocks, and tells of a jump since the last time. */
  sample(): void {
    const { maxJumpMs, onJump } = this.#options;
    const now = this.#read();
    if (now.uncertaintyMs > maxJumpMs / 2) return; // it would be the pause of this process that is measured
    const elapsedMs = now.monotonicMs - this.#last.monotonicMs;
    if (now.bootMs !== null && this.#last.bootMs !== null) {
      const sleptMs = now.bootMs - this.#last.bootMs - elapsedMs;
      if (sleptMs >= MIN_SUSPEND_MS) this.#suspendedMs += sleptMs;
    }
    this.#last = now;
    const offsetMs = this.#offset();
    const deviationMs = offsetMs - this.#referenceMs;
    if (Math.abs(deviationMs) <= maxJumpMs) {
      const slewMs = elapsedMs * MAX_SLEW;
      this.#referenceMs += Math.max(-slewMs, Math.min(slewMs, deviationMs));
      return;
    }
    this.#referenceMs = offsetMs;
    this.#jumps++;
    this.#jumpedMs += deviationMs;
    onJump({
      direction: deviationMs > 0 ? "forward" : "backward",
      byMs: Math.abs(deviationMs),
      beforeMs: now.wallMs - deviationMs,
      afterMs: now.wallMs,
    });
  }

  /** As of the last sample. */
  state(): ClockState {
    const offsetMs = this.#offset() - this.#firstOffsetMs;
    return {
      wallMs: this.#last.wallMs,
      elapsedMs: this.#last.monotonicMs - this.#first.monotonicMs,
      offsetMs,
      driftMs: offsetMs - this.#jumpedMs,
      jumps: this.#jumps,
      suspendedMs: this.#suspendedMs,
    };
  }

  #offset(): number {
    return this.#last.wallMs - this.#last.monotonicMs - this.#suspendedMs;
  }
}

/** Reads the clocks as closely together as the scheduler allows. */
export function readClock(): ClockReading {
  let best: ClockReading | undefined;
  for (let reads = 0; reads < MAX_READS; reads++) {
    const reading = readOnce();
    if (best === undefined || reading.uncertaintyMs < best.uncertaintyMs) best = reading;
    if (best.uncertaintyMs <= GOOD_UNCERTAINTY_MS) break;
  }
  return best!;
}

function readOnce(): ClockReading {
  const before = performance.now();
  const wallMs = Date.now();
  const between = performance.now();
  // Elsewhere than on Linux the uptime is computed from the wall clock.
  const bootMs = process.platform === "linux" ? uptime() * 1000 : null;
  const after = performance.now();
  return {
    wallMs,
    monotonicMs: (before + between) / 2,
    bootMs: bootMs === null ? null : bootMs - (after - before) / 2,
    uncertaintyMs: after - before,
  };
}
