import fs from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { MeshproofError } from "../core/errors.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH, type TilePath, bundlePrefix, formatTilePath } from "../tlog/tiles.ts";
import { makeDirectory, readFileIfAny, replaceFile } from "./durable.ts";
import { type SealState, formatState, readState, statePath } from "./state.ts";
import type { TileAnswer, TileRequest } from "./tile-worker.ts";

/** Tiles and bundles that are written together, in one run of bytes. */
export interface TileFiles {
  readonly paths: readonly string[];
  /** Where each file ends in `bytes`; it begins where the one before it ends. There may be more bytes behind the last. */
  readonly ends: readonly number[];
  readonly bytes: Uint8Array;
}

/** Where a log is kept. Tests put a layer over it that stops or loses what is not durable; the one real one is below. */
export interface LogStore {
  /** The tile or bundle, cut from the full one when the partial one is gone; null when there is neither. */
  read(path: TilePath): Promise<Uint8Array | null>;
  /** When it resolves the files can be read, but a power failure may lose them. Writing a file again is allowed. */
  write(files: TileFiles): Promise<void>;
  /** When it resolves, every file whose write had resolved before the call is durable. */
  sync(): Promise<void>;
  /** Deletes all partial forms of these tiles and bundles. */
  removePartials(paths: readonly TilePath[]): Promise<void>;
  readState(): Promise<SealState | null>;
  /** The commit point: atomic, and durable when it resolves. */
  writeState(state: SealState): Promise<void>;
  /** The checkpoint that everyone can read. */
  readPublished(): Promise<string | null>;
  /** Atomic, and durable when it resolves. */
  publish(note: string): Promise<void>;
  close(): Promise<void>;
}

/** Memory that a TileBuffer keeps for later, a checkpoint of 10,000 records taking 0.7 MB. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;

/**
 * Collects tiles and bundles until they are written. Its memory is shared with the thread that writes, so that nothing is
 * copied for it, and used again once it is written.
 */
export class TileBuffer {
  #paths: string[] = [];
  #ends: number[] = [];
  #bytes: Buffer = Buffer.from(new SharedArrayBuffer(0));
  #length = 0;
  #spare: Buffer | null = null;

  get length(): number {
    return this.#length;
  }

  /** Adds a file; `bytes` is copied. */
  add(path: TilePath, bytes: Uint8Array): void {
    const end = this.#length + bytes.length;
    if (end > this.#bytes.length) {
      const grown = Buffer.from(new SharedArrayBuffer(Math.max(end, 2 * this.#bytes.length)));
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = end;
    this.#paths.push(formatTilePath(path));
    this.#ends.push(end);
  }

  /** What was added since the last call. */
  take(): TileFiles {
    const files = { paths: this.#paths, ends: this.#ends, bytes: this.#bytes };
    this.#paths = [];
    this.#ends = [];
    this.#length = 0;
    this.#bytes = this.#spare ?? Buffer.from(new SharedArrayBuffer(0));
    this.#spare = null;
    return files;
  }

  /** Gives back what `take` returned: it is written, nobody reads it any more. */
  recycle(files: TileFiles): void {
    const { buffer } = files.bytes;
    if (buffer.byteLength <= MAX_KEPT_BYTES) this.#spare = Buffer.from(buffer);
  }
}

/** The log in files: `<data>/log/` as it is served, `<data>/state/checkpoint.json` the commit record. */
export class FileLogStore implements LogStore {
  readonly #log: string;
  readonly #directory: string;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  #lastId = 0;
  #closed = false;

  private constructor(directory: string) {
    this.#log = join(directory, "log");
    this.#directory = directory;
    // The file is tile-worker.ts in a clone and tile-worker.js in the package.
    this.#worker = new Worker(
      new URL(
        import.meta.url.endsWith(".ts") ? "./tile-worker.ts" : "./tile-worker.js",
        import.meta.url,
      ),
      { name: "tiles", workerData: this.#log },
    );
    this.#worker.unref();
    this.#worker.on("message", (answer: TileAnswer) => this.#answer(answer));
    this.#worker.on("error", (error) => this.#end(error));
    this.#worker.on("exit", () =>
      this.#end(new MeshproofError("LOG_FAILED", "the thread that writes tiles has ended")),
    );
  }

  /** Opens `<directory>/log` and `<directory>/state`, making them durably when they are not there. */
  static async open(directory: string): Promise<FileLogStore> {
    await makeDirectory(join(directory, "log"), 0o755);
    await makeDirectory(join(directory, "state"), 0o700);
    return new FileLogStore(directory);
  }

  async read(path: TilePath): Promise<Uint8Array | null> {
    const exact = await readIfAny(join(this.#log, formatTilePath(path)));
    if (exact !== null || path.width === TILE_WIDTH) return exact;
    const full = await readIfAny(join(this.#log, formatTilePath({ ...path, width: TILE_WIDTH })));
    if (full === null) return null;
    return path.level === "entries"
      ? bundlePrefix(full, path.width)
      : full.subarray(0, path.width * HASH_LENGTH);
  }

  write(files: TileFiles): Promise<void> {
    return this.#ask({ id: ++this.#lastId, operation: "write", ...files });
  }

  sync(): Promise<void> {
    return this.#ask({ id: ++this.#lastId, operation: "sync" });
  }

  removePartials(paths: readonly TilePath[]): Promise<void> {
    return this.#ask({
      id: ++this.#lastId,
      operation: "remove",
      directories: paths.map((path) => `${formatTilePath({ ...path, width: TILE_WIDTH })}.p`),
    });
  }

  readState(): Promise<SealState | null> {
    return readState(this.#directory);
  }

  writeState(state: SealState): Promise<void> {
    return replaceFile(statePath(this.#directory), formatState(state), 0o600);
  }

  readPublished(): Promise<string | null> {
    return readFileIfAny(join(this.#log, "checkpoint"));
  }

  publish(note: string): Promise<void> {
    return replaceFile(join(this.#log, "checkpoint"), note, 0o644);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker.terminate();
  }

  #ask(request: TileRequest): Promise<void> {
    if (this.#closed)
      return Promise.reject(
        new MeshproofError("LOG_FAILED", "the thread that writes tiles has ended"),
      );
    return new Promise((resolve, reject) => {
      // The thread keeps the process alive only while someone waits for it.
      this.#worker.ref();
      this.#waiting.set(request.id, { resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  #answer(answer: TileAnswer): void {
    const waiting = this.#waiting.get(answer.id)!;
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (answer.error === undefined) waiting.resolve();
    else
      waiting.reject(
        Object.assign(new Error(answer.error.message), {
          code: answer.error.code,
          syscall: answer.error.syscall,
        }),
      );
  }

  #end(error: Error): void {
    this.#closed = true;
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

async function readIfAny(path: string): Promise<Uint8Array | null> {
  try {
    return await fs.readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
