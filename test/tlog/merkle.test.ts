import { readFileSync } from "node:fs";
import fc from "fast-check";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { subtreeHash } from "../../src/tlog/hash-into.ts";
import { type HashReader, emptyRoot, leafHash, nodeHash } from "../../src/tlog/merkle.ts";
import {
  checkConsistency,
  checkInclusion,
  proveConsistency,
  proveInclusion,
  treeRoot,
} from "../../src/tlog/prove.ts";

const MAX_SIZE = 300;

/** RFC 6962, section 2.1, word for word, over leaves whose data is their index as text. */
const leaves = Array.from({ length: MAX_SIZE }, (_, i) => leafHash(Buffer.from(String(i))));
const known = new Map<string, Uint8Array>();

function split(n: number): number {
  return 2 ** (31 - Math.clz32(n - 1));
}

function mth(start: number, end: number): Uint8Array {
  const n = end - start;
  if (n === 0) return emptyRoot();
  if (n === 1) return leaves[start]!;
  const key = `${start} ${end}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const middle = start + split(n);
  const root = nodeHash(mth(start, middle), mth(middle, end));
  known.set(key, root);
  return root;
}

function path(m: number, start: number, end: number): Uint8Array[] {
  if (end - start === 1) return [];
  const middle = start + split(end - start);
  return m < middle
    ? [...path(m, start, middle), mth(middle, end)]
    : [...path(m, middle, end), mth(start, middle)];
}

function subproof(m: number, start: number, end: number, complete: boolean): Uint8Array[] {
  if (m === end) return complete ? [] : [mth(start, end)];
  const middle = start + split(end - start);
  return m <= middle
    ? [...subproof(m, start, middle, complete), mth(middle, end)]
    : [...subproof(m, middle, end, false), mth(start, middle)];
}

const reader: HashReader = {
  readHashes: async (subtrees) =>
    subtrees.map(({ level, index }) => mth(index * 2 ** level, (index + 1) * 2 ** level)),
};

function equal(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((hash, i) => Buffer.compare(hash, b[i]!) === 0);
}

function refusal(act: () => void): string {
  try {
    act();
  } catch (error) {
    return (error as MeshproofError).code;
  }
  return "accepted";
}

t.test("the reference tree of Certificate Transparency has its published roots", async (t) => {
  const data = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
  ];
  const roots = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ];
  const builder = new TreeBuilder(() => {});
  t.equal(Buffer.from(builder.root()).toString("hex"), roots[0]);
  data.forEach((hex, i) => {
    builder.append(Buffer.from(leafHash(Buffer.from(hex, "hex"))), 0);
    t.equal(Buffer.from(builder.root()).toString("hex"), roots[i + 1]);
  });
});

t.test(`every root up to ${MAX_SIZE} leaves is that of RFC 6962`, async (t) => {
  const builder = new TreeBuilder(() => {});
  for (let size = 0; size <= MAX_SIZE; size++) {
    if (Buffer.compare(builder.root(), mth(0, size)) !== 0) t.fail(`builder, size ${size}`);
    if (Buffer.compare(await treeRoot(size, reader), mth(0, size)) !== 0)
      t.fail(`treeRoot, size ${size}`);
    if (size < MAX_SIZE) builder.append(Buffer.from(leaves[size]!), 0);
  }
  t.equal(builder.size, MAX_SIZE);
});

t.test(
  `every inclusion proof up to ${MAX_SIZE} leaves is that of RFC 6962, and checks`,
  async (t) => {
    let count = 0;
    for (let size = 1; size <= MAX_SIZE; size++) {
      for (let index = 0; index < size; index++) {
        const proof = await proveInclusion(index, size, reader);
        if (!equal(proof, path(index, 0, size))) t.fail(`leaf ${index} of ${size}`);
        checkInclusion(proof, index, size, leaves[index]!, mth(0, size));
        count++;
      }
    }
    t.equal(count, (MAX_SIZE * (MAX_SIZE + 1)) / 2);
  },
);

t.test(
  `every consistency proof up to ${MAX_SIZE} leaves is that of RFC 6962, and checks`,
  async (t) => {
    let count = 0;
    for (let size2 = 1; size2 <= MAX_SIZE; size2++) {
      for (let size1 = 1; size1 <= size2; size1++) {
        const proof = await proveConsistency(size1, size2, reader);
        if (!equal(proof, subproof(size1, 0, size2, true))) t.fail(`${size1} to ${size2}`);
        checkConsistency(proof, size1, mth(0, size1), size2, mth(0, size2));
        count++;
      }
    }
    t.equal(count, (MAX_SIZE * (MAX_SIZE + 1)) / 2);
  },
);

/** One line a vector; see vectors/README.md. */
function vectors<T>(file: string): T[] {
  return readFileSync(new URL(`vectors/${file}`, import.meta.url), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as T);
}

const decode = (base64: string | null): Buffer => Buffer.from(base64 ?? "", "base64");

t.test(
  "the inclusion vectors of transparency-dev/merkle have their published outcomes",
  async (t) => {
    const all = vectors<{
      name: string;
      leafIdx: string;
      treeSize: string;
      root: string;
      leafHash: string;
      proof: string[] | null;
      wantErr: boolean;
    }>("inclusion.jsonl");
    t.equal(all.length, 98);
    t.equal(all.filter(({ wantErr }) => !wantErr).length, 6);
    for (const { name, leafIdx, treeSize, root, leafHash: leaf, proof, wantErr } of all) {
      const outcome = refusal(() =>
        checkInclusion(
          (proof ?? []).map(decode),
          Number(leafIdx),
          Number(treeSize),
          decode(leaf),
          decode(root),
        ),
      );
      t.equal(outcome !== "accepted", wantErr, `${name}: ${outcome}`);
    }
  },
);

t.test(
  "the consistency vectors of transparency-dev/merkle have their published outcomes",
  async (t) => {
    const all = vectors<{
      name: string;
      size1: string;
      size2: string;
      root1: string;
      root2: string;
      proof: string[] | null;
      wantErr: boolean;
    }>("consistency.jsonl");
    t.equal(all.length, 98);
    t.equal(all.filter(({ wantErr }) => !wantErr).length, 6);
    for (const { name, size1, size2, root1, root2, proof, wantErr } of all) {
      const outcome = refusal(() =>
        checkConsistency(
          (proof ?? []).map(decode),
          Number(size1),
          decode(root1),
          Number(size2),
          decode(root2),
        ),
      );
      // Equal roots of equal sizes, but of 12 bytes: no SHA-256, so we refuse what the vector allows.
      const isShort = name === "additional/sizes-are-equal-one-and-proof-is-empty";
      t.equal(outcome !== "accepted", wantErr || isShort, `${name}: ${outcome}`);
    }
  },
);

t.test("an inclusion proof with anything changed is refused", async (t) => {
  for (let size = 1; size <= 40; size++) {
    const root = mth(0, size);
    for (let index = 0; index < size; index++) {
      const proof = await proveInclusion(index, size, reader);
      const leaf = leaves[index]!;
      const check = (changed: readonly Uint8Array[], i = index, n = size, l = leaf, r = root) =>
        refusal(() => checkInclusion(changed, i, n, l, r));
      const codes = new Set([
        check(proof, index, size, leaves[index + 1]!),
        check(proof, index, size, leaf, mth(0, size + 1)),
        check([...proof, leaf]),
        check([leaf, ...proof]),
        ...proof.map((_, at) => check(proof.toSpliced(at, 1))),
        ...proof.map((hash, at) => check(proof.with(at, nodeHash(hash, hash)))),
        ...proof.slice(1).map((hash, at) => check(proof.with(at, hash).with(at + 1, proof[at]!))),
        // Another position is refused also where the number of hashes fits.
        ...Array.from({ length: size }, (_, other) => other)
          .filter((other) => other !== index)
          .map((other) => check(proof, other)),
      ]);
      if (codes.size !== 1 || !codes.has("PROOF_INVALID"))
        t.fail(`leaf ${index} of ${size}: ${[...codes]}`);
    }
  }
  t.equal(
    refusal(() => checkInclusion([], 1, 1, leaves[0]!, leaves[0]!)),
    "PROOF_RANGE",
  );
  t.equal(
    refusal(() => checkInclusion([], 0, 0, leaves[0]!, emptyRoot())),
    "PROOF_RANGE",
  );
  t.equal(
    refusal(() => checkInclusion([], 0.5, 1, leaves[0]!, leaves[0]!)),
    "PROOF_RANGE",
  );
  t.equal(
    refusal(() => checkInclusion([], 0, 1, leaves[0]!.subarray(1), leaves[0]!.subarray(1))),
    "PROOF_INVALID",
  );
  await t.rejects(proveInclusion(3, 3, reader), { code: "PROOF_RANGE" });
  await t.rejects(proveInclusion(-1, 3, reader), { code: "PROOF_RANGE" });
});

t.test("a consistency proof with anything changed is refused", async (t) => {
  for (let size2 = 1; size2 <= 40; size2++) {
    for (let size1 = 1; size1 <= size2; size1++) {
      const proof = await proveConsistency(size1, size2, reader);
      const root1 = mth(0, size1);
      const root2 = mth(0, size2);
      const check = (changed: readonly Uint8Array[], a = root1, b = root2) =>
        refusal(() => checkConsistency(changed, size1, a, size2, b));
      const codes = new Set([
        check(proof, leafHash(root1)),
        check(proof, root1, leafHash(root2)),
        check([...proof, root1]),
        ...proof.map((_, at) => check(proof.toSpliced(at, 1))),
        ...proof.map((hash, at) => check(proof.with(at, nodeHash(hash, hash)))),
      ]);
      if (codes.size !== 1 || !codes.has("PROOF_INVALID"))
        t.fail(`${size1} to ${size2}: ${[...codes]}`);
    }
  }
  t.pass();
});

t.test("nothing is proved from the empty tree, nor backwards", async (t) => {
  await t.rejects(proveConsistency(0, 5, reader), { code: "PROOF_RANGE" });
  await t.rejects(proveConsistency(6, 5, reader), { code: "PROOF_RANGE" });
  t.equal(
    refusal(() => checkConsistency([], 0, emptyRoot(), 5, mth(0, 5))),
    "PROOF_RANGE",
  );
  t.equal(
    refusal(() => checkConsistency([], 6, mth(0, 6), 5, mth(0, 5))),
    "PROOF_RANGE",
  );
});

t.test("proofs hold past 2^32 leaves", async (t) => {
  // A tree of equal leaves needs no memory: a complete subtree's hash depends on its level alone.
  const levels = [leaves[0]!];
  for (let level = 1; level <= 53; level++)
    levels.push(nodeHash(levels[level - 1]!, levels[level - 1]!));
  const uniform: HashReader = {
    readHashes: async (subtrees) => subtrees.map(({ level }) => levels[level]!),
  };
  const place = fc.tuple(fc.maxSafeNat(), fc.maxSafeNat()).filter(([a, b]) => a !== b);
  await fc.assert(
    fc.asyncProperty(place, async (pair) => {
      const [low, high] = [Math.min(...pair), Math.max(...pair)];
      const root = await treeRoot(high, uniform);
      const proof = await proveInclusion(low, high, uniform);
      checkInclusion(proof, low, high, levels[0]!, root);
      if (low > 0)
        checkConsistency(
          await proveConsistency(low, high, uniform),
          low,
          await treeRoot(low, uniform),
          high,
          root,
        );
    }),
    { numRuns: 300, examples: [[[2 ** 32, 2 ** 32 + 1]], [[2 ** 52, 2 ** 53 - 1]]] },
  );
  await t.rejects(treeRoot(2 ** 53, uniform), { code: "PROOF_RANGE" });
});

t.test("a subtree's hash is that of its leaves", async (t) => {
  const flat = Buffer.concat(leaves);
  for (let count = 1; count <= 256; count *= 2) {
    t.same(Buffer.from(subtreeHash(flat, 0, count)), Buffer.from(mth(0, count)), `${count}`);
  }
  t.same(Buffer.from(subtreeHash(flat, 32 * 32, 16)), Buffer.from(mth(32, 48)));
});

t.test("an entry too long for a bundle has no leaf hash", async (t) => {
  t.equal(leafHash(Buffer.alloc(65_535)).length, 32);
  t.throws(() => leafHash(Buffer.alloc(65_536)), { code: "PROOF_RANGE" });
  t.same(
    Buffer.from(leafHash(Buffer.from("0"))),
    Buffer.from(leaves[0]!),
    "a long entry leaves nothing behind",
  );
});
