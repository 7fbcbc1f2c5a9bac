import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { TABLES } from "../../src/records/columns.ts";
import { formatVerifierKey, signNote, type VerifierKey } from "../../src/tlog/note.ts";
import {
  formatProofBundle,
  parseProofBundle,
  type ProofBundle,
} from "../../src/tlog/proof-bundle.ts";
import { parsePolicy } from "../../src/tlog/policy-file.ts";
import { checkProofBundle, extractProof } from "../../src/verify/proof-bundle.ts";
import { checkRecordProof } from "../../src/verify/proof.ts";
import { Prover } from "../../src/verify/prover.ts";
import { newKey, newWitness, ORIGIN, RecordLog, rowAt } from "../support/record-log.ts";
import { rowOf } from "../support/rows.ts";
import { provedRow } from "../support/strangers-verifier.ts";

const { signer, key } = newKey();
const keys = [key];

async function logOf(size: number): Promise<RecordLog> {
  const log = new RecordLog(signer);
  await log.growTo(size);
  return log;
}

async function bundleOf(log: RecordLog, indexes: readonly number[]): Promise<ProofBundle> {
  const prover = await Prover.open({ log, origin: ORIGIN, keys });
  const records = indexes.map((index) => ({ index, extra: rowAt(index) }));
  const { bundle, faults } = await prover.proveMany(records);
  if (bundle === null || faults.length > 0) throw new Error(JSON.stringify(faults));
  return bundle;
}

const bytesOf = (bundle: ProofBundle): Buffer =>
  Buffer.from([...formatProofBundle(bundle)].join(""));

/** The code of what is thrown; undefined when nothing is. */
function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof MeshproofError)) throw error;
    return error.code;
  }
}

t.test("a bundle proves its records, and each of them to a stranger", async (t) => {
  const log = await logOf(700);
  for (const indexes of [[0], [699], [3, 4, 5, 6, 300, 511, 512, 699], [...Array(700).keys()]]) {
    const bytes = bytesOf(await bundleOf(log, indexes));
    const checked = checkProofBundle(bytes, { keys, origin: ORIGIN });
    t.same([checked.origin, checked.treeSize, checked.cosignatures], [ORIGIN, 700, null]);
    t.same(
      checked.rows.map(({ leafIndex }) => leafIndex),
      indexes,
    );
    t.ok(checked.rows.every(({ leafIndex, row }) => Buffer.from(row).equals(rowAt(leafIndex))));
    for (const index of indexes.filter((_, i) => i % 97 === 0)) {
      const single = extractProof(bytes, index);
      t.ok(provedRow(single, formatVerifierKey(key))?.equals(rowAt(index)), `${index}`);
      t.equal(checkRecordProof(single, { keys }).leafIndex, index);
    }
  }
});

t.test(
  "the proof that is taken from a bundle is the one that is made for the record",
  async (t) => {
    const log = await logOf(300);
    const prover = await Prover.open({ log, origin: ORIGIN, keys });
    const bytes = bytesOf(await bundleOf(log, [5, 255, 256, 299]));
    for (const index of [5, 255, 256, 299])
      t.same({ proof: extractProof(bytes, index) }, await prover.prove(index, rowAt(index)));
    t.throws(() => extractProof(bytes, 6), { code: "PROOF_RANGE" });
  },
);

t.test("a bundle with any byte changed, removed or added is refused", async (t) => {
  const file = bytesOf(await bundleOf(await logOf(11), [2, 3, 9]));
  const accepted: string[] = [];
  const refused = (bytes: Uint8Array, what: string): void => {
    if (codeOf(() => checkProofBundle(bytes, { keys })) === undefined) accepted.push(what);
  };
  for (let at = 0; at < file.length; at++) {
    for (const mask of [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff]) {
      const changed = Buffer.from(file);
      changed[at]! ^= mask;
      refused(changed, `byte ${at} ^ ${mask}`);
    }
    refused(Buffer.concat([file.subarray(0, at), file.subarray(at + 1)]), `without byte ${at}`);
    refused(file.subarray(0, at), `cut at ${at}`);
  }
  for (const extra of ["\n", "x", " ", "\0"]) {
    refused(Buffer.concat([file, Buffer.from(extra)]), `with ${JSON.stringify(extra)} behind`);
    refused(Buffer.concat([Buffer.from(extra), file]), `with ${JSON.stringify(extra)} in front`);
  }
  t.same(accepted, []);
});

t.test("what is wrong with a bundle is named, and nothing of a row is said", async (t) => {
  const log = await logOf(20);
  const bundle = await bundleOf(log, [4, 7, 8]);
  const { records, hashes } = bundle;
  const other = newKey();
  const cases: readonly (readonly [string, string, Partial<ProofBundle>, VerifierKey[]?])[] = [
    ["a changed row", "PROOF_INVALID", { records: records.with(1, { index: 7, extra: rowAt(6) }) }],
    ["another index", "PROOF_INVALID", { records: records.with(1, { ...records[1]!, index: 6 }) }],
    [
      "rows at each other's place",
      "PROOF_INVALID",
      {
        records: [
          { ...records[0]!, extra: records[1]!.extra },
          { ...records[1]!, extra: records[0]!.extra },
          records[2]!,
        ],
      },
    ],
    ["a record left out", "PROOF_INVALID", { records: records.slice(1) }],
    ["a record added", "PROOF_INVALID", { records: [...records, { index: 9, extra: rowAt(9) }] }],
    ["a hash too few", "PROOF_INVALID", { hashes: hashes.slice(1) }],
    ["a hash too many", "PROOF_INVALID", { hashes: [...hashes, hashes[0]!] }],
    ["hashes in another order", "PROOF_INVALID", { hashes: hashes.toReversed() }],
    [
      "a row too short",
      "PROOF_INVALID",
      { records: records.with(0, { index: 4, extra: Buffer.from("x") }) },
    ],
    [
      "an index beyond the log",
      "PROOF_RANGE",
      { records: records.with(2, { index: 20, extra: rowAt(8) }) },
    ],
    ["another key", "NOTE_INVALID", {}, [other.key]],
    ["no key", "NOTE_INVALID", {}, []],
    ["no checkpoint", "NOTE_INVALID", { checkpoint: "x" }],
    [
      "a changed size",
      "NOTE_INVALID",
      { checkpoint: bundle.checkpoint.replace("\n20\n", "\n21\n") },
    ],
  ];
  for (const [what, code, change, trusted] of cases)
    t.equal(
      codeOf(() => checkProofBundle(bytesOf({ ...bundle, ...change }), { keys: trusted ?? keys })),
      code,
      what,
    );
  t.throws(() => checkProofBundle(bytesOf(bundle), { keys, origin: "other.example" }), {
    code: "NOTE_INVALID",
  });
});

