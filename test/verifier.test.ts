import { spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, webcrypto } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { buildPage } from "../docs/examples/build.ts";
import { verifierModules } from "../docs/examples/modules.ts";
import { rowToJson } from "../src/records/row-json.ts";
import { formatProofBundle } from "../src/tlog/proof-bundle.ts";
import { createCosigner } from "../src/tlog/cosigner.ts";
import { formatVerifierKey, signNote } from "../src/tlog/note.ts";
import { checkRecordProof } from "../src/verify/proof.ts";
import { Prover } from "../src/verify/prover.ts";
import * as verifier from "../src/verifier.ts";
import { newKey, newWitness, ORIGIN, RecordLog, rowAt } from "./support/record-log.ts";

/** The verifier for browsers, in Node and where nothing of Node is. */

const ROOT = resolve(import.meta.dirname, "..");
const { signer, key } = newKey();
const vkey = formatVerifierKey(key);

const log = new RecordLog(signer);
await log.growTo(300);
const ed25519 = newWitness("witness.example/ed", 1_700_000_000n);
const mlDsa = hasMlDsa()
  ? createCosigner({
      name: "witness.example/ml",
      privateKey: generateKeyPairSync("ml-dsa-44" as "ed25519").privateKey,
      now: () => 1_700_000_001n,
    })
  : null;
const text = log.note!.slice(0, log.note!.indexOf("\n\n") + 1);
log.note = await signNote(text, [signer, ed25519.signer, ...(mlDsa === null ? [] : [mlDsa])]);
const prover = await Prover.open({ log, origin: ORIGIN, keys: [key] });
const INDEXES = [0, 1, 2, 3, 4, 5, 255, 299];
const { bundle } = await prover.proveMany(INDEXES.map((index) => ({ index, extra: rowAt(index) })));
const bundleFile = Buffer.from([...formatProofBundle(bundle!)].join(""));
const proved = await prover.prove(7, rowAt(7));
if ("fault" in proved) throw new Error(proved.detail);
const proofFile = Buffer.from(proved.proof);

function hasMlDsa(): boolean {
  try {
    generateKeyPairSync("ml-dsa-44" as "ed25519");
    return true;
  } catch {
    return false;
  }
}

const witnessed = (...names: readonly string[]): string =>
  `log ${vkey}\nwitness ed ${formatVerifierKey(ed25519.key)}\n${
    mlDsa === null ? "" : `witness ml ${mlDsa.verifierKey}\n`
  }witness other ${formatVerifierKey(newWitness("other", 1n).key)}\ngroup g all ${names.join(" ")}\nquorum g\n`;

interface Input {
  readonly file: Uint8Array;
  readonly keys: readonly string[];
  readonly policy?: string;
  readonly origin?: string;
}

const flipped = (file: Uint8Array, at: number): Uint8Array =>
  Uint8Array.from(file, (byte, i) => (i === at ? byte ^ 1 : byte));
const inNote = bundleFile.indexOf("\n\n") + 40;

const CASES: readonly (Input & { readonly code?: string; readonly witnesses?: string[] })[] = [
  { file: bundleFile, keys: [vkey] },
  { file: proofFile, keys: [vkey], origin: ORIGIN },
  { file: proofFile, keys: [formatVerifierKey(newKey().key)], code: "NOTE_INVALID" },
  { file: proofFile, keys: [], code: "NOTE_INVALID" },
  { file: proofFile, keys: [vkey], origin: "other.example", code: "NOTE_INVALID" },
  { file: flipped(bundleFile, 60), keys: [vkey], code: "PROOF_INVALID" },
  { file: flipped(bundleFile, inNote), keys: [vkey], code: "NOTE_INVALID" },
  { file: flipped(proofFile, 60), keys: [vkey], code: "PROOF_INVALID" },
  { file: Buffer.from("hello"), keys: [vkey], code: "PROOF_INVALID" },
  { file: bundleFile, keys: [], policy: witnessed("ed"), witnesses: ["ed"] },
  { file: proofFile, keys: [], policy: witnessed("ed"), witnesses: ["ed"] },
  { file: proofFile, keys: [], policy: witnessed("ed", "other"), code: "NOTE_INVALID" },
];

async function outcomeOf({ file, keys, policy, origin }: Input): Promise<object> {
  try {
    const { rows, ...checked } = await verifier.checkProofFile(file, {
      keys: keys.map((one) => verifier.parseVerifierKey(one)),
      ...(policy === undefined ? {} : { policy: verifier.parsePolicy(policy) }),
      ...(origin === undefined ? {} : { origin }),
    });
    return {
      origin: checked.origin,
      treeSize: checked.treeSize,
      signatures: checked.signatures.length,
      witnesses: checked.cosignatures?.map(({ witness }) => witness.name) ?? null,
      records: rows
        .map(({ leafIndex, row }) => verifier.decodeSealed(leafIndex, row))
        .map(({ leafIndex, kind, record }) => ({ leafIndex, kind, record })),
    };
  } catch (error) {
    if (!(error instanceof verifier.MeshproofError)) throw error;
    return { code: error.code };
  }
}

