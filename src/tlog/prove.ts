import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { type HashReader, emptyRoot, nodeHash } from "./merkle.ts";
import { checkHashes, checkSize, type Range, rangeHashes, splitPoint } from "./ranges.ts";

/** Proofs about Merkle trees: each is made by `prove…` and checked by `check…`. Sizes and indexes are numbers below 2^53. */

/**
 * Root hash of the tree of the first `size` leaves.
 * Cost: one call of `readHashes` for as many hashes as `size` has one bits.
 */
export async function treeRoot(size: number, reader: HashReader): Promise<Uint8Array> {
  checkSize(size);
  if (size === 0) return emptyRoot();
  const [root] = await rangeHashes([{ start: 0, end: size }], reader);
  return root!;
}

/**
 * Inclusion proof of leaf `index` in the tree of `size` leaves.
 * Shape:  at most ceil(log2 size) hashes of 32 bytes, leaf side first.
 * Cost:   one call of `readHashes`.
 * Throws: PROOF_RANGE when index >= size.
 * Source: RFC 6962, section 2.1.1.
 */
export async function proveInclusion(
  index: number,
  size: number,
  reader: HashReader,
): Promise<Uint8Array[]> {
  checkIndex(index, size);
  const ranges: Range[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + splitPoint(end - start);
    if (index < middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  return rangeHashes(ranges.reverse(), reader);
}

/**
 * Checks that `proof` leads from leaf `index` with hash `leaf` to the root of the tree of `size` leaves.
 * Throws: PROOF_RANGE when index >= size, PROOF_INVALID when the proof is of another shape or leads elsewhere.
 * Source: RFC 9162, section 2.1.3.2.
 */
export function checkInclusion(
  proof: readonly Uint8Array[],
  index: number,
  size: number,
  leaf: Uint8Array,
  root: Uint8Array,
): void {
  checkIndex(index, size);
  checkHashes([...proof, leaf, root]);
  let node = index;
  let last = size - 1;
  let computed = leaf;
  for (const sibling of proof) {
    if (last === 0) throw wrongLength(proof.length);
    if (isOdd(node) || node === last) {
      computed = nodeHash(sibling, computed);
      // A right child at the edge of the tree has no sibling on the levels where it is a left child.
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      computed = nodeHash(computed, sibling);
    }
    node = half(node);
    last = half(last);
  }
  if (last !== 0) throw wrongLength(proof.length);
  if (!equalBytes(computed, root))
    throw new MeshproofError(
      "PROOF_INVALID",
      `the inclusion proof of leaf ${index} leads to another root than that of the tree of ${size}`,
    );
}

/**
 * Consistency proof between the trees of the first `size1` and the first `size2` leaves.
 * Shape:  at most ceil(log2 size2) + 1 hashes of 32 bytes; none when the sizes are equal.
 * Cost:   one call of `readHashes`.
 * Throws: PROOF_RANGE unless 1 <= size1 <= size2: every tree extends the empty one, so there is nothing to prove
 *         (C2SP tlog-witness sends an empty proof there, its client has to know that case).
 * Source: RFC 6962, section 2.1.2.
 */
export async function proveConsistency(
  size1: number,
  size2: number,
  reader: HashReader,
): Promise<Uint8Array[]> {
  checkSizes(size1, size2);
  const ranges: Range[] = [];
  let start = 0;
  let end = size2;
  while (end !== size1) {
    const middle = start + splitPoint(end - start);
    if (size1 <= middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  // The first tree's own root is left out: whoever checks has it.
  if (start > 0) ranges.push({ start, end });
  return rangeHashes(ranges.reverse(), reader);
}

/**
 * Checks that the tree of `size2` leaves with `root2` extends the tree of `size1` leaves with `root1`.
 * Throws: PROOF_RANGE unless 1 <= size1 <= size2, PROOF_INVALID when the proof does not hold.
 * Source: RFC 9162, section 2.1.4.2.
 */
export function checkConsistency(
  proof: readonly Uint8Array[],
  size1: number,
  root1: Uint8Array,
  size2: number,
  root2: Uint8Array,
): void {
  checkSizes(size1, size2);
  checkHashes([...proof, root1, root2]);
  if (size1 === size2) {
    if (proof.length > 0) throw wrongLength(proof.length);
    if (!equalBytes(root1, root2))
      throw new MeshproofError("PROOF_INVALID", `two roots for one tree size ${size1}`);
    return;
  }
  let node = size1 - 1;
  let last = size2 - 1;
  while (isOdd(node)) {
    node = half(node);
    last = half(last);
  }
  // When size1 is a power of two, its root is a node of the second tree and is not sent.
  const hashes = node === 0 ? [root1, ...proof] : proof;
  const seed = hashes[0];
  if (seed === undefined) throw wrongLength(0);
  let computed1 = seed;
  let computed2 = seed;
  for (const sibling of hashes.slice(1)) {
    if (last === 0) throw wrongLength(proof.length);
    if (isOdd(node) || node === last) {
      computed1 = nodeHash(sibling, computed1);
      computed2 = nodeHash(sibling, computed2);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      computed2 = nodeHash(computed2, sibling);
    }
    node = half(node);
    last = half(last);
  }
  if (last !== 0) throw wrongLength(proof.length);
  if (!equalBytes(computed1, root1))
    throw new MeshproofError(
      "PROOF_INVALID",
      `the consistency proof does not lead to the root of the tree of ${size1}`,
    );
  if (!equalBytes(computed2, root2))
    throw new MeshproofError(
      "PROOF_INVALID",
      `the consistency proof does not lead to the root of the tree of ${size2}`,
    );
}

// Bit operators would cut numbers to 32 bits.
function isOdd(n: number): boolean {
  return n % 2 === 1;
}

function half(n: number): number {
  return Math.floor(n / 2);
}

function checkIndex(index: number, size: number): void {
  checkSize(size);
  if (!Number.isSafeInteger(index) || index < 0 || index >= size)
    throw new MeshproofError(
      "PROOF_RANGE",
      `expected a leaf index below the tree size ${size}, got ${index}`,
    );
}

function checkSizes(size1: number, size2: number): void {
  checkSize(size1);
  checkSize(size2);
  if (size1 < 1 || size1 > size2)
    throw new MeshproofError(
      "PROOF_RANGE",
      `expected an earlier tree size from 1 to ${size2}, got ${size1}`,
    );
}

function wrongLength(length: number): MeshproofError {
  return new MeshproofError(
    "PROOF_INVALID",
    `a proof of ${length} hashes does not fit these positions in the tree`,
  );
}
