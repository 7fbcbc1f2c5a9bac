import type { Progress } from "../verify/verify.ts";
import type { Output } from "./output.ts";

/** Where nobody watches, a line is written so often. */
const LINE_INTERVAL_MS = 10_000;
const BAR_WIDTH = 24;

/** How far a verification is, on standard error: a bar on a terminal, a line each ten seconds elsewhere. */
export class VerifyProgress {
  readonly #output: Output;
  readonly #now: () => number;
  readonly #started: number;
  #lastLineMs: number;

  constructor(output: Output, now: () => number = performance.now.bind(performance)) {
    this.#output = output;
    this.#now = now;
    this.#started = this.#lastLineMs = now();
  }

  /** Some more records are checked. */
  update({ checked, total }: Progress): void {
    const now = this.#now();
    const rate = (checked * 1000) / Math.max(now - this.#started, 1);
    const percent = Math.floor((checked * 100) / total);
    const left = formatDuration((total - checked) / Math.max(rate, 1));
    const figures = `${percent} %  ${checked} of ${total} records, ${Math.round(rate)}/s, ${left} left`;
    if (this.#output.isWatched) {
      const filled = Math.round((checked / total) * BAR_WIDTH);
      this.#output.status(`  ${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)} ${figures}`);
    } else if (now - this.#lastLineMs >= LINE_INTERVAL_MS) {
      this.#lastLineMs = now;
      this.#output.note(figures);
    }
  }
}

/** Seconds as people say them: 12 s, 3 min, 2 h 5 min, 4 days. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} days`;
}
