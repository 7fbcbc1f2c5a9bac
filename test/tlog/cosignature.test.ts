import { createPrivateKey, createSecretKey, generateKeyPairSync, verify } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import {
  formatAddCheckpoint,
  openCosignature,
  parseTreeSize,
} from "../../src/tlog/add-checkpoint.ts";
import { formatCheckpoint, openCheckpoint, signCheckpoint } from "../../src/tlog/checkpoint.ts";
import { ed25519Message, mlDsa44Message } from "../../src/tlog/cosignature.ts";
import { createCosigner } from "../../src/tlog/cosigner.ts";
import { emptyRoot, leafHash } from "../../src/tlog/merkle.ts";
import {
  addSignatures,
  formatNote,
  parseNote,
  parseVerifierKey,
  signNote,
  verifyNote,
} from "../../src/tlog/note.ts";

const ORIGIN = "example.com/behind-the-sofa";
/** The example of tlog-cosignature. */
const TEXT = `${ORIGIN}\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n`;
const NOW = 1_679_315_147n;

const ed25519 = createPrivateKey({
  key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, 5)]),
  format: "der",
  type: "pkcs8",
});
const mlDsa44 = generateKeyPairSync("ml-dsa-44");
const now = (): bigint => NOW;
const witness = createCosigner({ name: "witness.example.com/w1", privateKey: ed25519, now });
const quantum = createCosigner({
  name: "witness.example.com/w2",
  privateKey: mlDsa44.privateKey,
  now,
});
const witnessKey = parseVerifierKey(witness.verifierKey);
const quantumKey = parseVerifierKey(quantum.verifierKey);

t.test("the Ed25519 message is that of the standard's example", async (t) => {
  t.equal(
    Buffer.from(ed25519Message(TEXT, NOW)).toString(),
    `cosignature/v1
time 1679315147
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
`,
  );
});

