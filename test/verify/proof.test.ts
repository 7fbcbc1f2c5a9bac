import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { TABLES } from "../../src/records/columns.ts";
import { rowToJson } from "../../src/records/row-json.ts";
import { signNote, formatVerifierKey } from "../../src/tlog/note.ts";
import { formatProof, parseProof } from "../../src/tlog/proof.ts";
import { checkRecordProof } from "../../src/verify/proof.ts";
import { Prover } from "../../src/verify/prover.ts";
import { newKey, newWitness, ORIGIN, RecordLog, rowAt } from "../support/record-log.ts";
import { rowOf } from "../support/rows.ts";
import { provedRow } from "../support/strangers-verifier.ts";

const { signer, key } = newKey();
const keys = [key];

/** The proof of a record of `log`. */
async function prove(log: RecordLog, index: number, row = rowAt(index)): Promise<string> {
  const proved = await (await Prover.open({ log, origin: ORIGIN, keys })).prove(index, row);
  if ("fault" in proved) throw new Error(`${proved.fault}: ${proved.detail}`);
  return proved.proof;
}

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

async function logOf(size: number): Promise<RecordLog> {
  const log = new RecordLog(signer);
  await log.growTo(size);
  return log;
}

t.test("every record of every log of up to 40 proves, for us and for a stranger", async (t) => {
  const log = new RecordLog(signer);
  for (let size = 1; size <= 40; size++) {
    await log.growTo(size);
    for (let index = 0; index < size; index++) {
      const proof = await prove(log, index);
      const checked = checkRecordProof(proof, { keys });
      const { origin, treeSize, leafIndex, row, kind, record } = checked;
      if (origin !== ORIGIN || treeSize !== size || leafIndex !== index)
        t.fail(`record ${index} of ${size}`, checked);
      if (!Buffer.from(row).equals(rowAt(index))) t.fail(`row ${index} of ${size}`);
      if (!provedRow(proof, formatVerifierKey(key))?.equals(rowAt(index)))
        t.fail(`a stranger refuses record ${index} of ${size}`);
      if (size === 40) t.same(record, rowToJson(TABLES[kind].kind, rowAt(index)));
    }
  }
});

t.test("records deep in a log of several tiles prove", async (t) => {
  const log = await logOf(70_000);
  for (const index of [0, 255, 256, 511, 65_535, 65_536, 69_887, 69_888, 69_999]) {
    const proof = await prove(log, index);
    t.equal(checkRecordProof(proof, { keys, origin: ORIGIN }).leafIndex, index);
    t.ok(provedRow(proof, formatVerifierKey(key))?.equals(rowAt(index)));
  }
});

t.test("a proof with any byte changed, removed or added is refused", async (t) => {
  const log = await logOf(11);
  const file = Buffer.from(await prove(log, 5));
  const accepted: string[] = [];
  const refused = (bytes: Uint8Array, what: string): void => {
    if (codeOf(() => checkRecordProof(bytes, { keys })) === undefined) accepted.push(what);
  };
  for (let at = 0; at < file.length; at++) {
    for (const mask of [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff]) {
      const changed = Buffer.from(file);
      changed[at]! ^= mask;
      refused(changed, `byte ${at} xor ${mask}`);
    }
    refused(file.subarray(0, at), `cut to ${at} bytes`);
    refused(Buffer.concat([file.subarray(0, at), file.subarray(at + 1)]), `without byte ${at}`);
    for (const added of ["\n", " ", "A", "=", "\r", "\0"])
      refused(
        Buffer.concat([file.subarray(0, at), Buffer.from(added), file.subarray(at)]),
        `${JSON.stringify(added)} before byte ${at}`,
      );
  }
  for (const behind of ["\n", " ", "x", "\n\n", "extra AA==\n", "— x AAAA\n"])
    refused(Buffer.concat([file, Buffer.from(behind)]), `followed by ${JSON.stringify(behind)}`);
  t.same(accepted, []);
  t.equal(
    codeOf(() => checkRecordProof(file, { keys })),
    undefined,
  );
});

