import { TreeBuilder } from "../tlog/builder.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { decodeEntry } from "../tlog/entry.ts";
import { equalBytes } from "../core/bytes.ts";
import { HASH_LENGTH, subtreeHash, writeLeafHash } from "../tlog/merkle.ts";
import { treeRoot } from "../tlog/prove.ts";
import { decodeBundle, levelCount, TILE_BYTES, TILE_WIDTH, tileHashReader, tileWidth } from "../tlog/tiles.ts";
import type { LogReader } from "./log-reader.ts";
import type { ReportBuilder } from "./report.ts";

/** Bundles that are read at the same time. */
const READ_AHEAD = 32;
const NO_KIND = 0;

/** The leaves of a part of the log, as far as they could be established. */
export interface LeafWindow {
  readonly from: number;
  readonly to: number;
  /** Leaf hashes that lead to the signed root if the log is whole, 32 bytes each. */
  readonly hashes: Buffer;
  /** Kind of each entry; 0 where its bundle is missing. */
  readonly kinds: Uint8Array;
}

/**
 * Rebuilds the Merkle tree from the entry bundles and compares it with every tile on the way, from the first leaf to the last.
 * What was checked once is not read again when the log has grown.
 */
export class TreeCheck {
  readonly #log: LogReader;
  readonly #report: ReportBuilder;
  readonly #builder: TreeBuilder;
  /** Full tiles of levels from 1 on that the builder made since they were last compared. */
  #pending: { level: number; index: number; hashes: Buffer }[] = [];

