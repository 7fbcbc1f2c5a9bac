import fs from "node:fs/promises";
import { dirname } from "node:path";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { readFileIfAny, replaceFile } from "./durable.ts";
import type { Evidence } from "./evidence.ts";

/** A checkpoint a second at most is written. */
const INTERVAL_MS = 1_000;
/** A checkpoint that is kept outside is for everybody to read, as `log/checkpoint` is. */
const MODE = 0o644;

/**
 * A file outside the data directory with the newest published checkpoint: whoever puts back an old copy of the directory does not put back this.
 * It is written behind the publication and never holds it up; a write that fails is tried again with the next checkpoint.
 */
export class AnchorFile {
  readonly path: string;
  readonly #logger: Logger;
  readonly #intervalMs: number;
  #newest: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isFailing = false;

  constructor(path: string, logger: Logger, intervalMs = INTERVAL_MS) {
    this.path = path;
    this.#logger = logger;
    this.#intervalMs = intervalMs;
  }

  /**
   * What the file holds, null when it is not there yet.
   * Throws: CONFIG_INVALID when it cannot be read, or its directory is not there: what is not mounted must not look like a first start.
   */
  async read(): Promise<Evidence | null> {
    try {
      await fs.access(dirname(this.path));
      const note = await readFileIfAny(this.path);
      return note === null ? null : { source: `the anchor ${this.path}`, note };
    } catch (cause) {
      throw new MeshproofError(
        "CONFIG_INVALID",
        `processors.seal.anchor: expected a file in a directory that is there, got ${this.path}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  /** Takes a published checkpoint. Never waits. */
  write(note: string): void {
    this.#newest = note;
    this.#timer ??= setTimeout(() => this.#flush(), this.#intervalMs).unref();
  }

  /** Writes the last one and stops. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#flush();
    await this.#writing;
  }

  #flush(): void {
    this.#timer = undefined;
    this.#writing = this.#writing.then(async () => {
      const note = this.#newest;
      if (note === null) return;
      this.#newest = null;
      try {
        await replaceFile(this.path, note, MODE);
        if (this.#isFailing) this.#logger.info({ path: this.path }, "the anchor is written again");
        this.#isFailing = false;
      } catch (error) {
        if (!this.#isFailing)
          this.#logger.error(
            { path: this.path, err: error },
            "the anchor cannot be written: until it can, it does not show a rollback of what is sealed now",
          );
        this.#isFailing = true;
      }
    });
  }
}
