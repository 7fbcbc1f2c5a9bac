export interface StoreWatchOptions {
  /** A store that refuses for longer than this is down; a shorter hiccup is not worth an alarm. */
  readonly alarmMs: number;
  /** The store has stopped answering when one batch has been under way for so long; a slow one takes a few seconds. */
  readonly stallMs: number;
  /** For how long rows have been on their way without having arrived, in milliseconds; 0 when none are. */
  readonly underWayMs: () => number;
  /** A clock that nobody sets, in milliseconds. */
  readonly now?: () => number;
}

/** Does the store take rows? One that answers with errors is told from one that does not answer at all, long before a statement times out. */
export class StoreWatch {
  readonly #options: StoreWatchOptions;
  readonly #now: () => number;
  #failingSince: number | undefined;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** An INSERT has ended. */
  attempted(hasFailed: boolean): void {
    if (hasFailed) this.#failingSince ??= this.#now();
    else this.#failingSince = undefined;
  }

  get isFailing(): boolean {
    return this.#failingMs >= this.#options.alarmMs || this.#isStalled;
  }

  /** A sentence on the state, for people who read the health answer. */
  get detail(): string {
    if (this.#isStalled)
      return `rows have been on their way for ${seconds(this.#options.underWayMs())}`;
    return this.#failingSince === undefined
      ? "answers"
      : `has failed for ${seconds(this.#failingMs)}`;
  }

  get #failingMs(): number {
    return this.#failingSince === undefined ? 0 : this.#now() - this.#failingSince;
  }

  get #isStalled(): boolean {
    return this.#options.underWayMs() >= this.#options.stallMs;
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
