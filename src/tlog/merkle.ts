import { MeshproofError } from "../core/errors.ts";
import { SHA256_BYTES, sha256Into } from "../core/sha256.ts";

/** Merkle tree hashing as in RFC 6962, section 2.1. */

/** Bytes of a SHA-256. */
export const HASH_LENGTH = SHA256_BYTES;

const LEAF_PREFIX = 0x00; // RFC 6962, section 2.1
const NODE_PREFIX = 0x01;

/** The longest entry that fits an entry bundle: its length is a uint16 (C2SP tlog-tiles, "Log entries"). */
export const MAX_ENTRY_LENGTH = 0xffff;

// Scratch for one synchronous call: filled and hashed without an await between.
const nodeInput = Buffer.alloc(1 + 2 * HASH_LENGTH, NODE_PREFIX);
const leafScratch = Buffer.alloc(1 + MAX_ENTRY_LENGTH, LEAF_PREFIX);
let leafInput = leafScratch.subarray(0, 1);

/** Root hash of the empty tree: SHA-256 of nothing. */
export function emptyRoot(): Uint8Array {
  const out = Buffer.alloc(HASH_LENGTH);
  sha256Into(new Uint8Array(), out, 0);
  return out;
}

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

/** Leaf hash of an entry: SHA-256(0x00 ‖ entry). */
export function leafHash(entry: Uint8Array): Uint8Array {
  if (entry.length > MAX_ENTRY_LENGTH)
    throw new MeshproofError(
      "PROOF_RANGE",
      `expected an entry of at most ${MAX_ENTRY_LENGTH} bytes, got ${entry.length}`,
    );
  const out = Buffer.alloc(HASH_LENGTH);
  writeLeafHash(out, 0, asBuffer(entry), 0, entry.length);
  return out;
}

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  const out = Buffer.alloc(HASH_LENGTH);
  writeNodeHash(out, 0, asBuffer(left), 0, asBuffer(right), 0);
  return out;
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

/** The complete subtree over leaves index * 2^level to (index + 1) * 2^level. */
export interface Subtree {
  readonly level: number;
  readonly index: number;
}

/** Where proofs get hashes from: tiles on disk, tiles over HTTP, or a tree in memory. */
export interface HashReader {
  /** Hashes of complete subtrees, in the order asked for. Rejects when one cannot be had. */
  readHashes(subtrees: readonly Subtree[]): Promise<readonly Uint8Array[]>;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
