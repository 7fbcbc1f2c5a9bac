import { equalBytes } from "../core/bytes.ts";
import { TreeBuilder } from "../tlog/builder.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH, tileWidth, type Tile } from "../tlog/tiles.ts";
import { BundleCheck, wrongLength } from "./bundle-check.ts";
import { NO_KIND } from "./entries.ts";
import type { LogReader } from "./log-reader.ts";
import type { ReportBuilder } from "./report.ts";
import { reportUnsigned, SignedTiles } from "./signed-tiles.ts";

/** Bundles that are read at the same time. */
const READ_AHEAD = 32;
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

/**
 * What the leaves are worth: `signed`: they lead to the signed root; `changed`: some do not, and are reported; `other`: they lead to another root,
 * and so do the tiles; `unknown`: some could not be read.
 */
export type TreeVerdict = "signed" | "changed" | "other" | "unknown";

/** A tile that is not what stands below it: from this hash on. */
interface Mismatch {
  readonly tile: Tile;
  readonly position: number;
}

/**
 * Rebuilds the Merkle tree from the entry bundles and compares it with every tile on the way, from a first leaf to a last.
 * Goes on where it stopped when the log has grown.
 */
export class TreeCheck {
  readonly #log: LogReader;
  readonly #report: ReportBuilder;
  readonly #builder: TreeBuilder;
  readonly #wanted: ReadonlySet<number>;
  readonly #roots = new Map<number, Uint8Array>();
  readonly #bundles: BundleCheck;
  /** Full tiles of levels from 1 on that the builder made since they were last compared. */
  readonly #made: { readonly tile: Tile; readonly hashes: Buffer }[];
  #mismatches: Mismatch[] = [];
  /** Leaves of the last bundle when it was partial: the bundle that it grows into must begin with them. */
  #edge: Buffer = NO_LEAVES;
  readonly #start: number;
  /** No leaf was unknown so far; otherwise there is no root, and no tile above, to compare with. */
  #isWhole: boolean;

  private constructor(
    log: LogReader,
    report: ReportBuilder,
    wanted: ReadonlySet<number>,
    builder: TreeBuilder,
    made: { readonly tile: Tile; readonly hashes: Buffer }[],
    isWhole: boolean,
  ) {
    this.#log = log;
    this.#report = report;
    this.#bundles = new BundleCheck(log, report);
    this.#wanted = wanted;
    this.#builder = builder;
    this.#made = made;
    this.#start = builder.size;
    this.#isWhole = isWhole;
  }

  /**
   * A check that begins at leaf `start`, a multiple of 256; what lies before is taken from the tiles of the tree of `size` leaves.
   * `sizes`: the tree sizes whose roots are wanted from `rootAt`.
   */
  static async open(
    log: LogReader,
    report: ReportBuilder,
    { start, size, sizes }: { start: number; size: number; sizes: Iterable<number> },
  ): Promise<TreeCheck> {
    const made: { readonly tile: Tile; readonly hashes: Buffer }[] = [];
    let isWhole = true;
    const readTile = async ({ level, index, width }: Tile): Promise<Uint8Array> => {
      const path = { level, index, width: tileWidth(size, level, index) };
      const bytes = await log.tile(path);
      report.tiles++;
      if (bytes?.length === path.width * HASH_LENGTH) return bytes.subarray(0, width * HASH_LENGTH);
      isWhole = false;
      if (bytes === null) report.add("tile_missing", missing(path));
      else report.add("tile_changed", wrongLength(path, bytes));
      return new Uint8Array(width * HASH_LENGTH);
    };
    const builder = await TreeBuilder.load(start, readTile, (level, index, hashes) => {
      if (level === 0) return;
      made.push({ tile: { level, index, width: TILE_WIDTH }, hashes: Buffer.from(hashes) });
    });
    return new TreeCheck(log, report, new Set(sizes), builder, made, isWhole);
  }

  /** The leaf after the last one that was checked. */
  get size(): number {
    return this.#builder.size;
  }

  /** Root of the tree of the first `size` leaves; undefined when it was not asked for, was not reached, or depends on a leaf that is unknown. */
  rootAt(size: number): Uint8Array | undefined {
    return this.#roots.get(size);
  }

