import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import {
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
} from "../../src/tlog/checkpoint.ts";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { emptyRoot, leafHash } from "../../src/tlog/merkle.ts";
import {
  type NoteSigner,
  type VerifierKey,
  addSignatures,
  formatNote,
  formatVerifierKey,
  isKeyName,
  keyId,
  parseNote,
  parseVerifierKey,
  signNote,
  verifyNote,
} from "../../src/tlog/note.ts";

/** The PKCS#8 DER in front of an Ed25519 seed (RFC 8410, section 7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** A signer whose key is the seed, with what verifies it. */
function signerOf(name: string, seed: Buffer): NoteSigner & { readonly key: VerifierKey } {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, seed]),
    format: "der",
    type: "pkcs8",
  });
  const publicKey = Buffer.from(
    createPublicKey(privateKey).export({ format: "jwk" }).x!,
    "base64url",
  );
  const key = { name, type: 1, publicKey, keyId: keyId(name, 1, publicKey) };
  return { name, keyId: key.keyId, key, sign: async (message) => sign(null, message, privateKey) };
}

const alice = signerOf("example.org/alice", Buffer.alloc(32, 1));
const bob = signerOf("example.org/bob", Buffer.alloc(32, 2));

const SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE = `This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
`;

t.test("the example of C2SP signed-note verifies, and not with a letter changed", async (t) => {
  const key = parseVerifierKey(SPEC_KEY);
  t.equal(formatVerifierKey(key), SPEC_KEY);
  const note = parseNote(SPEC_NOTE);
  t.equal(note.text, "This is an example message.\n");
  t.equal(verifyNote(note, [key]).length, 1);
  t.equal(formatNote(note.text, note.signatures), SPEC_NOTE);
  t.same(parseNote(Buffer.from(SPEC_NOTE)), note);
  t.throws(() => verifyNote(parseNote(SPEC_NOTE.replace("This", "That")), [key]), {
    code: "NOTE_INVALID",
  });
});

t.test("the golden log of Tessera comes out byte for byte", async (t) => {
  // The test key, entries and checkpoints that transparency-dev/tessera publishes in testdata/.
  const PRIVATE = "eymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg=";
  const log = signerOf(
    "example.com/log/testdata",
    Buffer.from(`A${PRIVATE}`, "base64").subarray(1),
  );
  t.equal(
    formatVerifierKey(log.key),
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
  );
  const words =
    "one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split(
      " ",
    );
  const checkpoints = new Map([
    [
      7,
      `example.com/log/testdata
7
IrSXADBqJ7EQoUODSDKROySgNveeL6CFhik2w/+fS7U=

— example.com/log/testdata M9e0luA5JhTRUki/BBQD0QNiH6AEJ2pdtsA5CQjqJErViuuKrN6513RCTL2640wXJv0dCed3neRGI6dMzBq9uANf2Qc=
`,
    ],
    [
      15,
      `example.com/log/testdata
15
rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=

— example.com/log/testdata M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=
`,
    ],
  ]);
  const builder = new TreeBuilder(() => {});
  for (const word of words) {
    builder.append(Buffer.from(leafHash(Buffer.from(word))), 0);
    const golden = checkpoints.get(builder.size);
    if (golden === undefined) continue;
    const text = formatCheckpoint({ origin: log.name, size: builder.size, root: builder.root() });
    t.equal(await signNote(text, [log]), golden);
    t.equal(openCheckpoint(golden, log.name, [log.key]).size, builder.size);
  }
});

t.test("signatures of unknown keys are passed over, wherever they stand", async (t) => {
  const note = await signNote("text\n", [bob, alice]);
  t.same(
    verifyNote(parseNote(note), [alice.key]).map(({ name }) => name),
    [alice.name],
  );
  t.equal(verifyNote(parseNote(note), [alice.key, bob.key]).length, 2);
  // The same name under another ID and the same ID under another name are other keys.
  const strange = formatNote("text\n", [
    { name: alice.name, keyId: 7, signature: Buffer.alloc(64) },
    { name: "example.org/carol", keyId: alice.keyId, signature: Buffer.alloc(64) },
    { name: "example.org/quantum", keyId: 9, signature: Buffer.alloc(2_428) },
    ...parseNote(note).signatures,
  ]);
  t.equal(verifyNote(parseNote(strange), [alice.key]).length, 1);
  t.throws(() => verifyNote(parseNote(note), [parseVerifierKey(SPEC_KEY)]), {
    code: "NOTE_INVALID",
    message: /expected a signature by example\.com\/foo\+530d903a/,
  });
  t.throws(() => verifyNote(parseNote(note), []), { code: "NOTE_INVALID" });
});

