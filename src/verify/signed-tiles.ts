import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { subtreeHash } from "../tlog/hash-into.ts";
import { emptyRoot, HASH_LENGTH, type HashReader } from "../tlog/merkle.ts";
import { checkConsistency, proveConsistency, treeRoot } from "../tlog/prove.ts";
import { partialTiles, TILE_WIDTH, type Tile, tileHashReader, tileWidth } from "../tlog/tiles.ts";
import { type LogReader, TileCache } from "./log-reader.ts";
import type { ReportBuilder } from "./report.ts";

/** The tiles of a log from the signed root down: which of them it covers as they stand. */
export class SignedTiles {
  readonly #checkpoint: Checkpoint;
  readonly #tiles: TileCache;
  readonly #hashes: HashReader;
  #edge: Promise<boolean> | undefined;

  constructor(log: LogReader, checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint;
    this.#tiles = new TileCache(log);
    this.#hashes = tileHashReader(
      checkpoint.size,
      async (tile) => (await this.#tiles.tile(tile)) ?? new Uint8Array(0),
    );
  }

  /** Do the partial tiles give the signed root? They are what it is computed from, so it covers all of them or none. */
  edgeHolds(): Promise<boolean> {
    return (this.#edge ??= holds(async () => {
      const { size, root } = this.#checkpoint;
      return equalBytes(await treeRoot(size, this.#hashes), root);
    }));
  }

  /** Does this tile lead to the signed root? */
  async holds(tile: Tile): Promise<boolean> {
    const bytes = await this.#tiles.tile(tile);
    if (bytes === null || bytes.length !== tile.width * HASH_LENGTH) return false;
    if (tile.width < TILE_WIDTH) return this.edgeHolds();
    const level = tile.level + 1;
    const index = Math.floor(tile.index / TILE_WIDTH);
    const above = { level, index, width: tileWidth(this.#checkpoint.size, level, index) };
    const hashes = await this.#tiles.tile(above);
    const at = (tile.index % TILE_WIDTH) * HASH_LENGTH;
    const expected = hashes?.subarray(at, at + HASH_LENGTH);
    return (
      expected !== undefined &&
      equalBytes(subtreeHash(bytes, 0, TILE_WIDTH), expected) &&
      (await this.holds(above))
    );
  }

  /** Do the tiles prove that the signed tree begins with the tree of `size` leaves that has this root? */
  async continues(size: number, root: Uint8Array): Promise<boolean> {
    return holds(async () => {
      const { size: newSize, root: newRoot } = this.#checkpoint;
      if (size === 0) return equalBytes(root, emptyRoot());
      const proof = await proveConsistency(size, newSize, this.#hashes);
      checkConsistency(proof, size, root, newSize, newRoot);
      return true;
    });
  }

  /** Those of `tiles` that do not lead to the signed root. */
  async changed(tiles: Iterable<Tile>): Promise<Tile[]> {
    const changed: Tile[] = [];
    for (const tile of tiles) if (!(await this.holds(tile))) changed.push(tile);
    return changed;
  }

  /** The tiles that a proof about the first `size` leaves is made of: from each level those in which that tree ends. */
  edgeTiles(size: number): Tile[] {
    return partialTiles(size).map(({ level, index }) => ({
      level,
      index,
      width: tileWidth(this.#checkpoint.size, level, index),
    }));
  }
}

/** What `act` says; false where tiles do not even allow the question. */
async function holds(act: () => Promise<boolean>): Promise<boolean> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof MeshproofError && error.code === "PROOF_INVALID") return false;
    throw error;
  }
}

/** Reports tiles that do not lead to the signed root. */
export function reportUnsigned(report: ReportBuilder, tiles: readonly Tile[]): void {
  for (const { level, index } of tiles)
    report.add("tile_changed", `tile ${level}/${index} does not lead to the signed root`);
}
