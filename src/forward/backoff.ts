export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly multiplier: number;
  /** An interval is drawn from so much below to so much above itself, as a share of it. */
  readonly randomization: number;
}

/** A server may ask for a longer pause than we would make, but not for any. */
const MAX_ASKED_MS = 5 * 60_000;

/** How long to wait between the attempts of one request. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #intervalMs: number;

  constructor(options: BackoffOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
    this.#intervalMs = options.initialMs;
  }

  /** The next pause; at least as long as the server asked for. */
  next(askedMs = 0): number {
    const { maxMs, multiplier, randomization } = this.#options;
    const interval = this.#intervalMs;
    this.#intervalMs = Math.min(maxMs, interval * multiplier);
    const spread = interval * randomization;
    const drawn = interval - spread + 2 * spread * this.#random();
    return Math.max(drawn, Math.min(askedMs, MAX_ASKED_MS));
  }
}

/** Milliseconds of a Retry-After header: whole seconds or a date (RFC 9110, section 10.2.3); 0 where it says nothing. */
export function retryAfterMs(header: string | undefined, nowMs: number): number {
  if (header === undefined) return 0;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - nowMs);
}