t.test("one bad signature of a known key condemns the note", async (t) => {
  const [good] = parseNote(await signNote("text\n", [alice])).signatures;
  const [other] = parseNote(await signNote("other text\n", [bob])).signatures;
  const check =
    (...signatures: (typeof good)[]) =>
    () =>
      verifyNote(
        parseNote(
          formatNote(
            "text\n",
            signatures.map((signature) => signature!),
          ),
        ),
        [alice.key, bob.key],
      );
  t.equal(check(good)().length, 1);
  t.throws(check(good, other), { code: "NOTE_INVALID", message: /bob.*does not verify/ });
  t.throws(check(other, good), { code: "NOTE_INVALID" });
  const flipped = {
    ...good!,
    signature: good!.signature.map((byte, i) => (i === 5 ? byte ^ 1 : byte)),
  };
  t.throws(
    check(good, flipped),
    { code: "NOTE_INVALID" },
    "also behind a good one of the same key",
  );
  t.throws(check({ ...good!, signature: good!.signature.subarray(1) }), { code: "NOTE_INVALID" });
  t.equal(check(good, good)().length, 1, "a key counts once");
});

t.test("a note carries at least sixteen signatures, and not without bound", async (t) => {
  const witnesses = Array.from({ length: 100 }, (_, i) =>
    signerOf(`example.org/w${i}`, Buffer.alloc(32, i)),
  );
  const note = await signNote("text\n", witnesses);
  t.equal(
    verifyNote(
      parseNote(note),
      witnesses.map(({ key }) => key),
    ).length,
    100,
  );
  t.throws(() => parseNote(`${note}— x/y ${Buffer.alloc(68).toString("base64")}\n`), {
    code: "NOTE_INVALID",
  });
  t.throws(() => parseNote(`${"x".repeat(1_000_000)}\n${SPEC_NOTE}`), { code: "NOTE_INVALID" });
});

t.test("the text ends at the last blank line", async (t) => {
  const text = "one\n\n— not a signature\n\n\ntwo\n";
  const note = parseNote(await signNote(text, [alice]));
  t.equal(note.text, text);
  t.equal(verifyNote(note, [alice.key]).length, 1);
});

t.test("what is not a signed note to the letter is refused", async (t) => {
  const line = SPEC_NOTE.split("\n")[2]!;
  const base64 = line.split(" ")[2]!;
  const wrong: Record<string, string | Uint8Array> = {
    empty: "",
    "no signature": "text\n\n",
    "no blank line": `text\n${line}\n`,
    "no final newline": SPEC_NOTE.slice(0, -1),
    "carriage returns": SPEC_NOTE.replaceAll("\n", "\r\n"),
    "a control character in the text": SPEC_NOTE.replace("example", "ex\u0000mple"),
    "a control character in a name": SPEC_NOTE.replace("com/foo", "com/\u001ffoo"),
    "a tab": SPEC_NOTE.replace("example message", "example\tmessage"),
    "invalid UTF-8": Buffer.from(SPEC_NOTE.replace("This", "\u00ff"), "latin1"),
    "a lone surrogate": SPEC_NOTE.replace("This", "\ud800"),
    "a hyphen for the dash": SPEC_NOTE.replace("—", "-"),
    "two spaces": SPEC_NOTE.replace("foo ", "foo  "),
    "a no-break space in the name": SPEC_NOTE.replace("com/foo", "com/\u00a0foo"),
    "a plus in the name": SPEC_NOTE.replace("com/foo", "com/f+o"),
    "no name": `text\n\n—  ${base64}\n`,
    "no base64": "text\n\n— example.com/foo\n",
    "URL base64": SPEC_NOTE.replace(
      base64,
      base64.replaceAll("+", "-").replaceAll("/", "_").slice(0, -4) + "_-_=",
    ),
    "no padding": SPEC_NOTE.replace("aQM=", "aQM"),
    "padding bits that are not zero": SPEC_NOTE.replace("aQM=", "aQN="),
    "a key ID alone": "text\n\n— example.com/foo Uw2QOg==\n",
    "a third field": SPEC_NOTE.replace("aQM=", "aQM= x"),
    "another line among the signatures": `${SPEC_NOTE}x\n`,
  };
  for (const [name, note] of Object.entries(wrong))
    t.throws(() => parseNote(note), { code: "NOTE_INVALID" }, name);
  await t.rejects(signNote("no newline", [alice]), { code: "NOTE_INVALID" });
  await t.rejects(signNote("a\u0007\n", [alice]), { code: "NOTE_INVALID" });
});

