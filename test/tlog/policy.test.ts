import { readFileSync } from "node:fs";
import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { formatCheckpoint } from "../../src/tlog/checkpoint.ts";
import { createCosigner } from "../../src/tlog/cosigner.ts";
import { emptyRoot, leafHash } from "../../src/tlog/merkle.ts";
import {
  formatVerifierKey,
  keyId,
  parseNote,
  parseVerifierKey,
  signNote,
} from "../../src/tlog/note.ts";
import { type PolicyGroup, isMet, openWitnessed } from "../../src/tlog/policy.ts";
import { parsePolicy } from "../../src/tlog/policy-file.ts";
import { checkWitnessedProof, formatProof, parseProof } from "../../src/tlog/proof.ts";

function privateKeyOf(seed: number) {
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  return createPrivateKey({
    key: Buffer.concat([prefix, Buffer.alloc(32, seed)]),
    format: "der",
    type: "pkcs8",
  });
}

const cosigner = (name: string, seed: number) =>
  createCosigner({ name, privateKey: privateKeyOf(seed), now: () => 1_700_000_000n });

function logOf(name: string, seed: number) {
  const { publicKey } = parseVerifierKey(cosigner("x", seed).verifierKey);
  const id = keyId(name, 1, publicKey);
  return {
    name,
    keyId: id,
    verifierKey: formatVerifierKey({ name, keyId: id, type: 1, publicKey }),
    sign: async (message: Uint8Array) => sign(null, message, privateKeyOf(seed)),
  };
}

const log = logOf("example.org/log", 1);
const X = [1, 2, 3].map((i) => cosigner(`example.org/x${i}`, 10 + i));
const Y = [1, 2, 3].map((i) => cosigner(`example.org/y${i}`, 20 + i));

/** The example of tlog-policy. */
const EXAMPLE = `log ${log.verifierKey}

witness X1 ${X[0]!.verifierKey}
witness X2 ${X[1]!.verifierKey}
witness X3 ${X[2]!.verifierKey}
group X-witnesses 2 X1 X2 X3

witness Y1 ${Y[0]!.verifierKey}
witness Y2 ${Y[1]!.verifierKey}
witness Y3 ${Y[2]!.verifierKey}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
`;

const TEXT = formatCheckpoint({ origin: log.name, size: 0, root: emptyRoot() });

function outcome(act: () => unknown): string {
  try {
    act();
    return "accepted";
  } catch (error) {
    return String((error as { code?: string }).code ?? error);
  }
}

t.test(
  "the example of tlog-policy asks for two of the first three and one of the others",
  async (t) => {
    const policy = parsePolicy(EXAMPLE);
    t.equal(policy.logs.length, 1);
    t.equal(policy.witnesses.length, 6);
    t.match(policy.quorum, {
      name: "X-and-Y",
      threshold: 2,
      members: [{ threshold: 2 }, { threshold: 1 }],
    });
    // All 64 sets of witnesses, by the rule and by the notes they sign.
    for (let set = 0; set < 64; set++) {
      const members = policy.witnesses.filter((_, i) => ((set >> i) & 1) === 1);
      const signers = [...X, ...Y].filter((_, i) => ((set >> i) & 1) === 1);
      const count = (letter: string) =>
        members.filter(({ name }) => name.startsWith(letter)).length;
      const expected = count("X") >= 2 && count("Y") >= 1;
      if (isMet(policy.quorum, new Set(members)) !== expected) t.fail(`set ${set}`);
      const note = await signNote(TEXT, [log, ...signers]);
      t.equal(
        outcome(() => openWitnessed(note, policy)),
        expected ? "accepted" : "NOTE_INVALID",
      );
    }
  },
);