t.test(
  "the quorum of a policy has to have cosigned, for a bundle and for each proof of it",
  async (t) => {
    const log = await logOf(9);
    const [w1, w2] = [
      newWitness("w1.example", 1_700_000_000n),
      newWitness("w2.example", 1_700_000_060n),
    ];
    const text = log.note!.slice(0, log.note!.indexOf("\n\n") + 1);
    const vkey = formatVerifierKey;
    const names = `witness one ${vkey(w1.key)}\nwitness two ${vkey(w2.key)}\n`;
    const policyOf = (quorum: string, logs = `log ${vkey(key)}\n`) =>
      parsePolicy(`${logs}${names}group any-of any one two\nquorum ${quorum}\n`);
    const all = parsePolicy(`log ${vkey(key)}\n${names}group both all one two\nquorum both\n`);

    log.note = await signNote(text, [signer, w2.signer]);
    const bytes = bytesOf(await bundleOf(log, [1, 2]));
    const single = extractProof(bytes, 2);
    for (const check of [
      (trust: object) => checkProofBundle(bytes, trust),
      (trust: object) => checkRecordProof(single, trust),
    ]) {
      const { cosignatures, signatures } = check({ policy: policyOf("any-of") });
      t.same(
        cosignatures!.map(({ witness, timestamp }) => [witness.name, timestamp]),
        [["two", 1_700_000_060n]],
      );
      t.equal(signatures.length, 2);
      t.equal(
        codeOf(() => check({ policy: policyOf("two") })),
        undefined,
      );
      t.equal(
        codeOf(() => check({ policy: policyOf("one") })),
        "NOTE_INVALID",
      );
      t.equal(
        codeOf(() => check({ policy: all })),
        "NOTE_INVALID",
      );
      t.equal(
        codeOf(() => check({ policy: policyOf("none") })),
        undefined,
      );
      t.equal(
        codeOf(() => check({ policy: policyOf("any-of", "") })),
        "NOTE_INVALID",
        "no log",
      );
      t.equal(
        codeOf(() => check({ policy: policyOf("any-of", ""), keys })),
        undefined,
      );
      t.equal(
        codeOf(() => check({ policy: policyOf("any-of", `log ${vkey(newKey().key)}\n`), keys })),
        "NOTE_INVALID",
        "logs of the policy count, and no others",
      );
      t.equal(
        codeOf(() => check({ policy: policyOf("any-of"), origin: "other.example" })),
        "NOTE_INVALID",
      );
    }
  },
);

t.test("the prover leaves out what is not what was sealed, and says why", async (t) => {
  const log = await logOf(600);
  const open = () => Prover.open({ log, origin: ORIGIN, keys });
  const records = [1, 2, 300, 599].map((index) => ({ index, extra: rowAt(index) }));
  const forged = { index: 2, extra: rowOf(TABLES.access, { Path: "/forged" }) };

  const changed = await (await open()).proveMany(records.with(1, forged));
  t.same(
    changed.faults.map(({ index, fault }) => [index, fault]),
    [[2, "row_changed"]],
  );
  t.same(
    checkProofBundle(bytesOf(changed.bundle!), { keys }).rows.map(({ leafIndex }) => leafIndex),
    [1, 300, 599],
  );
  const doubled = await (await open()).proveMany(records.toSpliced(1, 0, forged, records[1]!));
  t.same(
    doubled.faults.map(({ index, fault }) => [index, fault]),
    [[2, "row_changed"]],
  );
  t.equal(checkProofBundle(bytesOf(doubled.bundle!), { keys }).rows.length, 4);
  t.same(await (await open()).proveMany([forged]), {
    bundle: null,
    faults: [{ index: 2, fault: "row_changed", detail: changed.faults[0]!.detail }],
  });

  const tile = log.tiles.get("tile/0/001")!;
  const damaged = Uint8Array.from(tile);
  damaged[0]! ^= 1; // record 256
  log.tiles.set("tile/0/001", damaged);
  const beside = await (await open()).proveMany(records);
  t.same(
    beside.faults.map(({ index, fault }) => [index, fault]),
    [[300, "tile_changed"]],
  );
  t.equal(checkProofBundle(bytesOf(beside.bundle!), { keys }).rows.length, 3);
  log.tiles.delete("tile/0/001");
  const without = await (await open()).proveMany(records);
  t.same(
    without.faults.map(({ index, fault }) => [index, fault]),
    [[300, "tile_missing"]],
  );
  t.equal(parseProofBundle(bytesOf(without.bundle!)).records.length, 3);
  await t.rejects((await open()).proveMany([{ index: 600, extra: rowAt(600) }]), {
    code: "PROOF_RANGE",
  });
});
