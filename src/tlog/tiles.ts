import { MeshproofError } from "../core/errors.ts";
import { subtreeHash } from "./hash-into.ts";
import { HASH_LENGTH, type HashReader, MAX_ENTRY_LENGTH } from "./merkle.ts";

/** The layout of C2SP tlog-tiles: which tile holds which hash, and under which path it is served. Arithmetic alone, no I/O. */

/** Hashes in a full tile and entries in a full bundle (C2SP tlog-tiles, "Merkle Tree"). */
export const TILE_WIDTH = 256;
/** Bytes of a full tile. */
export const TILE_BYTES = TILE_WIDTH * HASH_LENGTH;
/** Levels of the binary tree between a tile's hashes and those of the tile above. */
const TILE_HEIGHT = 8;
/** The highest tile level that a path can name. */
const MAX_LEVEL = 63;

/** A tile of hashes. `width` is 256 when the tile is full. */
export interface Tile {
  readonly level: number;
  readonly index: number;
  readonly width: number;
}

/** A path under the log's prefix: a tile of hashes, or a bundle of entries. */
export interface TilePath {
  readonly level: number | "entries";
  readonly index: number;
  readonly width: number;
}

/**
 * Path of a tile or an entry bundle below the log's prefix, without a slash in front.
 * `{ level: 0, index: 1234067, width: 256 }` is `tile/0/x001/x234/067`, of width 7 `tile/0/x001/x234/067.p/7`.
 */
export function formatTilePath(path: TilePath): string {
  let name = String(path.index % 1000).padStart(3, "0");
  for (let rest = Math.floor(path.index / 1000); rest > 0; rest = Math.floor(rest / 1000))
    name = `x${String(rest % 1000).padStart(3, "0")}/${name}`;
  return `tile/${path.level}/${name}${path.width === TILE_WIDTH ? "" : `.p/${path.width}`}`;
}

const TILE_PATH =
  /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** What `path` names, or null when it is not exactly what `formatTilePath` writes: other spellings are not found. */
export function parseTilePath(path: string): TilePath | null {
  const match = TILE_PATH.exec(path);
  if (match === null) return null;
  const [, level, name, width] = match as unknown as [string, string, string, string | undefined];
  const parsed: TilePath = {
    level: level === "entries" ? level : Number(level),
    index: Number(name.replaceAll(/[x/]/g, "")),
    width: width === undefined ? TILE_WIDTH : Number(width),
  };
  if (parsed.level !== "entries" && parsed.level > MAX_LEVEL) return null;
  if (!Number.isSafeInteger(parsed.index) || (width !== undefined && parsed.width >= TILE_WIDTH))
    return null;
  return formatTilePath(parsed) === path ? parsed : null;
}

