export interface SealWatchOptions {
  /** Records that wait longer than this for a signed checkpoint mean that sealing is stuck. */
  readonly lateMs: number;
  /** A clock that nobody sets, in milliseconds. */
  readonly now?: () => number;
}

/** How long records have waited for a checkpoint: what tells a sealer that stands still from a log that is idle. */
export class SealWatch {
  readonly #lateMs: number;
  readonly #now: () => number;
  #size = 0;
  #signedSize = 0;
  /** Since when there are records that the newest signed checkpoint does not cover. */
  #unsignedSince: number | null = null;
  #publishedAt: number;

  constructor({ lateMs, now = () => performance.now() }: SealWatchOptions) {
    this.#lateMs = lateMs;
    this.#now = now;
    this.#publishedAt = now();
  }

  /** The tree has so many leaves. */
  grown(size: number): void {
    this.#size = size;
    if (size > this.#signedSize) this.#unsignedSince ??= this.#now();
  }

  /** A checkpoint of so many leaves was signed; what came while that was done has waited since now at most. */
  signed(size: number): void {
    this.#signedSize = size;
    this.#unsignedSince = this.#size > size ? this.#now() : null;
  }

  published(): void {
    this.#publishedAt = this.#now();
  }

  /** Seconds for which the oldest record without a signed checkpoint has waited. */
  get unsignedSeconds(): number {
    return this.#unsignedSince === null ? 0 : (this.#now() - this.#unsignedSince) / 1000;
  }

  get publishedAgeSeconds(): number {
    return (this.#now() - this.#publishedAt) / 1000;
  }

  get isLate(): boolean {
    return this.unsignedSeconds * 1000 >= this.#lateMs;
  }
}
