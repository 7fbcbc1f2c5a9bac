import { generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { formatCheckpoint } from "../../src/tlog/checkpoint.ts";
import { leafHash, nodeHash } from "../../src/tlog/merkle.ts";
import { keyId, signNote } from "../../src/tlog/note.ts";
import { type LogProof, checkProof, formatProof, parseProof } from "../../src/tlog/proof.ts";

const ORIGIN = "example.org/log";
const pair = generateKeyPairSync("ed25519");
const publicKey = Buffer.from(pair.publicKey.export({ format: "jwk" }).x!, "base64url");
const key = { name: ORIGIN, type: 1, publicKey, keyId: keyId(ORIGIN, 1, publicKey) };
const signer = {
  ...key,
  sign: async (message: Uint8Array) => sign(null, message, pair.privateKey),
};

const leaves = ["a", "b", "c"].map((text) => leafHash(Buffer.from(text)));
const builder = new TreeBuilder(() => {});
for (const leaf of leaves) builder.append(Buffer.from(leaf), 0);
const checkpoint = await signNote(
  formatCheckpoint({ origin: ORIGIN, size: 3, root: builder.root() }),
  [signer],
);
const proof: LogProof = {
  index: 1,
  hashes: [leaves[0]!, leaves[2]!],
  checkpoint,
  extra: Buffer.from("row"),
};

t.test("a proof is written as C2SP tlog-proof says", async (t) => {
  const base64 = (hash: Uint8Array): string => Buffer.from(hash).toString("base64");
  t.equal(
    formatProof(proof),
    `c2sp.org/tlog-proof@v1\nextra cm93\nindex 1\n${base64(leaves[0]!)}\n${base64(leaves[2]!)}\n\n${checkpoint}`,
  );
  t.equal(
    formatProof({ ...proof, extra: null, hashes: [], index: 0 }),
    `c2sp.org/tlog-proof@v1\nindex 0\n\n${checkpoint}`,
  );
});

t.test("every proof reads back as it was written", async () => {
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const any = fc.record({
    index: fc.maxSafeNat(),
    hashes: fc.array(hash, { maxLength: 63 }),
    extra: fc.option(fc.uint8Array({ maxLength: 100 })),
    checkpoint: fc.constant(checkpoint),
  });
  fc.assert(
    fc.property(any, (value) => {
      const read = parseProof(formatProof(value));
      return (
        formatProof(read) === formatProof(value) &&
        read.index === value.index &&
        read.hashes.length === value.hashes.length &&
        (read.extra === null) === (value.extra === null)
      );
    }),
  );
});

t.test("a proof checks for its own leaf, key and origin alone", async (t) => {
  t.equal(checkProof(parseProof(formatProof(proof)), leaves[1]!, ORIGIN, [key]).size, 3);
  t.equal(
    checkProof({ ...proof, extra: null }, leaves[1]!, ORIGIN, [key]).size,
    3,
    "extra is not part of what is proved",
  );
  t.throws(() => checkProof(proof, leaves[0]!, ORIGIN, [key]), { code: "PROOF_INVALID" });
  t.throws(() => checkProof({ ...proof, index: 0 }, leaves[1]!, ORIGIN, [key]), {
    code: "PROOF_INVALID",
  });
  t.throws(() => checkProof({ ...proof, index: 3 }, leaves[1]!, ORIGIN, [key]), {
    code: "PROOF_RANGE",
  });
  t.throws(
    () => checkProof({ ...proof, hashes: proof.hashes.toReversed() }, leaves[1]!, ORIGIN, [key]),
    { code: "PROOF_INVALID" },
  );
  t.throws(
    () =>
      checkProof({ ...proof, hashes: [nodeHash(leaves[0]!, leaves[2]!)] }, leaves[1]!, ORIGIN, [
        key,
      ]),
    { code: "PROOF_INVALID" },
  );
  t.throws(() => checkProof(proof, leaves[1]!, "example.org/other", [key]), {
    code: "NOTE_INVALID",
  });
  t.throws(() => checkProof(proof, leaves[1]!, ORIGIN, []), { code: "NOTE_INVALID" });
  t.throws(
    () =>
      checkProof(
        { ...proof, checkpoint: checkpoint.replace("\n3\n", "\n4\n") },
        leaves[1]!,
        ORIGIN,
        [key],
      ),
    { code: "NOTE_INVALID" },
  );
});

t.test("what is not a proof to the letter is refused", async (t) => {
  const text = formatProof(proof);
  const hash = Buffer.from(leaves[0]!).toString("base64");
  const wrong: Record<string, string> = {
    empty: "",
    "another version": text.replace("@v1", "@v2"),
    "no checkpoint": text.slice(0, text.indexOf("\n\n") + 1),
    "carriage returns": text.replaceAll("\n", "\r\n"),
    "a blank line in front": `\n${text}`,
    "extra behind index": text.replace("extra cm93\nindex 1\n", "index 1\nextra cm93\n"),
    "extra twice": text.replace("extra cm93\n", "extra cm93\nextra cm93\n"),
    "extra without padding": text.replace("extra cm93", "extra cm9"),
    "extra that is not canonical": text.replace("extra cm93", "extra cm9=="),
    "padding bits that are not zero": text.replace("extra cm93", "extra cn=="),
    "no index": text.replace("index 1\n", ""),
    "a leading zero": text.replace("index 1", "index 01"),
    "a negative index": text.replace("index 1", "index -1"),
    "an index past 2^53": text.replace("index 1", "index 9007199254740992"),
    "an index in hex": text.replace("index 1", "index 0x1"),
    "a space behind": text.replace("index 1", "index 1 "),
    "a short hash": text.replace(hash, Buffer.alloc(31).toString("base64")),
    "a hash that is not canonical": text.replace(
      hash,
      hash.replace(/.=$/, (end) =>
        end === "A=" ? "B=" : `${String.fromCharCode(end.charCodeAt(0) + 1)}=`,
      ),
    ),
    "a space before a hash": text.replace(hash, ` ${hash}`),
    "64 hashes": text.replace(hash, Array.from({ length: 63 }, () => hash).join("\n")),
  };
  for (const [name, changed] of Object.entries(wrong))
    t.throws(() => parseProof(changed), { code: "PROOF_INVALID" }, name);
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), (any) => {
      try {
        parseProof(any);
        return false;
      } catch (error) {
        return (error as { code?: string }).code === "PROOF_INVALID";
      }
    }),
  );
});
