import { randomInt } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { type HashReader, leafHash, nodeHash } from "../../src/tlog/merkle.ts";
import { checkInclusion } from "../../src/tlog/prove.ts";
import { checkMany, inclusionOf, proveMany } from "../../src/tlog/prove-many.ts";

const LEAVES = Array.from({ length: 2_000 }, (_, i) => leafHash(Buffer.from(String(i))));

/** RFC 6962, section 2.1, word for word. */
function mth(start: number, end: number): Uint8Array {
  const n = end - start;
  if (n === 1) return LEAVES[start]!;
  const middle = start + 2 ** (31 - Math.clz32(n - 1));
  const key = `${start} ${end}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const root = nodeHash(mth(start, middle), mth(middle, end));
  known.set(key, root);
  return root;
}
const known = new Map<string, Uint8Array>();

/** RFC 6962, section 2.1.1, word for word. */
function path(m: number, start: number, end: number): Uint8Array[] {
  if (end - start === 1) return [];
  const middle = start + 2 ** (31 - Math.clz32(end - start - 1));
  return m < middle
    ? [...path(m, start, middle), mth(middle, end)]
    : [...path(m, middle, end), mth(start, middle)];
}

/** The fewest hashes that are needed, by another way: every subtree without a leaf of the set whose parent has one. */
function needed(indexes: ReadonlySet<number>, start: number, end: number): Uint8Array[] {
  const has = (from: number, to: number): boolean => {
    for (let i = from; i < to; i++) if (indexes.has(i)) return true;
    return false;
  };
  if (end - start === 1) return [];
  const middle = start + 2 ** (31 - Math.clz32(end - start - 1));
  const side = (from: number, to: number): Uint8Array[] =>
    has(from, to) ? needed(indexes, from, to) : [mth(from, to)];
  return [...side(start, middle), ...side(middle, end)];
}

const reader: HashReader = {
  readHashes: async (subtrees) =>
    subtrees.map(({ level, index }) => mth(index * 2 ** level, (index + 1) * 2 ** level)),
};

const hex = (hashes: readonly Uint8Array[]): string =>
  hashes.map((hash) => Buffer.from(hash).toString("hex")).join(" ");
const leavesOf = (indexes: readonly number[]): Uint8Array[] => indexes.map((i) => LEAVES[i]!);

function codeOf(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    if (!(error instanceof MeshproofError)) throw error;
    return error.code;
  }
}

/** What is wrong with the proof of these leaves; null when nothing is. */
async function wrongWith(indexes: readonly number[], size: number): Promise<string | null> {
  const proof = await proveMany(indexes, size, reader);
  const leaves = leavesOf(indexes);
  if (hex(proof) !== hex(needed(new Set(indexes), 0, size))) return "other hashes than needed";
  checkMany(proof, indexes, size, leaves, mth(0, size));
  for (const index of indexes) {
    const single = inclusionOf(index, proof, indexes, size, leaves);
    if (hex(single) !== hex(path(index, 0, size))) return `the proof of ${index} alone`;
    checkInclusion(single, index, size, LEAVES[index]!, mth(0, size));
  }
  return null;
}

t.test("every set of leaves of every tree of up to 11 proves, and each leaf of it", async (t) => {
  const wrong: string[] = [];
  for (let size = 1; size <= 11; size++)
    for (let set = 1; set < 2 ** size; set++) {
      const indexes = Array.from({ length: size }, (_, i) => i).filter((i) => (set >> i) & 1);
      const what = await wrongWith(indexes, size);
      if (what !== null) wrong.push(`${indexes} of ${size}: ${what}`);
    }
  t.same(wrong, []);
});

t.test("random sets of large trees prove", async (t) => {
  const wrong: string[] = [];
  for (let round = 0; round < 60; round++) {
    const size = randomInt(1, LEAVES.length);
    const share = Math.random();
    const indexes = LEAVES.slice(0, size)
      .map((_, i) => i)
      .filter((i) => i === size - 1 || Math.random() < share / 10);
    const what = await wrongWith(indexes, size);
    if (what !== null) wrong.push(`${indexes} of ${size}: ${what}`);
  }
  t.same(wrong, []);
});

t.test("a proof holds for its own leaves, places and tree alone", async (t) => {
  for (let size = 1; size <= 7; size++)
    for (let set = 1; set < 2 ** size; set++) {
      const indexes = Array.from({ length: size }, (_, i) => i).filter((i) => (set >> i) & 1);
      const proof = await proveMany(indexes, size, reader);
      const leaves = leavesOf(indexes);
      const root = mth(0, size);
      const claim = (changed: {
        proof?: Uint8Array[];
        indexes?: number[];
        leaves?: Uint8Array[];
        size?: number;
      }) =>
        codeOf(() =>
          checkMany(
            changed.proof ?? proof,
            changed.indexes ?? indexes,
            changed.size ?? size,
            changed.leaves ?? leaves,
            root,
          ),
        );
      const accepted: string[] = [];
      const refuse = (what: string, code: string | null): void => {
        if (code !== "PROOF_INVALID" && code !== "PROOF_RANGE") accepted.push(what);
      };
      const other = leafHash(Buffer.from("other"));
      for (const i of indexes.keys()) refuse("leaf", claim({ leaves: leaves.with(i, other) }));
      for (const i of proof.keys()) {
        refuse("hash", claim({ proof: proof.with(i, other) }));
        refuse("without a hash", claim({ proof: proof.toSpliced(i, 1) }));
        refuse("with a hash twice", claim({ proof: proof.toSpliced(i, 0, proof[i]!) }));
      }
      refuse("with a hash more", claim({ proof: [...proof, other] }));
      refuse("without a leaf", claim({ leaves: leaves.slice(1) }));
      if (leaves.length > 1) {
        refuse("leaves the other way round", claim({ leaves: leaves.toReversed() }));
        refuse("indexes the other way round", claim({ indexes: indexes.toReversed() }));
        refuse("one record less", claim({ indexes: indexes.slice(1), leaves: leaves.slice(1) }));
      }
      refuse(
        "an index twice",
        claim({ indexes: [indexes[0]!, ...indexes], leaves: [leaves[0]!, ...leaves] }),
      );
      for (let set2 = 1; set2 < 2 ** size; set2++) {
        const others = Array.from({ length: size }, (_, i) => i).filter((i) => (set2 >> i) & 1);
        if (set2 !== set && others.length === indexes.length)
          refuse(`at the places ${others}`, claim({ indexes: others }));
      }
      if (accepted.length > 0) t.fail(`${indexes} of ${size}: ${accepted.join(", ")}`);
    }
  t.pass();
});

t.test("what cannot be an index is refused before anything is read", async (t) => {
  const never: HashReader = { readHashes: () => Promise.reject(new Error("was read")) };
  for (const indexes of [[], [3, 2], [2, 2], [-1], [1.5], [5], [0, 5], [2 ** 53], [Number.NaN]])
    await t.rejects(proveMany(indexes, 5, never), { code: "PROOF_RANGE" }, `${indexes}`);
  await t.rejects(proveMany([0], -1, never), { code: "PROOF_RANGE" });
  t.throws(() => inclusionOf(2, [], [1, 3], 5, leavesOf([1, 3])), { code: "PROOF_RANGE" });
  t.throws(() => checkMany([Buffer.alloc(31)], [0], 2, leavesOf([0]), mth(0, 2)), {
    code: "PROOF_INVALID",
  });
});

t.test("hashes are read some at a time, and of neighbours only a few are needed", async (t) => {
  const reads: number[] = [];
  const counting: HashReader = {
    async readHashes(subtrees) {
      reads.push(subtrees.length);
      return reader.readHashes(subtrees);
    },
  };
  const neighbours = Array.from({ length: 1_000 }, (_, i) => 333 + i);
  t.ok((await proveMany(neighbours, 2_000, counting)).length <= 22);
  t.equal(reads.length, 1);
  const apart = Array.from({ length: 500 }, (_, i) => i * 4);
  const proof = await proveMany(apart, 2_000, counting);
  t.equal(proof.length, 1_000, "a leaf and a pair beside each");
  t.ok(Math.max(...reads) <= 256);
});

t.test("trees of up to 2^53 leaves are walked without a fault", async () => {
  const hash = leafHash(Buffer.from("x"));
  const any: HashReader = { readHashes: async (subtrees) => subtrees.map(() => hash) };
  await fc.assert(
    fc.asyncProperty(
      fc.maxSafeNat().filter((size) => size > 0),
      fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
        minLength: 1,
        maxLength: 20,
      }),
      async (size, places) => {
        const indexes = [
          ...new Set(places.map((place) => Math.min(size - 1, Math.floor(place * size)))),
        ].sort((a, b) => a - b);
        const proof = await proveMany(indexes, size, any);
        const leaves = indexes.map(() => hash);
        const single = inclusionOf(indexes[0]!, proof, indexes, size, leaves);
        return (
          proof.length <= 53 * indexes.length &&
          single.length <= 53 &&
          codeOf(() => checkMany(proof, indexes, size, leaves, Buffer.alloc(32))) ===
            "PROOF_INVALID"
        );
      },
    ),
    { numRuns: 100 },
  );
});
