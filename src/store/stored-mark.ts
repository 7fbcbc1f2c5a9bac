import { existsSync, readFileSync } from "node:fs";
import fs from "node:fs/promises";
import { join } from "node:path";

/** The file is written at most this often. */
const INTERVAL_MS = 200;

function markPath(dataDirectory: string): string {
  return join(dataDirectory, "state", "stored");
}

/**
 * How far the store has the rows of the log, in a file where `verify` finds it, beside a running server and after one: a row below
 * is in the store, or was taken away; one above may still be on its way from the journal.
 * It is a lower bound that nothing else depends on, so it is not synced: after a crash it may be old, never too high.
 */
export class StoredMark {
  readonly #path: string;
  #through = 0;
  #written = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(dataDirectory: string) {
    this.#path = markPath(dataDirectory);
  }

  /** All rows below `through` are stored. Never waits, never fails. */
  reached(through: number): void {
    this.#through = through;
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
    if (this.#through === this.#written) return;
    const through = (this.#written = this.#through);
    this.#writing = this.#writing
      .then(async () => {
        await fs.writeFile(`${this.#path}.tmp`, `${through}\n`);
        await fs.rename(`${this.#path}.tmp`, this.#path);
      })
      .catch(() => {}); // an old mark is a true one
  }
}

/** Every row of the log below this index was stored; 0 when nothing says so. */
export function readStoredThrough(dataDirectory: string): number {
  const path = markPath(dataDirectory);
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  return /^\d{1,15}\n$/.test(text) ? Number(text) : 0;
}