t.test("the ML-DSA-44 message is the structure of the standard, byte for byte", async (t) => {
  const expected = Buffer.concat([
    Buffer.from("subtree/v1\n\0", "latin1"),
    Buffer.of(22),
    Buffer.from("witness.example.com/w2"),
    Buffer.from("00000000641850cb", "hex"),
    Buffer.of(27),
    Buffer.from(ORIGIN),
    Buffer.alloc(8),
    Buffer.from("00000000013e2dc3", "hex"),
    Buffer.from("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "base64"),
  ]);
  t.same(Buffer.from(mlDsa44Message("witness.example.com/w2", TEXT, NOW)), expected);
  const [line] = parseNote(await signNote(TEXT, [quantum])).signatures;
  t.equal(line!.signature.length, 8 + 2_420);
  t.ok(verify(null, expected, mlDsa44.publicKey, line!.signature.subarray(8)));
  t.throws(() => mlDsa44Message("w", "no checkpoint\n", NOW), { code: "NOTE_INVALID" });
  t.throws(() => mlDsa44Message("w".repeat(256), TEXT, NOW), { code: "NOTE_INVALID" });
  t.throws(() => mlDsa44Message("w", TEXT.replace(ORIGIN, "é".repeat(128)), NOW), {
    code: "NOTE_INVALID",
  });
  t.equal(mlDsa44Message("w".repeat(255), TEXT, NOW).length, 12 + 256 + 8 + 28 + 8 + 8 + 32);
});

t.test("cosignatures verify with their time, and not when anything is changed", async (t) => {
  for (const [cosigner, key] of [
    [witness, witnessKey],
    [quantum, quantumKey],
  ] as const) {
    const note = parseNote(await signNote(TEXT, [cosigner]));
    t.match(verifyNote(note, [key]), [{ key, timestamp: NOW }]);
    const [line] = note.signatures;
    const changed = (at: number): string =>
      formatNote(TEXT, [
        { ...line!, signature: line!.signature.map((byte, i) => (i === at ? byte ^ 1 : byte)) },
      ]);
    for (const at of [0, 7, 8, 40, line!.signature.length - 1])
      t.throws(() => verifyNote(parseNote(changed(at)), [key]), { code: "NOTE_INVALID" });
    for (const signature of [
      line!.signature.subarray(0, -1),
      line!.signature.subarray(8),
      Buffer.concat([line!.signature, Buffer.of(0)]),
      Buffer.alloc(1),
    ])
      t.throws(() => verifyNote(parseNote(formatNote(TEXT, [{ ...line!, signature }])), [key]), {
        code: "NOTE_INVALID",
        message: /does not verify/,
      });
    const other = formatNote(TEXT.replace("20852163", "20852164"), note.signatures);
    t.throws(() => verifyNote(parseNote(other), [key]), { code: "NOTE_INVALID" });
  }
});

t.test("a time past 2^63 - 1 is refused, though it is signed", async (t) => {
  const at = async (timestamp: bigint) => {
    const cosigner = createCosigner({ name: "w", privateKey: ed25519, now: () => timestamp });
    return verifyNote(parseNote(await signNote(TEXT, [cosigner])), [
      parseVerifierKey(cosigner.verifierKey),
    ])[0]!.timestamp;
  };
  t.equal(await at(2n ** 63n - 1n), 2n ** 63n - 1n);
  t.equal(await at(0n), 0n);
  await t.rejects(at(2n ** 63n), { code: "NOTE_INVALID" });
});

t.test(
  "one key as log and as witness are two keys, and neither stands for the other",
  async (t) => {
    const cosigner = createCosigner({ name: ORIGIN, privateKey: ed25519, now });
    const key = parseVerifierKey(cosigner.verifierKey);
    t.equal(key.type, 4);
    const note = await signNote(TEXT, [cosigner]);
    t.throws(
      () => openCheckpoint(note, ORIGIN, [key]),
      { code: "NOTE_INVALID", message: /signatures by others alone/ },
      "a cosignature under the log's name is no signature of the log",
    );
  },
);

t.test("ML-DSA-44 signs a log's checkpoint, and says nothing of extension lines", async (t) => {
  const signer = createCosigner({ name: ORIGIN, privateKey: mlDsa44.privateKey, now });
  const keys = [parseVerifierKey(signer.verifierKey)];
  const root = leafHash(Buffer.from("a"));
  const note = await signCheckpoint({ origin: ORIGIN, size: 1, root }, [signer]);
  t.same(openCheckpoint(note, ORIGIN, keys).root, new Uint8Array(root));
  const extended = note.replace("\n\n", "\nsmuggled in\n\n");
  t.same(openCheckpoint(extended, ORIGIN, keys).extensions, []);
  t.equal(openCheckpoint(extended, ORIGIN, keys).size, 1);
});

t.test("a cosigner has a key of one of two types", async (t) => {
  for (const privateKey of [
    generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
    createSecretKey(Buffer.alloc(32)),
  ])
    t.throws(() => createCosigner({ name: "w", privateKey, now }), { code: "KEY_INVALID" });
});

t.test("a request to a witness is written as tlog-witness says", async (t) => {
  const note = await signNote(TEXT, [witness]);
  const hash = Buffer.from("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=", "base64");
  t.equal(formatAddCheckpoint(0, [], note), `old 0\n\n${note}`);
  t.equal(
    formatAddCheckpoint(20_852_014, [hash, hash], note),
    `old 20852014\n${hash.toString("base64")}\n${hash.toString("base64")}\n\n${note}`,
  );
});

t.test("a tree size is read to the letter", async (t) => {
  t.equal(parseTreeSize(Buffer.from("0\n")), 0);
  t.equal(parseTreeSize(Buffer.from("9007199254740991\n")), Number.MAX_SAFE_INTEGER);
  const wrong = [
    "",
    "\n",
    "5",
    "05\n",
    " 5\n",
    "5 \n",
    "5\n\n",
    "5\r\n",
    "-5\n",
    "5e1\n",
    "0x5\n",
    "٥\n",
    "9007199254740992\n",
    "99999999999999999999\n",
  ];
  for (const body of wrong) t.equal(parseTreeSize(Buffer.from(body)), null, JSON.stringify(body));
});

t.test("no answer of a witness makes the parsers fail in another way", async (t) => {
  const note = await signNote(formatCheckpoint({ origin: ORIGIN, size: 0, root: emptyRoot() }), [
    witness,
  ]);
  const good = note.slice(note.lastIndexOf("\n\n") + 2);
  const outcome = (body: Uint8Array): string => {
    parseTreeSize(body);
    try {
      openCosignature(note, body, witnessKey);
      return "accepted";
    } catch (error) {
      return String((error as { code?: string }).code);
    }
  };
  t.equal(outcome(Buffer.from(good)), "accepted");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (body) => outcome(body) === "NOTE_INVALID"),
  );
  const bytes = Buffer.from(good);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(bytes);
      changed[at]! ^= change;
      return outcome(changed) === "NOTE_INVALID";
    }),
    { numRuns: 500 },
  );
  t.equal(outcome(Buffer.from(`text\n\n${good}`)), "NOTE_INVALID", "a text of its own");
  t.equal(outcome(Buffer.from(`\n${good}`)), "NOTE_INVALID", "a blank line");
});

t.test("what a witness adds leaves the log's note as it was", async (t) => {
  const note = await signNote(TEXT, [quantum]);
  const { signatures } = parseNote(await signNote(TEXT, [witness]));
  const both = addSignatures(note, signatures);
  t.ok(both.startsWith(note));
  t.equal(verifyNote(parseNote(both), [witnessKey, quantumKey]).length, 2);
});
