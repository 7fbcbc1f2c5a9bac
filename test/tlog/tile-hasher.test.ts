import { createHash, randomBytes } from "node:crypto";
import t from "tap";
import { CONSTANTS, INITIAL } from "../../src/tlog/lanes-code.ts";
import {
  BUNDLED_ENTRY_LENGTH,
  leafHashes,
  subtrees,
  tileRoot,
} from "../../src/tlog/tile-hasher.ts";

const sha256 = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** RFC 6962, section 2.1, for 2^k hashes. */
const rootOf = (hashes: readonly Uint8Array[]): Uint8Array =>
  hashes.length === 1
    ? hashes[0]!
    : sha256(
        Buffer.of(1),
        rootOf(hashes.slice(0, hashes.length / 2)),
        rootOf(hashes.slice(hashes.length / 2)),
      );

t.test("leaf hashes of 0 to 256 entries are those of node:crypto", async (t) => {
  for (let count = 0; count <= 256; count++) {
    const bundle = randomBytes(count * BUNDLED_ENTRY_LENGTH);
    const expected = Array.from({ length: count }, (_, i) =>
      sha256(
        Buffer.of(0),
        bundle.subarray(i * BUNDLED_ENTRY_LENGTH + 2, (i + 1) * BUNDLED_ENTRY_LENGTH),
      ),
    );
    if (!Buffer.concat(expected).equals(leafHashes(bundle))) t.fail(`${count} entries`);
  }
});

t.test(
  "subtrees of tiles of 0 to 256 hashes are those of node:crypto, the largest first",
  async (t) => {
    for (let width = 0; width <= 256; width++) {
      const hashes = Array.from({ length: width }, () => randomBytes(32));
      const expected: Uint8Array[] = [];
      for (let bit = 8, from = 0; bit >= 0; bit--) {
        if (((width >> bit) & 1) === 0) continue;
        expected.push(rootOf(hashes.slice(from, from + (1 << bit))));
        from += 1 << bit;
      }
      const tile = Buffer.concat(hashes);
      if (!Buffer.concat(expected).equals(Buffer.concat(subtrees(tile)))) t.fail(`width ${width}`);
      if (width === 256) t.same(Buffer.from(tileRoot(tile)), expected[0]);
    }
  },
);

t.test("what does not fit is a mistake of the caller", async (t) => {
  t.throws(() => leafHashes(new Uint8Array(257 * BUNDLED_ENTRY_LENGTH)));
  t.throws(() => leafHashes(new Uint8Array(BUNDLED_ENTRY_LENGTH + 1)));
  t.throws(() => subtrees(new Uint8Array(257 * 32)));
  t.throws(() => subtrees(new Uint8Array(33)));
  t.throws(() => tileRoot(new Uint8Array(255 * 32)));
});

t.test("the constants are those of FIPS 180-4", async (t) => {
  t.same(
    INITIAL,
    [
      0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
      0x5be0cd19,
    ],
  );
  t.equal(CONSTANTS[0], 0x428a2f98);
  t.equal(CONSTANTS[63], 0xc67178f2);
});
