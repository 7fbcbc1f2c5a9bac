import { existsSync, readFileSync } from "node:fs";
import fs from "node:fs/promises";

/** The file is written at most this often. */
const INTERVAL_MS = 200;

/**
 * A leaf index in a file: how far something has come with the rows of the log. After a crash it may be an old one, never one that is too high, and so it is not synced.
 */
export class IndexMark {
  readonly #path: string;
  #index = 0;
  #written = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** All rows below `index` are dealt with. Never waits, never fails. */
  reached(index: number): void {
    this.#index = index;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#write();
    }, INTERVAL_MS).unref();
  }

  /** Writes the last state. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#write();
    await this.#writing;
  }

  #write(): void {
    if (this.#index === this.#written) return;
    const index = (this.#written = this.#index);
    this.#writing = this.#writing
      .then(async () => {
        await fs.writeFile(`${this.#path}.tmp`, `${index}\n`);
        await fs.rename(`${this.#path}.tmp`, this.#path);
      })
      .catch(() => {}); // an old mark is a true one
  }
}

/** What the file says; 0 when it says nothing. */
export function readIndexMark(path: string): number {
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  return /^\d{1,15}\n$/.test(text) ? Number(text) : 0;
}