t.test(
  "no bytes make the note parser fail in another way, and none changed verifies",
  async (t) => {
    const original = Buffer.from(
      await signNote(formatCheckpoint({ origin: alice.name, size: 5, root: emptyRoot() }), [alice]),
    );
    const outcome = (bytes: Uint8Array): string => {
      try {
        openCheckpoint(bytes, alice.name, [alice.key]);
        return "accepted";
      } catch (error) {
        return String((error as { code?: string }).code);
      }
    };
    t.equal(outcome(original), "accepted");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => outcome(bytes) === "NOTE_INVALID"),
    );
    fc.assert(
      fc.property(fc.nat(original.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(original);
        bytes[at]! ^= change;
        return outcome(bytes) === "NOTE_INVALID";
      }),
      { numRuns: 1_000 },
    );
    for (let length = 0; length < original.length; length++)
      t.equal(outcome(original.subarray(0, length)), "NOTE_INVALID");
  },
);

t.test("a verifier key is read to the letter", async (t) => {
  const wrong: Record<string, string> = {
    empty: "",
    "no name": SPEC_KEY.slice("example.com/foo".length),
    "a space in the name": SPEC_KEY.replace("com/", "com /"),
    "upper-case ID": "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    "short ID": SPEC_KEY.replace("530d903a", "530d903"),
    "the ID of another key": SPEC_KEY.replace("530d903a", "530d903b"),
    "another name": SPEC_KEY.replace("foo", "bar"),
    "a short key": "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4",
    "no key": "example.com/foo+530d903a+AQ==",
    "not canonical": `${SPEC_KEY} `,
    "a line behind": `${SPEC_KEY}\n`,
  };
  for (const [name, text] of Object.entries(wrong))
    t.throws(() => parseVerifierKey(text), { code: "KEY_INVALID" }, name);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (publicKey) => {
      const key = { name: "a/b", type: 1, publicKey, keyId: keyId("a/b", 1, publicKey) };
      return formatVerifierKey(parseVerifierKey(formatVerifierKey(key))) === formatVerifierKey(key);
    }),
  );
});

t.test("keys of other signature types parse, and their signatures are passed over", async (t) => {
  const publicKey = alice.key.publicKey;
  const treeHead = parseVerifierKey(
    formatVerifierKey({
      name: alice.name,
      type: 5,
      publicKey,
      keyId: keyId(alice.name, 5, publicKey),
    }),
  );
  t.equal(treeHead.type, 5);
  t.equal(
    treeHead.keyId,
    createHash("sha256")
      .update(`${alice.name}\n`)
      .update(Buffer.of(5))
      .update(publicKey)
      .digest()
      .readUInt32BE(0),
  );
  const note = parseNote(
    formatNote("text\n", [
      { name: alice.name, keyId: treeHead.keyId, signature: Buffer.alloc(72) },
    ]),
  );
  t.throws(() => verifyNote(note, [treeHead]), {
    code: "NOTE_INVALID",
    message: /expected a signature by/,
  });
  t.throws(() => parseVerifierKey(`x/y+00000000+${Buffer.alloc(33, 4).toString("base64")}`), {
    code: "KEY_INVALID",
  });
  for (const [type, length] of [
    [4, 31],
    [6, 32],
    [6, 1_311],
    [6, 1_313],
  ] as const) {
    const publicKey = Buffer.alloc(length, type);
    const key = { name: "x/y", type, publicKey, keyId: keyId("x/y", type, publicKey) };
    t.throws(() => parseVerifierKey(formatVerifierKey(key)), {
      code: "KEY_INVALID",
      message: new RegExp(`a key of ${type === 6 ? 1_312 : 32} bytes.*got ${length}`),
    });
  }
  t.equal(
    parseVerifierKey(`x/y+00000000+${Buffer.alloc(92, 2).toString("base64")}`).type,
    2,
    "the ID of an ECDSA key is made otherwise",
  );
});

t.test("a key name has no space, no plus and no control character", async (t) => {
  for (const name of ["example.com/log", "x", "日志.example/1"]) t.ok(isKeyName(name), name);
  for (const name of ["", "a b", "a+b", "a\u2003b", "a\u0000b", "a\nb", "\ud800"])
    t.notOk(isKeyName(name), JSON.stringify(name));
});