t.test("a checkpoint counts with its log's signature and its quorum, both", async (t) => {
  const policy = parsePolicy(EXAMPLE);
  const quorum = [X[0]!, X[2]!, Y[1]!];
  const opened = openWitnessed(await signNote(TEXT, [...quorum, log]), policy);
  t.same(
    opened.cosignatures.map(({ witness, timestamp }) => [witness.name, timestamp]),
    [
      ["X1", 1_700_000_000n],
      ["X3", 1_700_000_000n],
      ["Y2", 1_700_000_000n],
    ],
  );
  t.equal(opened.size, 0);
  const refused = async (pattern: RegExp, note: Promise<string>, keys?: string[]) => {
    const text = await note;
    t.throws(() => openWitnessed(text, policy, keys?.map(parseVerifierKey)), {
      code: "NOTE_INVALID",
      message: pattern,
    });
  };
  await refused(/signatures by others alone/, signNote(TEXT, quorum));
  await refused(/expected cosignatures by the quorum X-and-Y, got "none/, signNote(TEXT, [log]));
  await refused(/quorum X-and-Y, got "those of X1"/, signNote(TEXT, [log, X[0]!]));
  const foreign = TEXT.replace(log.name, "example.org/other");
  await refused(/expected the origin example\.org\/log/, signNote(foreign, [...quorum, log]));
  await refused(/the origin of a known log/, signNote(TEXT, [...quorum, log]), []);
  const bad = { ...Y[0]!, sign: async () => Buffer.alloc(72, 1) };
  await refused(/y1.*does not verify/, signNote(TEXT, [...quorum, log, bad]));
  const doubled = parseNote(await signNote(TEXT, [log, X[0]!, X[0]!, Y[0]!]));
  t.equal(doubled.signatures.length, 4);
  await refused(/those of X1, Y1/, signNote(TEXT, [log, X[0]!, X[0]!, Y[0]!]));
});

t.test("the logs may come from elsewhere, and a quorum of none asks for nobody", async (t) => {
  const none = parsePolicy("quorum none\n");
  t.same(none, { logs: [], witnesses: [], quorum: null });
  const keys = [parseVerifierKey(log.verifierKey)];
  t.same(openWitnessed(await signNote(TEXT, [log, X[0]!]), none, keys).cosignatures, []);
  const one = parsePolicy(`witness w ${X[0]!.verifierKey}\nquorum w\n`);
  t.equal(openWitnessed(await signNote(TEXT, [log, X[0]!]), one, keys).cosignatures.length, 1);
  const listed = parsePolicy(`witness w ${X[0]!.verifierKey}\nquorum none\n`);
  t.equal(openWitnessed(await signNote(TEXT, [log]), listed, keys).cosignatures.length, 0);
});

t.test("any of several logs and keys will do, each under its own origin", async (t) => {
  const other = logOf("example.org/other", 2);
  const rotated = logOf("example.org/log", 3);
  const policy = parsePolicy(
    `log ${log.verifierKey}\nlog ${other.verifierKey}\nlog ${rotated.verifierKey} https://example.org/log\nquorum none\n`,
  );
  t.equal(policy.logs[2]!.url, "https://example.org/log");
  const otherText = TEXT.replace(log.name, other.name);
  t.equal(openWitnessed(await signNote(TEXT, [log]), policy).origin, log.name);
  t.equal(openWitnessed(await signNote(TEXT, [rotated]), policy).origin, log.name);
  t.equal(openWitnessed(await signNote(otherText, [other]), policy).origin, other.name);
  const crossed = await signNote(otherText, [log]);
  t.throws(() => openWitnessed(crossed, policy), { code: "NOTE_INVALID" });
});

t.test("a file that another implementation wrote is read, and its proof checks", async (t) => {
  const read = (name: string) => readFileSync(new URL(`vectors/${name}`, import.meta.url), "utf8");
  const policy = parsePolicy(read("witnessed.policy"));
  const text = read("witnessed.tlog-proof");
  const proof = parseProof(text);
  t.equal(formatProof(proof), text);
  const leaf = leafHash(proof.extra!);
  const opened = checkWitnessedProof(proof, leaf, policy);
  t.same([opened.origin, opened.size, proof.index], ["example.com/log", 11, 6]);
  t.same(
    opened.cosignatures.map(({ witness }) => witness),
    [policy.witnesses[0], policy.witnesses[2]],
  );
  t.equal(policy.witnesses[0]!.url, "https://w1.example.com");
  t.throws(() => checkWitnessedProof({ ...proof, index: 7 }, leaf, policy), {
    code: "PROOF_INVALID",
  });
  const all = parsePolicy(read("witnessed.policy").replace("group two 2", "group two all"));
  t.throws(() => checkWitnessedProof(proof, leaf, all), {
    code: "NOTE_INVALID",
    message: /w1, w3/,
  });
});

t.test("white space, comments and octets beyond ASCII are as the standard has them", async (t) => {
  const quantum = createCosigner({
    name: "example.org/日志",
    privateKey: generateKeyPairSync("ml-dsa-44").privateKey,
    now: () => 0n,
  });
  const policy = parsePolicy(
    `\t # comment — with a dash\n\n  \t\n\twitness  Zürich\t ${quantum.verifierKey}  https://bücher.example/w\t\nwitness K ${X[0]!.verifierKey}\nwitness \u212a ${X[1]!.verifierKey}\ngroup g 3 Zürich K \u212a \nquorum g\n`,
  );
  t.same(
    policy.witnesses.map(({ name, url }) => [name, url]),
    [
      ["Zürich", "https://bücher.example/w"],
      ["K", null],
      ["\u212a", null],
    ],
  );
  t.equal(policy.witnesses[0]!.key.name, "example.org/日志");
  const latin1 = Buffer.from(
    `witness \xfc ${X[0]!.verifierKey}\nwitness \xfd ${X[1]!.verifierKey}\ngroup g all \xfc \xfd\nquorum g\n`,
    "latin1",
  );
  t.equal(
    (parsePolicy(latin1).quorum as PolicyGroup).members.length,
    2,
    "names that are no UTF-8 stay apart",
  );
  t.equal(parsePolicy(`log ${quantum.verifierKey}\nquorum none\n`).logs[0]!.key.type, 6);
});

t.test("what is not a policy to the letter is refused, with the number of the line", async (t) => {
  const w = `witness w ${X[0]!.verifierKey}\n`;
  const v = `witness v ${X[1]!.verifierKey}\n`;
  const wrong: Record<string, [string, RegExp]> = {
    empty: ["", /newline at the end/],
    "no quorum": [w, /a line quorum/],
    "a comment alone": ["# quorum none\n", /a line quorum/],
    "no newline at the end": [`${w}quorum w`, /newline at the end/],
    "a second quorum": ["quorum none\nquorum none\n", /line 2: expected one quorum line/],
    "a quorum of nobody": ["quorum\n", /quorum <name>/],
    "a quorum of two": [`${w}${v}quorum w v\n`, /line 3: expected quorum <name>/],
    "a quorum of one unknown": ["quorum w\n", /lines before define, got "w"/],
    "a quorum of a name in UTF-8": ["quorum Zürich\n", /got "Zürich"/],
    "a quorum in front": [`quorum w\n${w}`, /line 1/],
    "another keyword": ["mirror x\nquorum none\n", /line 1: expected log, witness/],
    "an upper-case keyword": ["QUORUM none\n", /got "QUORUM"/],
    "carriage returns": [`${w}quorum w\r\n`, /line 2: expected no control character/],
    "a form feed": ["quorum\fnone\n", /control character/],
    "a NUL": ["quorum none\0\n", /control character/],
    "a DEL": ["quorum none\x7f\n", /control character/],
    "a witness without a key": ["witness w\nquorum none\n", /witness <name> <vkey>/],
    "a witness with too much": [`${w.trim()} u u\nquorum none\n`, /witness <name> <vkey>/],
    "a witness with a log's key": [
      `witness w ${log.verifierKey}\nquorum w\n`,
      /signature type 4 or 6, got "type 1"/,
    ],
    "a witness with no key at all": ["witness w x+y+z\nquorum w\n", /a verifier key/],
    "a log with a witness's key": [`log ${X[0]!.verifierKey}\nquorum none\n`, /type 1 or 6/],
    "a log without a key": ["log\nquorum none\n", /log <vkey>/],
    "a log with too much": [`log ${log.verifierKey} u u\nquorum none\n`, /log <vkey>/],
    "one log twice": [`log ${log.verifierKey}\nlog ${log.verifierKey}\nquorum none\n`, /line 2/],
    "one log's key under two names": [
      `log ${log.verifierKey}\nlog ${logOf("example.org/b", 1).verifierKey}\nquorum none\n`,
      /not listed yet/,
    ],
    "one witness twice": [`${w}${w.replace(" w ", " v ")}quorum w\n`, /key is not listed yet/],
    "one witness's key under two names": [
      `${w}witness v ${cosigner("example.org/b", 11).verifierKey}\nquorum w\n`,
      /key is not listed yet/,
    ],
    "a name twice": [`${w}${v.replace(" v ", " w ")}quorum w\n`, /a name that is not taken/],
    "a group named as a witness": [`${w}group w any w\nquorum w\n`, /not taken/],
    "a witness named none": [`${w.replace(" w ", " none ")}quorum none\n`, /not taken/],
    "a group named none": [`${w}group none any w\nquorum none\n`, /not taken/],
    "none as a member": [`${w}group g any none\nquorum g\n`, /lines before define, got "none"/],
    "a group of nobody": [`${w}group g any\nquorum w\n`, /group <name>/],
    "a group without a number": [`${w}group g w\nquorum w\n`, /group <name>/],
    "a group of 0": [`${w}group g 0 w\nquorum g\n`, /all, any or a number from 1 to 1, got "0"/],
    "a group of more than all": [`${w}group g 2 w\nquorum g\n`, /from 1 to 1/],
    "a group of a fraction": [`${w}group g 1.0 w\nquorum g\n`, /from 1 to 1/],
    "a group of minus one": [`${w}group g -1 w\nquorum g\n`, /from 1 to 1/],
    "a group in hex": [`${w}group g 0x1 w\nquorum g\n`, /from 1 to 1/],
    "a group of itself": [`${w}group g any g\nquorum g\n`, /lines before define/],
    "a member that comes later": [`group g any w\n${w}quorum g\n`, /line 1/],
    "one member twice in a group": [`${w}group g 2 w w\nquorum g\n`, /a member nowhere else/],
    "one member in two groups": [
      `${w}${v}group g any w\ngroup h any w v\nquorum h\n`,
      /line 4: expected names that are a member nowhere else/,
    ],
    "too many definitions": [manyGroups(1_001), /at most 1000/],
    "too long": [`#${"x".repeat(1_000_000)}\nquorum none\n`, /at most 1000000 bytes/],
  };
  for (const [name, [text, message]] of Object.entries(wrong))
    t.throws(() => parsePolicy(text), { code: "POLICY_INVALID", message }, name);
});

/** Groups of groups, one within the other. */
function manyGroups(count: number): string {
  const lines = [`witness g0 ${X[0]!.verifierKey}`];
  for (let i = 1; i < count; i++) lines.push(`group g${i} any g${i - 1}`);
  return `${lines.join("\n")}\nquorum g${count - 1}\n`;
}

t.test("a policy may be as deep as it is long", async (t) => {
  const policy = parsePolicy(manyGroups(1_000));
  t.equal(isMet(policy.quorum, new Set(policy.witnesses)), true);
  t.equal(isMet(policy.quorum, new Set()), false);
});

t.test("no bytes make the policy parser fail in another way", async () => {
  const word = fc.constantFrom(
    "log",
    "witness",
    "group",
    "quorum",
    "none",
    "all",
    "any",
    "1",
    "2",
    "w",
    "g",
    "#",
    "\n",
    "\n",
    "\t",
    " ",
    "\r",
    "\xff",
    X[0]!.verifierKey,
    X[1]!.verifierKey,
    log.verifierKey,
  );
  const text = fc.array(word, { maxLength: 40 }).map((words) => `${words.join(" ")}\n`);
  fc.assert(
    fc.property(fc.oneof(text, fc.string({ unit: "binary" }), fc.uint8Array()), (file) =>
      ["accepted", "POLICY_INVALID"].includes(outcome(() => parsePolicy(file))),
    ),
    { numRuns: 2_000 },
  );
});
