import type { Output } from "./output.ts";

/** How far records have come. `sealed` and `stored` count links and what meshproof notes of itself, too. */
interface Figures {
  planned: number;
  sent: number;
  acknowledged: number;
  sealed: number;
  stored: number;
}

/** Where nobody watches, a line is written so often. */
const LINE_INTERVAL_MS = 2000;

/** A count for people: `12,345`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** The progress of a demo on standard error: one line that moves on a terminal, a few lines elsewhere. */
export class DemoProgress {
  readonly #output: Output;
  readonly #now: () => number;
  readonly #figures: Figures = { planned: 0, sent: 0, acknowledged: 0, sealed: 0, stored: 0 };
  #lastLineMs = -Infinity;
  #lastLine = "";

  constructor(output: Output, now: () => number = performance.now.bind(performance)) {
    this.#output = output;
    this.#now = now;
  }

  /** What happens next. */
  say(text: string): void {
    if (this.#output.isWatched) this.#output.status(text);
    else this.#output.note(text);
    this.#lastLineMs = this.#now();
  }

  /** Some figures have changed. */
  update(figures: Partial<Figures>): void {
    Object.assign(this.#figures, figures);
    this.#output.status(this.#text());
    if (this.#output.isWatched || this.#now() - this.#lastLineMs < LINE_INTERVAL_MS) return;
    this.finish();
  }

  /** Writes the figures as a line that stays. */
  finish(): void {
    const line = this.#text();
    if (line !== this.#lastLine) this.#output.note(line);
    this.#lastLine = line;
    this.#lastLineMs = this.#now();
  }

  #text(): string {
    const { planned, sent, acknowledged, sealed, stored } = this.#figures;
    return `  sent ${formatCount(sent)} of ${formatCount(planned)}, acknowledged ${formatCount(acknowledged)}, sealed ${formatCount(sealed)}, stored ${formatCount(stored)}`;
  }
}