t.test("a checkpoint is read to the letter", async (t) => {
  const root = Buffer.from(emptyRoot()).toString("base64");
  t.same(parseCheckpoint(`a/b\n0\n${root}\n`), {
    origin: "a/b",
    size: 0,
    root: new Uint8Array(emptyRoot()),
    extensions: [],
  });
  t.same(parseCheckpoint(`a b+c\n20852163\n${root}\nx\ny\n`).extensions, ["x", "y"]);
  t.equal(
    parseCheckpoint(`a\n${Number.MAX_SAFE_INTEGER}\n${root}\n`).size,
    Number.MAX_SAFE_INTEGER,
  );
  const wrong = [
    "",
    "\n",
    `a\n5\n`,
    `a\n5\n${root}`,
    `\n5\n${root}\n`,
    `a\n\n${root}\n`,
    `a\n05\n${root}\n`,
    `a\n-5\n${root}\n`,
    `a\n+5\n${root}\n`,
    `a\n5 \n${root}\n`,
    `a\n0x5\n${root}\n`,
    `a\n5e3\n${root}\n`,
    `a\n9007199254740992\n${root}\n`,
    `a\n18446744073709551615\n${root}\n`,
    `a\n5\n${root.slice(0, -1)}\n`,
    `a\n5\n${root.replace("=", "A")}\n`,
    `a\n5\n${root.replace("FU=", "FV=")}\n`,
    `a\n5\n\n${root}\n`,
    `a\n5\n${root}\n\n`,
    `a\n5\n${root}\n\nx\n`,
    `a\n5\n${Buffer.alloc(31).toString("base64")}\n`,
    `a\n5\n${Buffer.alloc(33).toString("base64")}\n`,
  ];
  for (const text of wrong)
    t.throws(() => parseCheckpoint(text), { code: "NOTE_INVALID" }, JSON.stringify(text));
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.uint8Array({ minLength: 32, maxLength: 32 }), (size, hash) => {
      t.same(parseCheckpoint(formatCheckpoint({ origin: "a/b", size, root: hash })), {
        origin: "a/b",
        size,
        root: hash,
        extensions: [],
      });
    }),
  );
});

t.test("a checkpoint counts only under its own origin and signed by its own key", async (t) => {
  const text = formatCheckpoint({ origin: alice.name, size: 1, root: emptyRoot() });
  const own = await signNote(text, [alice]);
  const foreign = await signNote(text, [bob]);
  t.equal(openCheckpoint(own, alice.name, [alice.key, bob.key]).size, 1);
  t.throws(() => openCheckpoint(own, bob.name, [alice.key, bob.key]), {
    code: "NOTE_INVALID",
    message: /expected the origin/,
  });
  t.throws(
    () => openCheckpoint(foreign, alice.name, [alice.key, bob.key]),
    { code: "NOTE_INVALID" },
    "a witness alone is not the log",
  );
});

t.test("the examples of golang.org/x/mod/sumdb/note verify and sign alike", async (t) => {
  const text =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
  const note = `${text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;
  const peter = signerOf(
    "PeterNeumann",
    Buffer.from("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz", "base64").subarray(1),
  );
  t.equal(
    formatVerifierKey(peter.key),
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
  );
  t.equal(await signNote(text, [peter]), note);
  t.equal(verifyNote(parseNote(note), [peter.key]).length, 1);
});

t.test(
  "the examples of C2SP in UTF-8 and with several signers read back as they stand",
  async (t) => {
    const poem = `Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
`;
    const cosigned = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
`;
    for (const text of [poem, cosigned]) {
      const note = parseNote(text);
      t.equal(formatNote(note.text, note.signatures), text);
    }
    t.match(parseCheckpoint(parseNote(cosigned).text), {
      origin: "example.com/behind-the-sofa",
      size: 20_852_163,
    });
    t.equal(parseNote(cosigned).signatures[1]!.signature.length, 72);
  },
);

t.test("signatures are added behind, and one of the same key in its place", async (t) => {
  const [first] = parseNote(await signNote("text\n", [bob])).signatures;
  const note = await signNote("text\n", [alice]);
  const both = addSignatures(note, [first!]);
  t.equal(both, await signNote("text\n", [alice, bob]));
  t.equal(verifyNote(parseNote(both), [alice.key, bob.key]).length, 2);
  t.equal(addSignatures(both, [first!]), both);
  t.equal(addSignatures(note, []), note);
  t.throws(() => addSignatures("text\n", [first!]), { code: "NOTE_INVALID" });
});

t.test(
  "while a key is rotated, whoever knows the old one or the new one opens the checkpoint",
  async (t) => {
    const withKey = (seed: number) => {
      const signer = signerOf("example.org/log", Buffer.alloc(32, seed));
      return { ...signer, verifierKey: formatVerifierKey(signer.key) };
    };
    const [before, after] = [withKey(3), withKey(4)];
    const checkpoint = { origin: "example.org/log", size: 1, root: emptyRoot() };
    const note = await signCheckpoint(checkpoint, [before, after]);
    t.equal(parseNote(note).signatures.length, 2);
    for (const keys of [[before.key], [after.key], [before.key, after.key]])
      t.equal(openCheckpoint(note, "example.org/log", keys).size, 1);
    const flipped = note.replace(/.{8}\n$/, "AAAAAAA=\n");
    t.equal(openCheckpoint(flipped, "example.org/log", [before.key]).size, 1);
    t.throws(() => openCheckpoint(flipped, "example.org/log", [before.key, after.key]), {
      code: "NOTE_INVALID",
    });
    await t.rejects(
      signCheckpoint(checkpoint, [before, { ...after, sign: before.sign }]),
      { code: "KEY_INVALID" },
      "a signer that signs with another key than it says",
    );
  },
);