  constructor(log: LogReader, report: ReportBuilder) {
    this.#log = log;
    this.#report = report;
    this.#builder = new TreeBuilder((level, index, hashes) => {
      if (level > 0) this.#pending.push({ level, index, hashes: Buffer.from(hashes) });
    });
  }

  /** Leaves that were checked. */
  get size(): number {
    return this.#builder.size;
  }

  /** Checks the leaves from `size` to `to` of the tree that `checkpoint` signs. */
  async advance(to: number, checkpoint: Checkpoint): Promise<LeafWindow> {
    const from = this.#builder.size;
    const window: LeafWindow = { from, to, hashes: Buffer.alloc((to - from) * HASH_LENGTH), kinds: new Uint8Array(to - from) };
    const first = Math.floor(from / TILE_WIDTH);
    const last = Math.ceil(to / TILE_WIDTH);
    for (let next = first; next < last; next += READ_AHEAD) {
      const indexes = Array.from({ length: Math.min(READ_AHEAD, last - next) }, (_, i) => next + i);
      const read = await Promise.all(
        indexes.map(async (index) => {
          const width = tileWidth(checkpoint.size, 0, index);
          const [bundle, tile] = await Promise.all([this.#log.tile({ level: "entries", index, width }), this.#log.tile({ level: 0, index, width })]);
          return { index, width, bundle, tile };
        }),
      );
      for (const { index, width, bundle, tile } of read) await this.#checkBundle(window, checkpoint, index, width, bundle, tile);
    }
    await this.#compareUpperTiles();
    return window;
  }

  /** Compares the tree with the signed root; call it when all leaves of the checkpoint are in. */
  async finish(checkpoint: Checkpoint): Promise<void> {
    for (const { tile, hashes } of this.#builder.partials()) {
      if (tile.level === 0) continue;
      await this.#compareTile(tile.level, tile.index, Buffer.from(hashes));
    }
    const root = this.#builder.root();
    if (!equalBytes(root, checkpoint.root)) {
      this.#report.add(
        "checkpoint_invalid",
        `the checkpoint of ${checkpoint.size} leaves signs the root ${hex(checkpoint.root)}, the entries give ${hex(root)}`,
      );
    }
  }

  /** Root of the tree as it stood with `size` leaves, from the tiles that were checked. */
  rootAt(size: number): Promise<Uint8Array> {
    return treeRoot(
      size,
      tileHashReader(size, async (tile) => (await this.#log.tile(tile)) ?? Buffer.alloc(0)),
    );
  }

  async #checkBundle(window: LeafWindow, checkpoint: Checkpoint, index: number, width: number, bundle: Uint8Array | null, tile: Uint8Array | null): Promise<void> {
    const report = this.#report;
    report.tiles += 2;
    const start = index * TILE_WIDTH;
    const leaves = Buffer.alloc(width * HASH_LENGTH);
    const kinds = new Uint8Array(width);
    let complete = false;
    if (bundle === null) report.add("tile_missing", `entry bundle ${index} (leaves ${start} to ${start + width - 1}) is missing`);
    else complete = this.#readEntries(index, width, bundle, leaves, kinds);
    const wanted = width * HASH_LENGTH;
    const usable = tile !== null && tile.length === wanted ? tile : null;
    if (tile === null) report.add("tile_missing", `tile 0/${index} (leaves ${start} to ${start + width - 1}) is missing`);
    else if (usable === null) report.add("tile_changed", `tile 0/${index}: expected ${wanted} bytes, got ${tile.length}`);
    let trusted = leaves;
    if (usable !== null && !(complete && equalBytes(leaves, usable))) {
      const { tileHolds, leavesHold } = await this.#whichHolds(checkpoint, index, width, leaves, usable);
      if (!leavesHold) trusted = Buffer.from(usable);
      if (complete && !leavesHold) {
        for (let i = 0; i < width; i++) {
          const at = i * HASH_LENGTH;
          if (Buffer.compare(leaves.subarray(at, at + HASH_LENGTH), usable.subarray(at, at + HASH_LENGTH)) !== 0) {
            report.add("entry_changed", `the entry does not hash to its leaf in tile 0/${index}`, start + i);
          }
        }
      }
      if (!tileHolds) report.add("tile_changed", `tile 0/${index} does not hash to what stands above it`);
    }
    // A window may begin within a bundle that was partial when it was checked last.
    for (let i = Math.max(0, this.#builder.size - start); i < width && start + i < window.to; i++) {
      trusted.copy(window.hashes, (start + i - window.from) * HASH_LENGTH, i * HASH_LENGTH, (i + 1) * HASH_LENGTH);
      window.kinds[start + i - window.from] = kinds[i]!;
      this.#builder.append(trusted, i * HASH_LENGTH);
    }
  }

  /** Leaf hashes and kinds of a bundle. False when it is not made of entries, which is said. */
  #readEntries(index: number, width: number, bundle: Uint8Array, leaves: Buffer, kinds: Uint8Array): boolean {
    const start = index * TILE_WIDTH;
    let entries: Uint8Array[];
    try {
      entries = decodeBundle(bundle, width);
    } catch (error) {
      this.#report.add("entry_changed", `entry bundle ${index}: ${(error as Error).message}`, start);
      return false;
    }
    const bytes = Buffer.from(bundle.buffer, bundle.byteOffset, bundle.length);
    for (const [i, entry] of entries.entries()) {
      const at = entry.byteOffset - bundle.byteOffset;
      writeLeafHash(leaves, i * HASH_LENGTH, bytes, at, at + entry.length);
      kinds[i] = kindOf(entry);
    }
    return true;
  }

  /** Of an entry bundle and a tile that contradict each other: which of them leads to the signed root? */
  async #whichHolds(checkpoint: Checkpoint, index: number, width: number, leaves: Buffer, tile: Uint8Array): Promise<{ tileHolds: boolean; leavesHold: boolean }> {
    if (width === TILE_WIDTH && levelCount(checkpoint.size, 1) > index) {
      const above = Math.floor(index / TILE_WIDTH);
      const parent = await this.#log.tile({ level: 1, index: above, width: tileWidth(checkpoint.size, 1, above) });
      const at = (index % TILE_WIDTH) * HASH_LENGTH;
      const expected = parent?.subarray(at, at + HASH_LENGTH) ?? Buffer.alloc(0);
      return {
        tileHolds: tile.length === TILE_BYTES && equalBytes(subtreeHash(tile, 0, TILE_WIDTH), expected),
        leavesHold: equalBytes(subtreeHash(leaves, 0, TILE_WIDTH), expected),
      };
    }
    const tileHolds = equalBytes(await this.rootAt(checkpoint.size).catch(() => Buffer.alloc(0)), checkpoint.root);
    // The last, partial bundle: when its tile does not lead to the root, `finish` tells whether the entries do.
    return { tileHolds, leavesHold: !tileHolds };
  }

  async #compareUpperTiles(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const { level, index, hashes } of pending) await this.#compareTile(level, index, hashes);
  }

  async #compareTile(level: number, index: number, hashes: Buffer): Promise<void> {
    const width = hashes.length / HASH_LENGTH;
    const tile = await this.#log.tile({ level, index, width });
    this.#report.tiles++;
    if (tile === null) this.#report.add("tile_missing", `tile ${level}/${index} of ${width} hashes is missing`);
    else if (!equalBytes(tile, hashes)) this.#report.add("tile_changed", `tile ${level}/${index} does not hold the hashes of the tiles below it`);
  }
}

function kindOf(entry: Uint8Array): number {
  try {
    return decodeEntry(entry).kind;
  } catch {
    return NO_KIND;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