t.test("what is wrong is named, and nothing of the row is said", async (t) => {
  const log = await logOf(11);
  const secret = rowOf(TABLES.log, { Body: "the secret of somebody" });
  await log.seal(secret);
  const text = await prove(log, 11, secret);
  const proof = parseProof(text);
  const stranger = newKey();
  const elsewhere = newKey("other.test/log");
  const resigned = await signNote(proof.checkpoint.split("\n\n")[0]! + "\n", [elsewhere.signer]);
  const changedRow = Buffer.from(secret);
  changedRow[changedRow.indexOf("somebody")]! ^= 1;
  const otherKind = Buffer.from(secret);
  otherKind[1] = 1;
  const changed = (changes: Partial<typeof proof>): string => formatProof({ ...proof, ...changes });
  for (const [what, file, options, code, message] of [
    ["no proof", "hello", { keys }, "PROOF_INVALID", /tlog-proof: expected/],
    ["bytes that are no UTF-8", Buffer.from([0xff, 0xfe]), { keys }, "PROOF_INVALID", /UTF-8/],
    ["no row", changed({ extra: null }), { keys }, "PROOF_INVALID", /line "extra"/],
    [
      "no bytes in the row",
      changed({ extra: Buffer.alloc(0) }),
      { keys },
      "PROOF_INVALID",
      /row of at least 18 bytes/,
    ],
    ["an unknown key", text, { keys: [stranger.key] }, "NOTE_INVALID", /expected a signature by/],
    ["no key", text, { keys: [] }, "NOTE_INVALID", /expected a signature by a known key/],
    [
      "another origin",
      text,
      { keys, origin: "other.test/log" },
      "NOTE_INVALID",
      /expected the origin other\.test\/log/,
    ],
    [
      "a known key of another log",
      changed({ checkpoint: resigned }),
      { keys: [...keys, elsewhere.key] },
      "NOTE_INVALID",
      /signature by meshproof\.test/,
    ],
    [
      "a changed signature",
      changed({ checkpoint: proof.checkpoint.replace(/....\n$/, "AAA=\n") }),
      { keys },
      "NOTE_INVALID",
      /does not verify/,
    ],
    [
      "a changed checkpoint",
      changed({ checkpoint: proof.checkpoint.replace("\n12\n", "\n13\n") }),
      { keys },
      "NOTE_INVALID",
      /does not verify/,
    ],
    [
      "a changed row",
      changed({ extra: changedRow }),
      { keys },
      "PROOF_INVALID",
      /not record 11 of the 12/,
    ],
    [
      "a row of another kind",
      changed({ extra: otherKind }),
      { keys },
      "PROOF_INVALID",
      /not record 11 of the 12/,
    ],
    [
      "the row of another record",
      changed({ extra: rowAt(3) }),
      { keys },
      "PROOF_INVALID",
      /not record 11/,
    ],
    ["another index", changed({ index: 10 }), { keys }, "PROOF_INVALID", /not record 10/],
    [
      "an index beyond the log",
      changed({ index: 12 }),
      { keys },
      "PROOF_RANGE",
      /below the tree size 12, got 12/,
    ],
    [
      "too few hashes",
      changed({ hashes: proof.hashes.slice(1) }),
      { keys },
      "PROOF_INVALID",
      /does not fit these positions/,
    ],
    [
      "too many hashes",
      changed({ hashes: [...proof.hashes, proof.hashes[0]!] }),
      { keys },
      "PROOF_INVALID",
      /does not fit these positions/,
    ],
  ] as const) {
    try {
      checkRecordProof(file, options);
      t.fail(`${what} is accepted`);
    } catch (error) {
      t.match(error, { code, message }, what);
      t.notMatch((error as Error).message, /secret|somebod/, what);
    }
  }
});

t.test("a row that was sealed but cannot be read is an error of its own", async (t) => {
  const newer = Buffer.from(rowOf(TABLES.control));
  newer[0] = 2;
  const unknown = Buffer.from(rowOf(TABLES.control));
  unknown[1] = 9;
  const longer = Buffer.concat([rowOf(TABLES.control), Buffer.from([1])]);
  const log = await logOf(3);
  await log.seal(newer, unknown, longer);
  for (const [i, [row, message]] of (
    [
      [newer, /version 2: it was sealed/],
      [unknown, /kind 9/],
      [longer, /control_records to end/],
    ] as const
  ).entries()) {
    const file = await formatted(log, 3 + i, row);
    t.throws(() => checkRecordProof(file, { keys }), { code: "ROW_INVALID", message });
    await t.rejects(prove(log, 3 + i, row), { code: "ROW_INVALID" });
  }
});

/** A proof made by hand: the prover gives none away that it cannot read itself. */
async function formatted(log: RecordLog, index: number, row: Uint8Array): Promise<string> {
  const { proveInclusion } = await import("../../src/tlog/prove.ts");
  const { tileHashReader } = await import("../../src/tlog/tiles.ts");
  const reader = tileHashReader(log.size, async (tile) => (await log.tile(tile))!);
  const hashes = await proveInclusion(index, log.size, reader);
  return formatProof({ index, hashes, checkpoint: log.note!, extra: row });
}

