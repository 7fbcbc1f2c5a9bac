import { MeshproofError } from "../core/errors.ts";
import { SHA256_BYTES, sha256 } from "../core/sha256.ts";

/** Merkle tree hashing as in RFC 6962, section 2.1. */

/** Bytes of a SHA-256. */
export const HASH_LENGTH = SHA256_BYTES;

export const LEAF_PREFIX = 0x00; // RFC 6962, section 2.1
export const NODE_PREFIX = 0x01;

/** The longest entry that fits an entry bundle: its length is a uint16 (C2SP tlog-tiles, "Log entries"). */
export const MAX_ENTRY_LENGTH = 0xffff;

// Scratch for one synchronous call: filled and hashed without an await between.
const nodeInput = new Uint8Array(1 + 2 * HASH_LENGTH).fill(NODE_PREFIX, 0, 1);

/** Root hash of the empty tree: SHA-256 of nothing. */
export function emptyRoot(): Uint8Array {
  return sha256(new Uint8Array());
}

/** Leaf hash of an entry: SHA-256(0x00 ‖ entry). */
export function leafHash(entry: Uint8Array): Uint8Array {
  if (entry.length > MAX_ENTRY_LENGTH)
    throw new MeshproofError(
      "PROOF_RANGE",
      `expected an entry of at most ${MAX_ENTRY_LENGTH} bytes, got ${entry.length}`,
    );
  const input = new Uint8Array(1 + entry.length);
  input[0] = LEAF_PREFIX;
  input.set(entry, 1);
  return sha256(input);
}

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + HASH_LENGTH);
  return sha256(nodeInput);
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
