import { strict as assert } from "node:assert";
import { HASH_LENGTH, emptyRoot, nodeHash } from "./merkle.ts";
import { subtrees, tileRoot } from "./tile-hasher.ts";
import { TILE_BYTES, TILE_WIDTH, type Tile, levelCount, partialTiles } from "./tiles.ts";

/** The right edge within one tile level. */
interface EdgeLevel {
  /** Hashes of the tile that is being filled. */
  readonly tile: Buffer;
  /** How many of them there are: 0 to 255. */
  width: number;
  /** Index of that tile in its level. */
  index: number;
}

/**
 * A tree that grows by leaf hashes and hands out its tiles as they fill up. It keeps the right edge alone: one unfinished
 * tile for each tile level, 8 kB. Nodes within a tile are hashed when it is full, all at once, and when a root is asked for.
 */
export class TreeBuilder {
  readonly #levels: EdgeLevel[] = [];
  readonly #onTile: (level: number, index: number, hashes: Buffer) => void;
  #size = 0;

  /** `onTile` is called with each tile that became full; `hashes` is overwritten after it returns. */
  constructor(onTile: (level: number, index: number, hashes: Buffer) => void) {
    this.#onTile = onTile;
  }

  /**
   * The builder as it stood at `size`, from the partial tiles of that size.
   * Cost:   one call of `readTile` a tile level.
   * Rejects: with whatever `readTile` rejects with. Compare `root()` with a signed one: it depends on every hash that was read.
   */
  static async load(
    size: number,
    readTile: (tile: Tile) => Promise<Uint8Array>,
    onTile: (level: number, index: number, hashes: Buffer) => void,
  ): Promise<TreeBuilder> {
    const builder = new TreeBuilder(onTile);
    for (let level = 0; levelCount(size, level) > 0; level++)
      builder.#edge(level).index = levelCount(size, level + 1);
    const tiles = partialTiles(size);
    const contents = await Promise.all(tiles.map(readTile));
    tiles.forEach(({ level, width }, at) => {
      builder.#push(level, contents[at]!.subarray(0, width * HASH_LENGTH));
    });
    builder.#size = size;
    return builder;
  }

  /** Leaves so far. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds the leaf hashes that stand in `hashes` from `start` to `end`, one unless said otherwise; not more than the unfinished tile has room for.
   * Cost: one hash a leaf, 255 at a time.
   */
  append(hashes: Uint8Array, start: number, end: number = start + HASH_LENGTH): void {
    this.#push(0, hashes.subarray(start, end));
    this.#size += (end - start) / HASH_LENGTH;
  }

  /** Root hash of the tree as it stands. Cost: at most 255 hashes a tile level. */
  root(): Uint8Array {
    let root: Uint8Array | null = null;
    for (const { tile, width } of this.#levels) {
      for (const left of subtrees(tile.subarray(0, width * HASH_LENGTH)).reverse())
        root = root === null ? left.slice() : nodeHash(left, root);
    }
    return root === null ? emptyRoot() : new Uint8Array(root);
  }

  /** The partial tiles of the tree as it stands; `hashes` is valid until the next append. */
  partials(): { tile: Tile; hashes: Buffer }[] {
    return partialTiles(this.#size).map((tile) => ({
      tile,
      hashes: this.#levels[tile.level]!.tile.subarray(0, tile.width * HASH_LENGTH),
    }));
  }

  #edge(level: number): EdgeLevel {
    return (this.#levels[level] ??= { tile: Buffer.alloc(TILE_BYTES), width: 0, index: 0 });
  }

  /** Adds hashes to a tile level; the hash over a tile that is full is one of the next level. */
  #push(level: number, hashes: Uint8Array): void {
    const edge = this.#edge(level);
    const { tile, width } = edge;
    tile.set(hashes, width * HASH_LENGTH);
    edge.width = width + hashes.length / HASH_LENGTH;
    assert(edge.width <= TILE_WIDTH, "no more hashes than the tile has room for");
    if (edge.width < TILE_WIDTH) return;
    this.#onTile(level, edge.index, tile);
    edge.width = 0;
    edge.index++;
    this.#push(level + 1, tileRoot(tile));
  }
}
