import { ENTRY_LENGTH, ENTRY_VERSION } from "../tlog/entry.ts";
import { writeLeafHash } from "../tlog/hash-into.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/tiles.ts";

/** Kind of a leaf whose entry is missing or was changed, or is none of version 1: the leaf hash alone is known. */
export const NO_KIND = 0;

/** Bytes of the length in front of an entry (C2SP tlog-tiles, "Log entries"). */
const LENGTH_BYTES = 2;

/** Where a bundle stops being one. */
export interface Damage {
  /** Position of the entry. */
  readonly at: number;
  readonly detail: string;
}

/** The entries of one bundle after the other, taken apart into buffers of its own. */
export class BundleEntries {
  /** Leaf hash of each entry; zeroes where an entry could not be told apart. */
  readonly leaves = Buffer.alloc(TILE_WIDTH * HASH_LENGTH);
  /** Kind of each, or NO_KIND. */
  readonly kinds = new Uint8Array(TILE_WIDTH);
  /** Hash of the row that each commits to; of no meaning where there is no kind. */
  readonly rowHashes = Buffer.alloc(TILE_WIDTH * HASH_LENGTH);
  /** Does each entry have a kind? */
  isPlain = true;
  /** Entries in front of the place where the bundle is cut; all where it is not. */
  readable = 0;
  /** The first place where the bytes are no bundle of `width` entries; null when they are one. */
  damage: Damage | null = null;

  /**
   * Reads the bundle `bytes`, which should have `width` entries.
   * Where a length is wrong and the bundle is as long as one of version 1 entries, only that entry is lost; else all behind it.
   */
  read(bytes: Uint8Array, width: number): void {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const stride = LENGTH_BYTES + ENTRY_LENGTH;
    const isRegular = buffer.length === width * stride;
    this.isPlain = true;
    this.damage = null;
    let at = 0;
    let i = 0;
    for (; i < width; i++) {
      const length = at + 1 < buffer.length ? buffer[at]! * 0x100 + buffer[at + 1]! : NaN;
      const start = at + LENGTH_BYTES;
      if (isRegular && length !== ENTRY_LENGTH) {
        this.#lose(i, `expected an entry of ${ENTRY_LENGTH} bytes, got a length of ${length}`);
        at += stride;
        continue;
      }
      if (!(start + length <= buffer.length)) break;
      at = start + length;
      writeLeafHash(this.leaves, i * HASH_LENGTH, buffer, start, at);
      if (length === ENTRY_LENGTH && buffer[start] === ENTRY_VERSION) {
        this.kinds[i] = buffer[start + 1]!;
        buffer.copy(this.rowHashes, i * HASH_LENGTH, start + 2, at);
      } else {
        this.kinds[i] = NO_KIND;
        this.isPlain = false;
      }
    }
    this.readable = i;
    if (i < width) {
      const detail = `the bundle of ${buffer.length} bytes ends within entry ${i} of ${width}`;
      for (; i < width; i++) this.#lose(i, detail);
    } else if (at < buffer.length) {
      this.damage ??= {
        at: width - 1,
        detail: `${buffer.length - at} bytes follow the last of ${width} entries`,
      };
    }
  }

  #lose(i: number, detail: string): void {
    this.kinds[i] = NO_KIND;
    this.leaves.fill(0, i * HASH_LENGTH, (i + 1) * HASH_LENGTH);
    this.isPlain = false;
    this.damage ??= { at: i, detail };
  }
}
