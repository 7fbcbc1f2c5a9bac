import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { bundlePrefix, formatTilePath, TILE_WIDTH, type TilePath } from "../tlog/tiles.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";

/** The longest file of a log of ours is a bundle of 256 entries, 9,216 bytes. What stands behind this is not read: such a file is no tile. */
const MAX_TILE_BYTES = 16 * 1024;
/** A checkpoint has room for the signatures of some two hundred witnesses, ML-DSA-44 ones too. */
const MAX_CHECKPOINT_BYTES = 1024 * 1024;
/** Reading blocks; so often the event loop has its turn, where the store's answers come in. */
const READS_PER_TURN = 16;

/** Where the verifier gets the log from: C2SP tlog-tiles, wherever they lie. */
export interface LogReader {
  /** The newest published checkpoint, a signed note; null when there is none. */
  checkpoint(): Promise<string | null>;
  /** The bytes of a tile or entry bundle; null when it is missing. A partial one may be given as the beginning of the full one. */
  tile(path: TilePath): Promise<Uint8Array | null>;
}

/** The log in a directory, laid out as it is served. */
export class DirectoryLogReader implements LogReader {
  readonly #directory: string;
  #reads = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async checkpoint(): Promise<string | null> {
    const bytes = readOrNull(join(this.#directory, "checkpoint"), MAX_CHECKPOINT_BYTES);
    return bytes === null ? null : bytes.toString("utf8");
  }

  async tile(path: TilePath): Promise<Uint8Array | null> {
    if (++this.#reads % READS_PER_TURN === 0) await setImmediate();
    const exact = readOrNull(join(this.#directory, formatTilePath(path)), MAX_TILE_BYTES);
    if (exact !== null || path.width === TILE_WIDTH) return exact;
    // The tile may have filled up, and its partial form been deleted, since the checkpoint was read.
    const full = readOrNull(
      join(this.#directory, formatTilePath({ ...path, width: TILE_WIDTH })),
      MAX_TILE_BYTES,
    );
    if (full === null) return null;
    if (path.level !== "entries") return full.subarray(0, path.width * HASH_LENGTH);
    try {
      return bundlePrefix(full, path.width);
    } catch {
      return full; // it is no bundle of so many entries: that is for the verifier to say
    }
  }
}

/**
 * The first `maxBytes` of a file; null when there is none.
 * It blocks: 15 µs of CPU for a file in the page cache, where callbacks take 90 (measured), and there are two files for each 256 records.
 */
function readOrNull(path: string, maxBytes: number): Buffer | null {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  }
  try {
    const bytes = Buffer.allocUnsafe(maxBytes);
    return bytes.subarray(0, readSync(fd, bytes, 0, maxBytes, 0));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EISDIR") return null;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Tiles that are kept by `TileCache`: 4 MB. */
const CACHED_TILES = 512;

/** A log whose tiles are read once: proofs for one checkpoint after the other need the same ones again and again. */
export class TileCache {
  readonly #log: LogReader;
  readonly #tiles = new Map<string, Promise<Uint8Array | null>>();

  constructor(log: LogReader) {
    this.#log = log;
  }

  tile(path: TilePath): Promise<Uint8Array | null> {
    const key = formatTilePath(path);
    let found = this.#tiles.get(key);
    if (found === undefined) {
      if (this.#tiles.size >= CACHED_TILES) this.#tiles.clear();
      this.#tiles.set(key, (found = this.#log.tile(path)));
    }
    return found;
  }
}