t.test("witnesses whose keys are given are named, others passed over", async (t) => {
  const log = await logOf(2);
  const witness = newWitness("witness.test/w", 1_753_000_000n);
  const text = log.note!.split("\n\n")[0]! + "\n";
  log.note = await signNote(text, [signer, witness.signer]);
  const file = await prove(log, 1);
  const byLog = { key, timestamp: null };
  t.same(checkRecordProof(file, { keys }).signatures, [byLog]);
  t.same(checkRecordProof(file, { keys: [witness.key, key] }).signatures, [
    byLog,
    { key: witness.key, timestamp: 1_753_000_000n },
  ]);
  t.throws(() => checkRecordProof(file, { keys: [witness.key] }), { code: "NOTE_INVALID" });
  const broken = await signNote(text, [
    signer,
    { ...witness.signer, sign: async () => Buffer.alloc(72) },
  ]);
  const forged = formatProof({ ...parseProof(file), checkpoint: broken });
  t.equal(checkRecordProof(forged, { keys }).leafIndex, 1);
  t.throws(() => checkRecordProof(forged, { keys: [key, witness.key] }), { code: "NOTE_INVALID" });
});

t.test("the prover says why there is no proof, and gives none that does not hold", async (t) => {
  const log = await logOf(600);
  const prover = await Prover.open({ log, origin: ORIGIN, keys });
  t.equal(prover.size, 600);
  t.match(await prover.prove(7, rowAt(8)), { fault: "row_changed" });
  await t.rejects(prover.prove(600, rowAt(600)), { code: "PROOF_RANGE", message: /600 records/ });

  const [path, tile] = [...log.tiles].find(([name]) => name.startsWith("tile/0/000"))!;
  const changed = Uint8Array.from(tile);
  changed[40 * 32]! ^= 1;
  log.tiles.set(path, changed);
  t.match(await prover.prove(7, rowAt(7)), { fault: "tile_changed", detail: /PROOF|record 7/ });
  log.tiles.set(path, tile.subarray(0, -1));
  t.match(await prover.prove(7, rowAt(7)), { fault: "tile_changed", detail: /bytes in tile/ });
  log.tiles.delete(path);
  t.match(await prover.prove(7, rowAt(7)), { fault: "tile_missing", detail: `${path} is missing` });
  log.tiles.set(path, tile);
  t.hasProp(await prover.prove(7, rowAt(7)), "proof");

  await t.rejects(Prover.open({ log: new RecordLog(signer), origin: ORIGIN, keys }), {
    code: "LOG_INCONSISTENT",
  });
  await t.rejects(Prover.open({ log, origin: ORIGIN, keys: [newKey().key] }), {
    code: "NOTE_INVALID",
  });
});

const tools = spawnSync("bash", ["-c", "type openssl xxd base64"]);
const skip = tools.status === 0 ? false : "bash, openssl, xxd or base64 is missing";

t.test("the script of docs/proofs.md tells a proof from a forgery", { skip }, async (t) => {
  const document = readFileSync(resolve(import.meta.dirname, "../../docs/proofs.md"), "utf8");
  const script = /```bash\n(.*?)```/s.exec(document)![1]!;
  const directory = t.testdir({});
  const check = (
    proof: string,
    trusted = key,
  ): { readonly status: number | null; readonly stdout: string } => {
    const file = join(directory, "a.tlog-proof");
    writeFileSync(file, proof);
    const args = ["-c", script, "check.sh", file, formatVerifierKey(trusted)];
    return spawnSync("bash", args, {
      encoding: "utf8",
      env: { ...process.env, TMPDIR: directory },
    });
  };
  const log = await logOf(13);
  for (const index of [0, 4, 12])
    t.match(check(await prove(log, index)), {
      status: 0,
      stdout: /^the row leads to the root\nSignature Verified Successfully\n$/,
    });
  const proof = await prove(log, 4);
  const changedRow = proof.replace("extra AQ", "extra AR");
  t.match(check(proof.replace("index 4", "index 5")), { status: 1, stdout: /does not lead/ });
  t.match(check(changedRow), { status: 1, stdout: /does not lead/ });
  const forged = proof.replace(/[^\n]{8}\n$/, "AAAAAAA=\n");
  t.match(check(forged), { status: 1, stdout: /Verification Failure/ });
  t.match(check(proof, newKey("other.test/log").key), { status: 1, stdout: /of another log/ });
  t.match(check(proof, newKey().key), { status: 1, stdout: /Verification Failure/ });
  t.same(readdirSync(directory), ["a.tlog-proof"], "it leaves nothing behind");
});
