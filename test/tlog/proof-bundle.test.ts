import fc from "fast-check";
import t from "tap";
import {
  formatProofBundle,
  isProofBundle,
  MAX_BUNDLE_BYTES,
  MAX_BUNDLE_RECORDS,
  parseProofBundle,
  type ProofBundle,
} from "../../src/tlog/proof-bundle.ts";

const CHECKPOINT = "example.org/log\n9\nAA==\n\n— example.org/log AAAAAA==\n";
const textOf = (bundle: ProofBundle): string => [...formatProofBundle(bundle)].join("");
const parse = (text: string | Uint8Array): ProofBundle => parseProofBundle(Buffer.from(text));
const hash = (byte: number): Uint8Array => Buffer.alloc(32, byte);

const bundle: ProofBundle = {
  records: [
    { index: 3, extra: Buffer.from("row") },
    { index: 8, extra: Buffer.from("rows") },
  ],
  hashes: [hash(1), hash(2)],
  checkpoint: CHECKPOINT,
};
const TEXT = `meshproof/proof-bundle@v1
extra cm93
index 3
extra cm93cw==
index 8
AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=

${CHECKPOINT}`;

t.test("a bundle is written as docs/proofs.md says, and reads back", async (t) => {
  t.equal(textOf(bundle), TEXT);
  t.same(textOf(parse(TEXT)), TEXT);
  t.same(
    parse(TEXT).records.map(({ index }) => index),
    [3, 8],
  );
  t.equal(parse(TEXT).checkpoint, CHECKPOINT);
  t.equal(isProofBundle(Buffer.from(TEXT)), true);
  t.equal(isProofBundle(Buffer.from("c2sp.org/tlog-proof@v1\n")), false);
  t.equal(isProofBundle(Buffer.alloc(0)), false);
});

t.test("every bundle reads back as it was written", async () => {
  const record = fc.record({ index: fc.maxSafeNat(), extra: fc.uint8Array({ maxLength: 60 }) });
  const any = fc.record({
    records: fc
      .uniqueArray(record, { minLength: 1, maxLength: 8, selector: ({ index }) => index })
      .map((records) => records.toSorted((a, b) => a.index - b.index)),
    hashes: fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 6 }),
    checkpoint: fc.constantFrom(CHECKPOINT, "", "any text\n"),
  });
  fc.assert(
    fc.property(any, (value) => {
      const text = textOf(value);
      const read = parse(text);
      return (
        textOf(read) === text &&
        read.records.every(
          ({ index, extra }, i) =>
            index === value.records[i]!.index &&
            Buffer.compare(extra, value.records[i]!.extra) === 0,
        )
      );
    }),
  );
});

t.test("a bundle has one spelling", async (t) => {
  const cases: Record<string, (text: string) => string> = {
    "another header": (text) => text.replace("@v1", "@v2"),
    "a header with a carriage return": (text) => text.replace("@v1", "@v1\r"),
    "a single proof": (text) => text.replace("meshproof/proof-bundle", "c2sp.org/tlog-proof"),
    "no record": (text) => text.replace(/extra[^]*index 8\n/, ""),
    "a record without a row": (text) => text.replace("extra cm93\n", ""),
    "a row without an index": (text) => text.replace("index 3\n", ""),
    "two rows for one index": (text) => text.replace("index 3", "extra cm93"),
    "an index with a leading zero": (text) => text.replace("index 3", "index 03"),
    "a negative index": (text) => text.replace("index 3", "index -3"),
    "an index past 2^53": (text) => text.replace("index 8", "index 9007199254740992"),
    "indexes that do not ascend": (text) => text.replace("index 3", "index 9"),
    "an index twice": (text) => text.replace("index 3", "index 8"),
    "base64 without padding": (text) => text.replace("cm93cw==", "cm93cw"),
    "base64 with bits behind its end": (text) => text.replace("cm93cw==", "cm93cx=="),
    "base64 with a blank": (text) => text.replace("cm93\n", "cm9 3\n"),
    "a short hash": (text) => text.replace(/AQEB/, ""),
    "a long hash": (text) => text.replace(/AQEB/, "AQEBAQEB"),
    "a hash in non-canonical base64": (text) => text.replace(/E=\n/, "F=\n"),
    "a record behind the hashes": (text) => text.replace("\n\n", "\nextra cm93\nindex 9\n\n"),
    "no checkpoint": (text) => text.slice(0, text.indexOf("\n\n")),
    "a cut line": (text) => text.slice(0, 40),
    "the header alone": () => "meshproof/proof-bundle@v1\n",
    nothing: () => "",
  };
  for (const [what, change] of Object.entries(cases)) {
    t.not(change(TEXT), TEXT, `${what} is a change`);
    t.throws(() => parse(change(TEXT)), { code: "PROOF_INVALID" }, what);
  }
  t.throws(() => parse(Buffer.concat([Buffer.from(TEXT), Buffer.of(0xff)])), {
    code: "PROOF_INVALID",
  });
});

t.test("no bytes make the decoder do anything but answer", async () => {
  const start = Buffer.from("meshproof/proof-bundle@v1\n");
  const piece = fc.constantFrom("extra ", "index ", "AA==", "7", "\n", "\n\n", "é", TEXT);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 100 }),
        fc.array(piece, { maxLength: 12 }).map((pieces) => Buffer.from(pieces.join(""))),
      ),
      (rest) => {
        try {
          return textOf(parse(Buffer.concat([start, rest]))).length > 0;
        } catch (error) {
          return (error as { code?: string }).code === "PROOF_INVALID";
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

t.test("records and bytes are bounded", async (t) => {
  const many = Array.from({ length: MAX_BUNDLE_RECORDS + 1 }, (_, i) => `extra AA==\nindex ${i}\n`);
  const of = (records: readonly string[]): string =>
    `meshproof/proof-bundle@v1\n${records.join("")}\n${CHECKPOINT}`;
  t.equal(parse(of(many.slice(0, -1))).records.length, MAX_BUNDLE_RECORDS);
  t.throws(() => parse(of(many)), { code: "PROOF_INVALID", message: /at most 100000 records/ });
  t.throws(() => parseProofBundle(new Uint8Array(MAX_BUNDLE_BYTES + 1)), {
    code: "PROOF_INVALID",
    message: /at most 268435456 bytes/,
  });
});
