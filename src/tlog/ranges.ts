import { MeshproofError } from "../core/errors.ts";
import { HASH_LENGTH, type HashReader, type Subtree, nodeHash } from "./merkle.ts";

/** What all proofs have in common: ranges of leaves, and the hashes over them. */

/** Leaves [start, end) of the tree; `start` is a multiple of the smallest power of two that is not below `end - start`. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** One hash for each range, from the complete subtrees that it consists of, read in one call. */
export async function rangeHashes(
  ranges: readonly Range[],
  reader: HashReader,
): Promise<Uint8Array[]> {
  const subtrees: Subtree[] = [];
  const ends: number[] = [];
  for (const range of ranges) {
    let start = range.start;
    while (start < range.end) {
      let level = 0;
      let width = 1;
      while (width * 2 <= range.end - start) {
        width *= 2;
        level++;
      }
      subtrees.push({ level, index: start / width });
      start += width;
    }
    ends.push(subtrees.length);
  }
  const hashes = subtrees.length === 0 ? [] : await reader.readHashes(subtrees);
  let first = 0;
  return ends.map((end) => {
    let computed = hashes[end - 1]!;
    for (let i = end - 2; i >= first; i--) computed = nodeHash(hashes[i]!, computed);
    first = end;
    return computed;
  });
}

/** The largest power of two below `count` (RFC 6962, section 2.1: where a tree splits). `count` is at least 2. */
export function splitPoint(count: number): number {
  let k = 1;
  while (k * 2 < count) k *= 2;
  return k;
}

/** Throws: PROOF_RANGE when `size` is no tree size. */
export function checkSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 0)
    throw new MeshproofError("PROOF_RANGE", `expected a tree size from 0 to 2^53 - 1, got ${size}`);
}

/** Throws: PROOF_INVALID when one of the hashes does not have the length of one. */
export function checkHashes(hashes: readonly Uint8Array[]): void {
  for (const bytes of hashes) {
    if (bytes.length !== HASH_LENGTH)
      throw new MeshproofError(
        "PROOF_INVALID",
        `expected hashes of ${HASH_LENGTH} bytes, got one of ${bytes.length}`,
      );
  }
}
