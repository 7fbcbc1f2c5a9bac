import { sha256Into } from "../core/sha256.ts";
import { HASH_LENGTH, LEAF_PREFIX, MAX_ENTRY_LENGTH, NODE_PREFIX } from "./merkle.ts";

/** Merkle tree hashing from buffer to buffer, for many hashes at a time: RFC 6962, section 2.1. Of Node alone. */

// Scratch for one synchronous call: filled and hashed without an await between.
const nodeInput = Buffer.alloc(1 + 2 * HASH_LENGTH, NODE_PREFIX);
const leafScratch = Buffer.alloc(1 + MAX_ENTRY_LENGTH, LEAF_PREFIX);
let leafInput = leafScratch.subarray(0, 1);

/** Writes SHA-256(0x00 ‖ entry) to `out` at `at`; the entry is `bytes` from `start` to `end`. The hot path. */
export function writeLeafHash(
  out: Buffer,
  at: number,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  // Entries of one log mostly have one length, so the view is made once.
  if (leafInput.length !== 1 + end - start) leafInput = leafScratch.subarray(0, 1 + end - start);
  bytes.copy(leafInput, 1, start, end);
  sha256Into(leafInput, out, at);
}

/** Writes SHA-256(0x01 ‖ left ‖ right) to `out` at `at`, the children being 32 bytes at their offsets. The hot path. */
export function writeNodeHash(
  out: Buffer,
  at: number,
  left: Buffer,
  leftAt: number,
  right: Buffer,
  rightAt: number,
): void {
  left.copy(nodeInput, 1, leftAt, leftAt + HASH_LENGTH);
  right.copy(nodeInput, 1 + HASH_LENGTH, rightAt, rightAt + HASH_LENGTH);
  sha256Into(nodeInput, out, at);
}

/**
 * Hash of the complete subtree over `count` hashes that stand one behind the other from `at`.
 * `count` is a power of two.
 */
export function subtreeHash(hashes: Uint8Array, at: number, count: number): Uint8Array {
  const level = Buffer.from(hashes.subarray(at, at + count * HASH_LENGTH));
  for (let left = count; left > 1; left /= 2) {
    for (let i = 0; i < left; i += 2)
      writeNodeHash(
        level,
        (i / 2) * HASH_LENGTH,
        level,
        i * HASH_LENGTH,
        level,
        (i + 1) * HASH_LENGTH,
      );
  }
  return level.subarray(0, HASH_LENGTH);
}
