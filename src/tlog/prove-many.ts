import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { type HashReader, nodeHash } from "./merkle.ts";
import { checkHashes, checkSize, type Range, rangeHashes, splitPoint } from "./ranges.ts";

/**
 * Inclusion proofs of many leaves at once. The tree is walked from its root: where a subtree holds none of the leaves, its hash is in the
 * proof, and nothing of what is below it; where it holds some, its hash follows. So each hash that is needed is there once, and none that
 * follows from others. They stand in the order of the leaves below them, from left to right.
 *
 * No standard that we know of has proofs of several leaves of an RFC 6962 tree. The proof of one leaf has the hashes of RFC 6962, section
 * 2.1.1, in the order of the tree instead of from the leaf up.
 */

/** Ranges whose hashes are asked for at a time: bounds the tiles in memory, and the files that are open. */
const RANGES_PER_READ = 128;

/**
 * The proof that the leaves `indexes`, ascending, stand in the tree of `size` leaves.
 * Shape:  at most ceil(log2 size) hashes for each index; for k indexes next to one another at most 2 ceil(log2 size) in all.
 * Cost:   a call of `readHashes` for each 128 hashes.
 * Throws: PROOF_RANGE when there is no index, one is not above the one before it, or not below `size`.
 */
export async function proveMany(
  indexes: readonly number[],
  size: number,
  reader: HashReader,
): Promise<Uint8Array[]> {
  checkIndexes(indexes, size);
  const ranges: Range[] = [];
  walk(indexes, size, {
    ofRange(start, end) {
      ranges.push({ start, end });
    },
    ofLeaf() {},
    ofNode() {},
  });
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < ranges.length; at += RANGES_PER_READ)
    hashes.push(...(await rangeHashes(ranges.slice(at, at + RANGES_PER_READ), reader)));
  return hashes;
}

/**
 * Checks that `proof` leads from the leaves `indexes`, ascending, whose hashes are `leaves`, to the root of the tree of `size` leaves.
 * Cost:   one hash for each leaf and each hash of the proof.
 * Throws: PROOF_RANGE as `proveMany`; PROOF_INVALID when the proof has a hash too few or too many, or leads elsewhere.
 */
export function checkMany(
  proof: readonly Uint8Array[],
  indexes: readonly number[],
  size: number,
  leaves: readonly Uint8Array[],
  root: Uint8Array,
): void {
  const computed = foldMany(proof, indexes, size, leaves, null);
  if (!equalBytes(computed.root, root))
    throw new MeshproofError(
      "PROOF_INVALID",
      `the proof of ${indexes.length} leaves leads to another root than that of the tree of ${size}`,
    );
}

/**
 * The inclusion proof of the leaf `index`, one of `indexes`, as RFC 6962 has it: what `checkInclusion` takes. Nothing is checked but the shape.
 * Cost:   as `checkMany`.
 * Throws: PROOF_RANGE as `proveMany`, and when the index is not among them; PROOF_INVALID when the proof has a hash too few or too many.
 */
export function inclusionOf(
  index: number,
  proof: readonly Uint8Array[],
  indexes: readonly number[],
  size: number,
  leaves: readonly Uint8Array[],
): Uint8Array[] {
  if (!indexes.includes(index))
    throw new MeshproofError("PROOF_RANGE", `leaf ${index} is none of those that are proved`);
  return foldMany(proof, indexes, size, leaves, index).siblings;
}

/** The root that the proof leads to, and the hashes beside the way from the leaf `target` to it, the lowest first. */
function foldMany(
  proof: readonly Uint8Array[],
  indexes: readonly number[],
  size: number,
  leaves: readonly Uint8Array[],
  target: number | null,
): { readonly root: Uint8Array; readonly siblings: Uint8Array[] } {
  checkIndexes(indexes, size);
  checkHashes(proof);
  checkHashes(leaves);
  if (leaves.length !== indexes.length)
    throw new MeshproofError(
      "PROOF_INVALID",
      `expected ${indexes.length} leaves, got ${leaves.length}`,
    );
  let used = 0;
  const siblings: Uint8Array[] = [];
  // Hashes of subtrees whose parents are not complete yet: at most two for each level.
  const stack: Uint8Array[] = [];
  walk(indexes, size, {
    ofRange() {
      const hash = proof[used++];
      if (hash === undefined) throw wrongLength(proof.length, "more");
      stack.push(hash);
    },
    ofLeaf(at) {
      stack.push(leaves[at]!);
    },
    ofNode(start, middle, end) {
      const right = stack.pop()!;
      const left = stack.pop()!;
      if (target !== null && target >= start && target < end)
        siblings.push(target < middle ? right : left);
      stack.push(nodeHash(left, right));
    },
  });
  if (used !== proof.length) throw wrongLength(proof.length, String(used));
  return { root: stack[0]!, siblings };
}

/** What is met on the way through the tree; a node comes behind both of its children. */
interface Visitor {
  /** The hash over these leaves is part of the proof. */
  ofRange(start: number, end: number): void;
  /** The leaf `indexes[at]`. */
  ofLeaf(at: number): void;
  ofNode(start: number, middle: number, end: number): void;
}

function walk(indexes: readonly number[], size: number, visitor: Visitor): void {
  /** `indexes` from `first` to `last` are those of the subtree over the leaves from `start` to `end`. Depth: at most 53. */
  const visit = (start: number, end: number, first: number, last: number): void => {
    if (first === last) return visitor.ofRange(start, end);
    if (end - start === 1) return visitor.ofLeaf(first);
    const middle = start + splitPoint(end - start);
    const split = firstFrom(indexes, middle, first, last);
    visit(start, middle, first, split);
    visit(middle, end, split, last);
    visitor.ofNode(start, middle, end);
  };
  visit(0, size, 0, indexes.length);
}

/** The first position from `low` on whose index is not below `bound`; `high` when there is none. */
function firstFrom(indexes: readonly number[], bound: number, low: number, high: number): number {
  let [from, to] = [low, high];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (indexes[middle]! < bound) from = middle + 1;
    else to = middle;
  }
  return from;
}

function checkIndexes(indexes: readonly number[], size: number): void {
  checkSize(size);
  if (indexes.length === 0) throw new MeshproofError("PROOF_RANGE", "expected a leaf, got none");
  let before = -1;
  for (const index of indexes) {
    if (!Number.isSafeInteger(index) || index <= before)
      throw new MeshproofError(
        "PROOF_RANGE",
        `expected ascending leaf indexes, got ${index} behind ${before < 0 ? "none" : before}`,
      );
    before = index;
  }
  if (before >= size)
    throw new MeshproofError(
      "PROOF_RANGE",
      `expected leaf indexes below the tree size ${size}, got ${before}`,
    );
}

function wrongLength(got: number, expected: string): MeshproofError {
  return new MeshproofError(
    "PROOF_INVALID",
    `a proof of ${got} hashes does not fit these leaves in the tree: expected ${expected}`,
  );
}