/** How many hashes stand at tile level `level` of a tree of `size` leaves. */
export function levelCount(size: number, level: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/**
 * Width of tile `index` at tile level `level` in a tree of `size` leaves: 256 when full, 0 when there is none.
 * Entry bundles have the widths of level 0.
 */
export function tileWidth(size: number, level: number, index: number): number {
  return Math.max(0, Math.min(TILE_WIDTH, levelCount(size, level) - index * TILE_WIDTH));
}

/** The partial tiles of a tree of `size` leaves, lowest level first. Empty ones do not exist. */
export function partialTiles(size: number): Tile[] {
  const tiles: Tile[] = [];
  for (let level = 0, count = size; count > 0; level++, count = Math.floor(count / TILE_WIDTH)) {
    if (count % TILE_WIDTH !== 0)
      tiles.push({ level, index: Math.floor(count / TILE_WIDTH), width: count % TILE_WIDTH });
  }
  return tiles;
}

/** Tiles and entry bundles that are full in a tree of `size` leaves and were not in one of `oldSize`. */
export function* tilesFilled(oldSize: number, size: number): Generator<TilePath> {
  for (let level = 0; levelCount(size, level + 1) > 0; level++) {
    for (let index = levelCount(oldSize, level + 1); index < levelCount(size, level + 1); index++) {
      yield { level, index, width: TILE_WIDTH };
      if (level === 0) yield { level: "entries", index, width: TILE_WIDTH };
    }
  }
}

/**
 * A reader of hashes for the tree of `size` leaves over `readTile`, which is called once for each tile that is needed.
 * The hashes are as good as the tiles: check what is computed from them against a signed root.
 */
export function tileHashReader(
  size: number,
  readTile: (tile: Tile) => Promise<Uint8Array>,
): HashReader {
  return {
    async readHashes(subtrees) {
      const tiles = new Map<string, Promise<Uint8Array>>();
      return Promise.all(
        subtrees.map(async (subtree) => {
          const level = Math.floor(subtree.level / TILE_HEIGHT);
          const count = 2 ** (subtree.level % TILE_HEIGHT);
          const first = subtree.index * count;
          const index = Math.floor(first / TILE_WIDTH);
          const width = tileWidth(size, level, index);
          const at = first - index * TILE_WIDTH;
          if (at + count > width)
            throw new MeshproofError(
              "PROOF_RANGE",
              `the tree of ${size} leaves has no complete subtree ${subtree.index} of 2^${subtree.level} leaves`,
            );
          const key = `${level}/${index}`;
          let pending = tiles.get(key);
          if (pending === undefined) tiles.set(key, (pending = readTile({ level, index, width })));
          const bytes = await pending;
          if (bytes.length !== width * HASH_LENGTH)
            throw new MeshproofError(
              "PROOF_INVALID",
              `expected ${width * HASH_LENGTH} bytes in ${formatTilePath({ level, index, width })}, got ${bytes.length}`,
            );
          return subtreeHash(bytes, at * HASH_LENGTH, count);
        }),
      );
    },
  };
}

/** An entry bundle: each entry behind its length as a big-endian uint16 (C2SP tlog-tiles, "Log entries"). */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const out = Buffer.alloc(entries.reduce((bytes, entry) => bytes + 2 + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_LENGTH)
      throw new MeshproofError(
        "PROOF_RANGE",
        `expected an entry of at most ${MAX_ENTRY_LENGTH} bytes, got ${entry.length}`,
      );
    at = out.writeUInt16BE(entry.length, at);
    out.set(entry, at);
    at += entry.length;
  }
  return out;
}

/**
 * The entries of a bundle that holds `width` of them; views into `bytes`.
 * Throws: LOG_INCONSISTENT when there are fewer, more, or part of one.
 */
export function decodeBundle(bytes: Uint8Array, width: number): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const start = at + 2;
    if (start > bytes.length)
      throw new MeshproofError(
        "LOG_INCONSISTENT",
        `entry bundle: cut within the length of entry ${entries.length}`,
      );
    at = start + bytes[at]! * 0x100 + bytes[at + 1]!;
    if (at > bytes.length)
      throw new MeshproofError(
        "LOG_INCONSISTENT",
        `entry bundle: cut within entry ${entries.length}`,
      );
    entries.push(bytes.subarray(start, at));
  }
  if (entries.length !== width)
    throw new MeshproofError(
      "LOG_INCONSISTENT",
      `entry bundle: expected ${width} entries, got ${entries.length}`,
    );
  return entries;
}

/**
 * The first `width` entries of a bundle that holds at least as many, as a bundle: what a partial bundle is of the full one.
 * Throws: LOG_INCONSISTENT when there are fewer.
 */
export function bundlePrefix(bytes: Uint8Array, width: number): Uint8Array {
  let at = 0;
  for (let i = 0; i < width; i++) {
    if (at + 2 > bytes.length)
      throw new MeshproofError(
        "LOG_INCONSISTENT",
        `entry bundle: expected at least ${width} entries, got ${i}`,
      );
    at += 2 + bytes[at]! * 0x100 + bytes[at + 1]!;
  }
  if (at > bytes.length)
    throw new MeshproofError("LOG_INCONSISTENT", `entry bundle: cut within entry ${width - 1}`);
  return bytes.subarray(0, at);
}