t.test("nothing that the verifier reaches imports from Node or from a package", async (t) => {
  const modules = verifierModules();
  t.ok(modules.size > 20);
  for (const [name, javascript] of modules) {
    const imported = [...javascript.matchAll(/\bfrom\s+"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"/g)].map(
      ([, from, direct]) => from ?? direct!,
    );
    t.same(
      imported.filter((specifier) => !modules.has(specifier)),
      [],
      name,
    );
  }
});

t.test("in Node, Web Crypto comes to what Node's own crypto comes to", async (t) => {
  for (const { code, witnesses, ...input } of CASES) {
    const outcome = await outcomeOf(input);
    if (code !== undefined) t.same(outcome, { code });
    else {
      const many = input.file === bundleFile;
      const indexes = many ? INDEXES : [7];
      t.match(outcome, {
        origin: ORIGIN,
        treeSize: 300,
        witnesses: witnesses ?? null,
        records: indexes.map((leafIndex) => ({
          leafIndex,
          record: rowToJson(rowAt(leafIndex)[1] as 1, rowAt(leafIndex)),
        })),
      });
    }
  }
});

t.test("where there is nothing of Node it comes to the same", async (t) => {
  const input = JSON.stringify(CASES.map(({ file, ...rest }) => ({ ...rest, file: [...file] })));
  const realm = join(ROOT, "test/support/browser-realm.ts");
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--experimental-vm-modules", "--no-warnings", realm],
    { input, encoding: "utf8", timeout: 60_000, maxBuffer: 2 ** 26 },
  );
  t.equal(status, 0, stderr);
  const [{ present }, ...outcomes] = JSON.parse(stdout) as [{ present: string[] }, ...object[]];
  t.same(present, [], "no part of Node is there");
  t.equal(outcomes.length, CASES.length);
  for (const [i, { code: _code, witnesses: _witnesses, ...rest }] of CASES.entries())
    t.same(outcomes[i], JSON.parse(JSON.stringify(await outcomeOf(rest))), `case ${i}`);
});

t.test(
  "an ML-DSA-44 witness counts where Web Crypto has it, and is never passed over",
  async (t) => {
    if (mlDsa === null) {
      t.pass("this Node has no ML-DSA-44");
      return;
    }
    const input = { file: proofFile, keys: [], policy: witnessed("ed", "ml") };
    const trust = { policy: verifier.parsePolicy(input.policy) };
    t.equal(checkRecordProof(proofFile, trust).cosignatures!.length, 2, "Node's own crypto");
    const outcome = (await outcomeOf(input)) as { witnesses?: string[]; code?: string };
    const spki = createPublicKey(generateKeyPairSync("ml-dsa-44" as "ed25519").privateKey).export({
      format: "der",
      type: "spki",
    });
    const isThere = await webcrypto.subtle
      .importKey("spki", Uint8Array.from(spki), "ML-DSA-44", false, ["verify"])
      .then(
        () => true,
        () => false,
      );
    if (isThere) t.same(outcome.witnesses, ["ed", "ml"]);
    else t.same(outcome, { code: "KEY_INVALID" });
  },
);

t.test("a browser without the algorithm, or without Web Crypto, says so", async (t) => {
  const restore = Object.getOwnPropertyDescriptor(globalThis, "crypto")!;
  t.teardown(() => Object.defineProperty(globalThis, "crypto", restore));
  const claim = { file: proofFile, keys: [vkey] };
  for (const crypto of [
    undefined,
    {},
    { subtle: { importKey: () => Promise.reject(new Error("NotSupportedError")) } },
  ]) {
    Object.defineProperty(globalThis, "crypto", { value: crypto, configurable: true });
    t.same(await outcomeOf(claim), { code: "KEY_INVALID" });
  }
});

t.test("the example page is one file with the verifier in it, and may reach nothing", async (t) => {
  const page = buildPage();
  const [, map] = /<script type="importmap">([^]*?)<\/script>/.exec(page)!;
  const { imports } = JSON.parse(map!) as { imports: Record<string, string> };
  t.same(new Set(Object.keys(imports)), new Set(verifierModules().keys()));
  t.ok(Object.values(imports).every((url) => url.startsWith("data:text/javascript;base64,")));
  t.match(
    page,
    /Content-Security-Policy" content="default-src 'none'; script-src [^;]*; style-src/,
  );
  const script = /<script type="module">([^]*)<\/script>/.exec(page)![1]!;
  const used = /import \{([^}]*)\} from "meshproof\/verifier"/.exec(script)![1]!;
  for (const name of used.split(",").map((one) => one.trim()))
    t.ok(name in verifier, `${name} is exported`);
  t.notMatch(script, /innerHTML|insertAdjacentHTML|document\.write|eval\(|https?:/);
  t.ok(readdirSync(join(ROOT, "docs/examples")).includes("verify-proof.html"));
});

t.test("the package names the verifier as an entry of its own", async (t) => {
  const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  t.equal(exports["./verifier"].default, "./dist/verifier.js");
});
