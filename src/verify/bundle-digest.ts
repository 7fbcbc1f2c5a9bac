import { sha256Into } from "../core/sha256.ts";
import { ENTRY_LENGTH, writeEntry } from "../tlog/entry.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/tiles.ts";
import { NO_KIND } from "./entries.ts";
import { type LeafWindow, UNKNOWN_LEAF } from "./tree-check.ts";

/** A row's part of the digest: its index within the bundle, then its entry. */
const PART_LENGTH = 1 + ENTRY_LENGTH;

/** Computes what `BundleBatch` of core/verification.ts says of rows from the entries that were sealed. */
export class BundleDigest {
  readonly digest = Buffer.alloc(HASH_LENGTH);
  readonly #parts = Buffer.alloc(TILE_WIDTH * PART_LENGTH);
  readonly #some = Buffer.alloc(TILE_WIDTH * PART_LENGTH);

  constructor() {
    for (let i = 0; i < TILE_WIDTH; i++) this.#parts[i * PART_LENGTH] = i;
  }

  /**
   * Puts the digest of the leaves from `from` to `to` of one bundle into `digest`.
   * Returns: false when an entry is not known, so that there is none.
   * Cost: 9 kB of SHA-256 for 256 rows; the hashes of 256 rows one by one would take ten times as much.
   */
  compute(window: LeafWindow, from: number, to: number): boolean {
    const parts = this.#parts;
    const first = from % TILE_WIDTH;
    for (let i = 0; i < to - from; i++) {
      const at = from - window.from + i;
      const kind = window.kinds[at]!;
      if (kind === NO_KIND || kind === UNKNOWN_LEAF) return false;
      writeEntry(parts, (first + i) * PART_LENGTH + 1, kind, window.hashes, at * HASH_LENGTH);
    }
    const bytes = parts.subarray(first * PART_LENGTH, (first + to - from) * PART_LENGTH);
    sha256Into(bytes, this.digest, 0);
    return true;
  }

  /**
   * The same without the leaves that have a number in `dropped`, one for each leaf of the window.
   * Returns: how many leaves are left; -1 when an entry is not known.
   */
  computeWithout(window: LeafWindow, from: number, to: number, dropped: Uint32Array): number {
    const parts = this.#some;
    let count = 0;
    for (let at = from - window.from; at < to - window.from; at++) {
      const kind = window.kinds[at]!;
      if (kind === NO_KIND || kind === UNKNOWN_LEAF) return -1;
      if (dropped[at] !== 0) continue;
      parts[count * PART_LENGTH] = (window.from + at) % TILE_WIDTH;
      writeEntry(parts, count * PART_LENGTH + 1, kind, window.hashes, at * HASH_LENGTH);
      count++;
    }
    sha256Into(parts.subarray(0, count * PART_LENGTH), this.digest, 0);
    return count;
  }
}
