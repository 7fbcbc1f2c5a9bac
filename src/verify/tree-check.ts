import { equalBytes, toHex } from "../core/bytes.ts";
import { TreeBuilder } from "../tlog/builder.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { ENTRY_LENGTH, ENTRY_VERSION } from "../tlog/entry.ts";
import { HASH_LENGTH, subtreeHash, writeLeafHash } from "../tlog/merkle.ts";
import { treeRoot } from "../tlog/prove.ts";
import { decodeBundle, TILE_WIDTH, tileHashReader, tileWidth, type Tile } from "../tlog/tiles.ts";
import type { LogReader } from "./log-reader.ts";
import type { ReportBuilder } from "./report.ts";

/** Bundles that are read at the same time. */
const READ_AHEAD = 32;
/** The entry is missing or was changed, but its leaf hash is known. */
export const NO_KIND = 0;
/** Neither the entry nor its leaf hash is known: nothing can be said of the row. */
export const UNKNOWN_LEAF = 0xff;

const NO_LEAVES = Buffer.alloc(0);

/** The leaves of a part of the log, as far as they could be established. */
export interface LeafWindow {
  readonly from: number;
  readonly to: number;
  /** Kind of each entry, or NO_KIND, or UNKNOWN_LEAF. */
  readonly kinds: Uint8Array;
  /** 32 bytes each: the row hash that stands in the entry, or the leaf hash where there is no entry. */
  readonly hashes: Buffer;
}

/** The entries of a bundle. */
interface Entries {
  readonly leaves: Buffer;
  readonly kinds: Uint8Array;
  readonly rowHashes: Buffer;
}

/**
 * Rebuilds the Merkle tree from the entry bundles and compares it with every tile on the way, from the first leaf to the last.
 * Goes on where it stopped when the log has grown.
 */
export class TreeCheck {
  readonly #log: LogReader;
  readonly #report: ReportBuilder;
  readonly #builder: TreeBuilder;
  readonly #wanted: ReadonlySet<number>;
  readonly #roots = new Map<number, Uint8Array>();
  /** Full tiles of levels from 1 on that the builder made since they were last compared. */
  #pending: { readonly tile: Tile; readonly hashes: Buffer }[] = [];
  /** Leaves of the last bundle when it was partial: the bundle that it grows into must begin with them. */
  #edge: Buffer = NO_LEAVES;
  /** No leaf was unknown so far; otherwise there is no root, and no tile above, to compare with. */
  #isWhole = true;