  /** Checks the leaves from `size` to `to` of the tree that `checkpoint` signs. `to` is a multiple of 256, or the checkpoint's size. */
  async advance(to: number, checkpoint: Checkpoint): Promise<LeafWindow> {
    const from = this.size;
    const window: LeafWindow = {
      from,
      to,
      hashes: Buffer.allocUnsafeSlow((to - from) * HASH_LENGTH),
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
    for (const { tile, hashes } of this.#made.splice(0))
      await this.#compareTile(checkpoint, tile, hashes);
    return window;
  }

  /** Compares the tree with the signed root; call it when all leaves that are to be checked are in. */
  async finish(checkpoint: Checkpoint): Promise<TreeVerdict> {
    const isAtEnd = this.size === checkpoint.size;
    for (const { tile, hashes } of this.#builder.partials())
      if (tile.level > 0) await this.#compareTile(checkpoint, tile, Buffer.from(hashes));
    if (!this.#isWhole) return "unknown";
    const root = this.#builder.root();
    this.#roots.set(this.size, root);
    const signed = new SignedTiles(this.#log, checkpoint);
    const holds = isAtEnd
      ? equalBytes(root, checkpoint.root)
      : await signed.continues(this.size, root);
    const found = await this.#judgeMismatches(holds ? null : signed);
    if (holds) return "signed";
    if (!(await signed.edgeHolds())) return "other";
    // The tiles to the left of the first leaf are part of the tree, and nothing below them was read.
    const left = await signed.changed(signed.edgeTiles(this.#start));
    reportUnsigned(this.#report, left);
    return found || left.length > 0 ? "changed" : "other";
  }

  /** Reports the tiles that are not what stands below them. `signed`: where the leaves do not lead to the signed root, what does. */
  async #judgeMismatches(signed: SignedTiles | null): Promise<boolean> {
    const ranges: { readonly from: number; readonly to: number }[] = [];
    const mismatches = this.#mismatches.toSorted((a, b) => a.tile.level - b.tile.level);
    this.#mismatches = [];
    for (const { tile, position } of mismatches) {
      const span = TILE_WIDTH ** tile.level;
      const from = (tile.index * TILE_WIDTH + position) * span;
      const to = from + span;
      if (signed === null || !(await signed.holds(tile))) {
        this.#report.add(
          "tile_changed",
          `tile ${tile.level}/${tile.index} does not hold the hashes of the tiles below it, from leaves ${from} to ${to - 1} on`,
        );
        continue;
      }
      // The tiles above a changed one differ too.
      if (ranges.some((range) => from <= range.from && range.to <= to)) continue;
      ranges.push({ from, to });
      this.#report.add(
        "entry_changed",
        `of the records ${from} to ${to - 1} entries and tiles were changed alike: they do not hash to tile ${tile.level}/${tile.index}, which the signed root covers`,
        from,
      );
    }
    return ranges.length > 0;
  }

  async #checkBundle(
    window: LeafWindow,
    checkpoint: Checkpoint,
    tile: Tile,
    bundle: Uint8Array | null,
    bytes: Uint8Array | null,
  ): Promise<void> {
    this.#report.tiles += 2;
    const start = tile.index * TILE_WIDTH;
    const found = await this.#bundles.check(checkpoint, tile, bundle, bytes);
    if (found === null) this.#isWhole = false;
    // A bundle that was partial when it was checked last: what is new begins within it.
    const old = this.size - start;
    if (found !== null && !equalBytes(found.subarray(0, old * HASH_LENGTH), this.#edge)) {
      this.#report.add(
        "tile_changed",
        `the first ${old} leaves of tile 0/${tile.index} are others than when the tile was smaller`,
      );
    }
    this.#keepLeaves(window, tile, found);
    const leaves = found ?? Buffer.alloc(tile.width * HASH_LENGTH);
    this.#edge = tile.width === TILE_WIDTH ? NO_LEAVES : Buffer.from(leaves);
    for (let i = old; i < tile.width; i++) {
      this.#builder.append(leaves, i * HASH_LENGTH);
      if (this.#isWhole && this.#wanted.has(this.size))
        this.#roots.set(this.size, this.#builder.root());
    }
  }

  /** Puts the leaves of a bundle from where the tree ends into the window. */
  #keepLeaves(window: LeafWindow, tile: Tile, found: Buffer | null): void {
    const old = this.size - tile.index * TILE_WIDTH;
    const to = this.size - window.from;
    if (found === null) {
      window.kinds.fill(UNKNOWN_LEAF, to, to + tile.width - old);
      return;
    }
    const { kinds, rowHashes, leaves, isPlain } = this.#bundles.entries;
    const isOwn = found.buffer === leaves.buffer;
    if (isOwn && isPlain) {
      window.kinds.set(kinds.subarray(old, tile.width), to);
      rowHashes.copy(window.hashes, to * HASH_LENGTH, old * HASH_LENGTH, tile.width * HASH_LENGTH);
      return;
    }
    for (let i = old; i < tile.width; i++) {
      const at = i * HASH_LENGTH;
      const end = at + HASH_LENGTH;
      const kind = isOwn || leaves.compare(found, at, end, at, end) === 0 ? kinds[i]! : NO_KIND;
      const hash = kind === NO_KIND ? found : rowHashes;
      window.kinds[to + i - old] = kind;
      hash.copy(window.hashes, (to + i - old) * HASH_LENGTH, at, end);
    }
  }

  /** Compares hashes with the tile that begins with them: where not all leaves were checked, it has more. */
  async #compareTile(
    checkpoint: Checkpoint,
    { level, index }: Tile,
    hashes: Buffer,
  ): Promise<void> {
    this.#report.tiles++;
    const tile = { level, index, width: tileWidth(checkpoint.size, level, index) };
    const bytes = await this.#log.tile(tile);
    if (bytes === null) this.#report.add("tile_missing", missing(tile));
    else if (bytes.length !== tile.width * HASH_LENGTH)
      this.#report.add("tile_changed", wrongLength(tile, bytes));
    else if (this.#isWhole && !equalBytes(bytes.subarray(0, hashes.length), hashes)) {
      let at = 0;
      while (hashes.compare(bytes, at, at + HASH_LENGTH, at, at + HASH_LENGTH) === 0)
        at += HASH_LENGTH;
      this.#mismatches.push({ tile, position: at / HASH_LENGTH });
    }
  }
}

function missing({ level, index, width }: Tile): string {
  return `tile ${level}/${index} of ${width} hashes is missing`;
}
