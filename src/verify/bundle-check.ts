import { equalBytes } from "../core/bytes.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { subtreeHash } from "../tlog/hash-into.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { treeRoot } from "../tlog/prove.ts";
import { TILE_WIDTH, tileHashReader, tileWidth, type Tile } from "../tlog/tiles.ts";
import { BundleEntries, type Damage } from "./entries.ts";
import type { LogReader } from "./log-reader.ts";
import type { ReportBuilder } from "./report.ts";

/** Compares entry bundles with the tiles of level 0. */
export class BundleCheck {
  /** What the last bundle holds; nothing that can be read where it was missing. */
  readonly entries = new BundleEntries();
  readonly #log: LogReader;
  readonly #report: ReportBuilder;

  constructor(log: LogReader, report: ReportBuilder) {
    this.#log = log;
    this.#report = report;
  }

  /**
   * The leaf hashes of a bundle, a view into `entries.leaves` where they are those of the entries; null when neither its entries nor its tile can be used.
   * They are valid until the next call. Where the two differ, those count that lead to the signed root.
   */
  async check(
    checkpoint: Checkpoint,
    tile: Tile,
    bundle: Uint8Array | null,
    bytes: Uint8Array | null,
  ): Promise<Buffer | null> {
    const { index, width } = tile;
    const start = index * TILE_WIDTH;
    this.entries.read(bundle ?? new Uint8Array(0), width);
    if (bundle === null) {
      const leaves = `leaves ${start} to ${start + width - 1}`;
      this.#report.add("tile_missing", `entry bundle ${index} (${leaves}) is missing`);
    }
    const leaves = bundle === null ? null : this.entries.leaves.subarray(0, width * HASH_LENGTH);
    return this.#establish(checkpoint, tile, leaves, this.#readHashes(tile, bytes));
  }

  /** The leaves from entries and tile, the one that leads to the signed root where they differ; null when neither can be used. */
  async #establish(
    checkpoint: Checkpoint,
    tile: Tile,
    leaves: Buffer | null,
    hashes: Buffer | null,
  ): Promise<Buffer | null> {
    const damage = leaves === null ? null : this.entries.damage;
    if (hashes === null) {
      if (damage !== null) this.#reportDamage(tile, damage);
      // Entries alone are folded into the tree, and so judged by the tiles above and the root.
      return damage === null ? leaves : null;
    }
    if (damage === null && leaves !== null && equalBytes(leaves, hashes)) return leaves;
    const tileHolds = await this.#leadsUp(checkpoint, tile, hashes);
    if (!tileHolds)
      this.#report.add(
        "tile_changed",
        `tile 0/${tile.index} does not hash to what stands in the tiles above it`,
      );
    if (leaves === null) return tileHolds ? hashes : null;
    if (!tileHolds && damage === null && (await this.#leadsUp(checkpoint, tile, leaves)))
      return leaves;
    if (damage !== null) this.#reportDamage(tile, damage);
    for (let i = 0; i < this.entries.readable; i++) {
      const at = i * HASH_LENGTH;
      const end = at + HASH_LENGTH;
      if (i === damage?.at || leaves.compare(hashes, at, end, at, end) === 0) continue;
      this.#report.add(
        "entry_changed",
        `the entry does not hash to its leaf in tile 0/${tile.index}`,
        tile.index * TILE_WIDTH + i,
      );
    }
    if (tileHolds) return hashes;
    return damage === null ? leaves : null;
  }

  #reportDamage({ index }: Tile, { at, detail }: Damage): void {
    this.#report.add("entry_changed", `in bundle ${index}: ${detail}`, index * TILE_WIDTH + at);
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
    this.#report.add("tile_changed", wrongLength({ level: 0, index, width }, bytes));
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
}

/** What is wrong with a tile that has another length than it should. */
export function wrongLength({ level, index, width }: Tile, bytes: Uint8Array): string {
  return `tile ${level}/${index}: expected ${width * HASH_LENGTH} bytes, got ${bytes.length}`;
}