  /** `sizes`: the tree sizes whose roots are wanted from `rootAt`. */
  constructor(log: LogReader, report: ReportBuilder, sizes: readonly number[] = []) {
    this.#log = log;
    this.#report = report;
    this.#wanted = new Set(sizes);
    this.#builder = new TreeBuilder((level, index, hashes) => {
      if (level === 0) return;
      this.#pending.push({
        tile: { level, index, width: TILE_WIDTH },
        hashes: Buffer.from(hashes),
      });
    });
  }

  /** Leaves that were checked. */
  get size(): number {
    return this.#builder.size;
  }

  /** Root of the tree of the first `size` leaves; undefined when it was not asked for, not reached yet, or depends on a leaf that is unknown. */
  rootAt(size: number): Uint8Array | undefined {
    return this.#roots.get(size);
  }

  /** Checks the leaves from `size` to `to` of the tree that `checkpoint` signs. `to` is a multiple of 256, or the checkpoint's size. */
  async advance(to: number, checkpoint: Checkpoint): Promise<LeafWindow> {
    const from = this.size;
    const window: LeafWindow = {
      from,
      to,
      hashes: Buffer.alloc((to - from) * HASH_LENGTH),
      kinds: new Uint8Array(to - from),
    };
    const end = Math.ceil(to / TILE_WIDTH);
    for (let next = Math.floor(from / TILE_WIDTH); next < end; next += READ_AHEAD) {
      const tiles = Array.from({ length: Math.min(READ_AHEAD, end - next) }, (_, i) => ({
        level: 0,
        index: next + i,
        width: tileWidth(checkpoint.size, 0, next + i),
      }));
      const read = await Promise.all(
        tiles.map(async (tile) => ({
          tile,
          bundle: await this.#log.tile({ ...tile, level: "entries" }),
          hashes: await this.#log.tile(tile),
        })),
      );
      for (const { tile, bundle, hashes } of read)
        await this.#checkBundle(window, checkpoint, tile, bundle, hashes);
    }
    const pending = this.#pending;
    this.#pending = [];
    for (const { tile, hashes } of pending) await this.#compareTile(tile, hashes);
    return window;
  }

  /** Compares the tree with the signed root; call it when all leaves of the checkpoint are in. */
  async finish(checkpoint: Checkpoint): Promise<void> {
    for (const { tile, hashes } of this.#builder.partials())
      if (tile.level > 0) await this.#compareTile(tile, Buffer.from(hashes));
    const root = this.#builder.root();
    if (!this.#isWhole || equalBytes(root, checkpoint.root)) return;
    this.#report.add(
      "checkpoint_invalid",
      `the checkpoint of ${checkpoint.size} leaves signs the root ${toHex(checkpoint.root)}, the entries give ${toHex(root)}`,
    );
  }

  async #checkBundle(
    window: LeafWindow,
    checkpoint: Checkpoint,
    tile: Tile,
    bundle: Uint8Array | null,
    bytes: Uint8Array | null,
  ): Promise<void> {
    this.#report.tiles += 2;
    const entries = this.#readEntries(tile, bundle);
    const hashes = this.#readHashes(tile, bytes);
    const found = await this.#establish(checkpoint, tile, entries?.leaves ?? null, hashes);
    if (found === null) this.#isWhole = false;
    const leaves = found ?? Buffer.alloc(tile.width * HASH_LENGTH);
    const start = tile.index * TILE_WIDTH;
    // A bundle that was partial when it was checked last: what is new begins within it.
    const old = this.size - start;
    if (found !== null && !equalBytes(found.subarray(0, old * HASH_LENGTH), this.#edge)) {
      this.#report.add(
        "tile_changed",
        `the first ${old} leaves of tile 0/${tile.index} are others than when the tile was smaller`,
      );
    }
    this.#edge = tile.width === TILE_WIDTH ? NO_LEAVES : leaves;
    for (let i = old; i < tile.width; i++) {
      const at = start + i - window.from;
      const from = i * HASH_LENGTH;
      const kind = found === null ? UNKNOWN_LEAF : kindAt(entries, i, found);
      const hash = kind === NO_KIND || kind === UNKNOWN_LEAF ? leaves : entries!.rowHashes;
      window.kinds[at] = kind;
      hash.copy(window.hashes, at * HASH_LENGTH, from, from + HASH_LENGTH);
      this.#builder.append(leaves, from);
      if (this.#isWhole && this.#wanted.has(this.size))
        this.#roots.set(this.size, this.#builder.root());
    }
  }

  /** The leaves of a bundle from its entries and its tile, the one that leads to the signed root where they differ; null when neither can be used. */
  async #establish(
    checkpoint: Checkpoint,
    tile: Tile,
    leaves: Buffer | null,
    hashes: Buffer | null,
  ): Promise<Buffer | null> {
    // Entries alone are folded into the tree, and so judged by the tiles above and the root.
    if (hashes === null || (leaves !== null && equalBytes(leaves, hashes))) return leaves;
    const tileHolds = await this.#leadsUp(checkpoint, tile, hashes);
    if (!tileHolds)
      this.#report.add(
        "tile_changed",
        `tile 0/${tile.index} does not hash to what stands in the tiles above it`,
      );
    if (leaves === null) return tileHolds ? hashes : null;
    if (!tileHolds && (await this.#leadsUp(checkpoint, tile, leaves))) return leaves;
    for (let at = 0; at < leaves.length; at += HASH_LENGTH) {
      if (leaves.compare(hashes, at, at + HASH_LENGTH, at, at + HASH_LENGTH) === 0) continue;
      this.#report.add(
        "entry_changed",
        `the entry does not hash to its leaf in tile 0/${tile.index}`,
        tile.index * TILE_WIDTH + at / HASH_LENGTH,
      );
    }
    return tileHolds ? hashes : leaves;
  }

  /** Leaf hash and kind of each entry; null when the bundle is missing or is none. */
  #readEntries({ index, width }: Tile, bundle: Uint8Array | null): Entries | null {
    const start = index * TILE_WIDTH;
    if (bundle === null) {
      const leaves = `leaves ${start} to ${start + width - 1}`;
      this.#report.add("tile_missing", `entry bundle ${index} (${leaves}) is missing`);
      return null;
    }
    let entries: Uint8Array[];
    try {
      entries = decodeBundle(bundle, width);
    } catch (error) {
      this.#report.add("entry_changed", `in bundle ${index}: ${(error as Error).message}`, start);
      return null;
    }
    const leaves = Buffer.alloc(width * HASH_LENGTH);
    const rowHashes = Buffer.alloc(width * HASH_LENGTH);
    const kinds = new Uint8Array(width);
    const bytes = Buffer.from(bundle.buffer, bundle.byteOffset, bundle.length);
    let at = 0;
    for (const [i, entry] of entries.entries()) {
      at += 2;
      const end = at + entry.length;
      writeLeafHash(leaves, i * HASH_LENGTH, bytes, at, end);
      if (entry.length === ENTRY_LENGTH && bytes[at] === ENTRY_VERSION) {
        kinds[i] = bytes[at + 1]!;
        bytes.copy(rowHashes, i * HASH_LENGTH, at + 2, end);
      }
      at = end;
    }
    return { leaves, kinds, rowHashes };
  }

  #readHashes({ index, width }: Tile, bytes: Uint8Array | null): Buffer | null {
    const start = index * TILE_WIDTH;
    if (bytes === null) {
      const leaves = `leaves ${start} to ${start + width - 1}`;
      this.#report.add("tile_missing", `tile 0/${index} (${leaves}) is missing`);
      return null;
    }
    if (bytes.length === width * HASH_LENGTH)
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#report.add(
      "tile_changed",
      `tile 0/${index}: expected ${width * HASH_LENGTH} bytes, got ${bytes.length}`,
    );
    return null;
  }

  /** Do these leaves give what stands above them: in the tile of level 1, or for the last, partial tile the signed root? */
  async #leadsUp(checkpoint: Checkpoint, tile: Tile, leaves: Buffer): Promise<boolean> {
    if (tile.width === TILE_WIDTH) {
      const index = Math.floor(tile.index / TILE_WIDTH);
      const above = await this.#log.tile({
        level: 1,
        index,
        width: tileWidth(checkpoint.size, 1, index),
      });
      const at = (tile.index % TILE_WIDTH) * HASH_LENGTH;
      const expected = above?.subarray(at, at + HASH_LENGTH);
      return expected !== undefined && equalBytes(subtreeHash(leaves, 0, TILE_WIDTH), expected);
    }
    const reader = tileHashReader(checkpoint.size, async ({ level, index, width }) =>
      level === 0 && index === tile.index
        ? leaves
        : ((await this.#log.tile({ level, index, width })) ?? Buffer.alloc(0)),
    );
    const root = await treeRoot(checkpoint.size, reader).catch(() => Buffer.alloc(0));
    return equalBytes(root, checkpoint.root);
  }

  async #compareTile({ level, index, width }: Tile, hashes: Buffer): Promise<void> {
    this.#report.tiles++;
    const tile = await this.#log.tile({ level, index, width });
    if (tile === null)
      this.#report.add("tile_missing", `tile ${level}/${index} of ${width} hashes is missing`);
    else if (this.#isWhole && !equalBytes(tile, hashes))
      this.#report.add(
        "tile_changed",
        `tile ${level}/${index} does not hold the hashes of the tiles below it`,
      );
  }
}

/** Kind of entry `i`, where it is the one that its leaf was made from. */
function kindAt(entries: Entries | null, i: number, leaves: Buffer): number {
  if (entries === null) return NO_KIND;
  const from = i * HASH_LENGTH;
  const isSealed =
    entries.leaves === leaves ||
    entries.leaves.compare(leaves, from, from + HASH_LENGTH, from, from + HASH_LENGTH) === 0;
  return isSealed ? entries.kinds[i]! : NO_KIND;
}
