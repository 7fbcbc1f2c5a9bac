import { HASH_LENGTH, emptyRoot, nodeHash, writeNodeHash } from "./merkle.ts";
import { TILE_BYTES, type Tile, levelCount, partialTiles } from "./tiles.ts";

/** Levels of the binary tree that one tile spans: 2^8 hashes. */
const TILE_HEIGHT = 8;

/** The right edge within one tile level. */
interface EdgeLevel {
  /** Hashes of the tile that is being filled. */
  readonly tile: Buffer;
  /** How many of them there are: 0 to 255. */
  width: number;
  /** Index of that tile in its level. */
  index: number;
  /** Slot k holds the complete subtree over 2^k of the tile's hashes, for each one bit k of `width` (slot 0 stands in the tile). */
  readonly subtrees: Buffer;
}

/**
 * A tree that grows by leaf hashes and hands out its tiles as they fill up. It keeps the right edge alone:
 * one unfinished tile and eight hashes for each tile level, about 8.5 kB a level.
 */
export class TreeBuilder {
  readonly #levels: EdgeLevel[] = [];
  readonly #carry = Buffer.alloc(HASH_LENGTH);
  readonly #onTile: (level: number, index: number, hashes: Buffer) => void;
  #size = 0;

  /** `onTile` is called with each tile that became full; `hashes` is overwritten after it returns. */
  constructor(onTile: (level: number, index: number, hashes: Buffer) => void) {
    this.#onTile = onTile;
  }

  /**
   * The builder as it stood at `size`, from the partial tiles of that size.
   * Cost:   one call of `readTile` a tile level, at most 255 hashes computed for each.
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
      const hashes = Buffer.from(contents[at]!);
      for (let i = 0; i < width; i++) builder.#push(level, hashes, i * HASH_LENGTH);
    });
    builder.#size = size;
    return builder;
  }

  /** Leaves so far. */
  get size(): number {
    return this.#size;
  }

  /** Adds the leaf hash that stands in `hashes` at `at`. Cost: two hashes on average, one of them the caller's leaf hash. */
  append(hashes: Buffer, at: number): void {
    this.#push(0, hashes, at);
    this.#size++;
  }

  /** Root hash of the tree as it stands. Cost: at most log2(size) hashes. */
  root(): Uint8Array {
    let computed: Uint8Array | null = null;
    for (const edge of this.#levels) {
      for (let bit = 0; bit < TILE_HEIGHT; bit++) {
        if (((edge.width >> bit) & 1) === 0) continue;
        const left =
          bit === 0
            ? edge.tile.subarray((edge.width - 1) * HASH_LENGTH, edge.width * HASH_LENGTH)
            : edge.subtrees.subarray(bit * HASH_LENGTH, (bit + 1) * HASH_LENGTH);
        computed = computed === null ? left : nodeHash(left, computed);
      }
    }
    return computed === null ? emptyRoot() : new Uint8Array(computed);
  }

  /** The partial tiles of the tree as it stands; `hashes` is valid until the next append. */
  partials(): { tile: Tile; hashes: Buffer }[] {
    return partialTiles(this.#size).map((tile) => ({
      tile,
      hashes: this.#levels[tile.level]!.tile.subarray(0, tile.width * HASH_LENGTH),
    }));
  }

  #edge(level: number): EdgeLevel {
    return (this.#levels[level] ??= {
      tile: Buffer.alloc(TILE_BYTES),
      width: 0,
      index: 0,
      subtrees: Buffer.alloc(TILE_HEIGHT * HASH_LENGTH),
    });
  }

  /** Adds a hash to a tile level: a binary counter whose carry out of eight bits is the next level's hash. */
  #push(level: number, hashes: Buffer, at: number): void {
    const edge = this.#edge(level);
    const { tile, subtrees, width } = edge;
    hashes.copy(tile, width * HASH_LENGTH, at, at + HASH_LENGTH);
    edge.width = width + 1;
    if ((width & 1) === 0) return;
    const carry = this.#carry;
    writeNodeHash(carry, 0, tile, (width - 1) * HASH_LENGTH, tile, width * HASH_LENGTH);
    let bit = 1;
    for (; ((width >> bit) & 1) === 1; bit++)
      writeNodeHash(carry, 0, subtrees, bit * HASH_LENGTH, carry, 0);
    if (bit < TILE_HEIGHT) {
      carry.copy(subtrees, bit * HASH_LENGTH);
      return;
    }
    this.#onTile(level, edge.index, tile);
    edge.width = 0;
    edge.index++;
    this.#push(level + 1, carry, 0);
  }
}
