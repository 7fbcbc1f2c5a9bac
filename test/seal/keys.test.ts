import { generateKeyPairSync } from "node:crypto";
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import { silentLogger } from "../../src/core/logger.ts";
import { lockDirectory } from "../../src/seal/lock.ts";
import { openSigner } from "../../src/seal/open-signer.ts";
import { Sealer } from "../../src/seal/sealer.ts";
import { parseNote, parseVerifierKey, signNote, verifyNote } from "../../src/tlog/note.ts";
import { ORIGIN, optionsOf } from "./fixture.ts";

const open = (
  directory: string,
  config: Record<string, unknown> = {},
  origin = ORIGIN,
  logger = silentLogger,
) => openSigner({ config: { type: "file", ...config }, origin, directory, logger });

t.test(
  "the first start makes a key that only its owner can read, later starts use it",
  async (t) => {
    const directory = t.testdir();
    const said: string[] = [];
    const logger = {
      ...silentLogger,
      info: (fields: object) => said.push(JSON.stringify(fields)),
      warn: () => said.push("warned"),
    };
    const signer = await open(directory, { path: "" }, ORIGIN, logger);
    const file = join(directory, "secrets/log-key.pem");
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.equal(statSync(join(directory, "secrets")).mode & 0o777, 0o700);
    t.match(readFileSync(file, "utf8"), /^-----BEGIN PRIVATE KEY-----\n/);
    t.same(readdirSync(join(directory, "secrets")), ["log-key.pem"], "nothing is left behind");
    t.equal(said.length, 1);
    t.match(said[0], signer.verifierKey, "the verifier key is announced");
    t.equal((await open(directory, {}, ORIGIN, logger)).verifierKey, signer.verifierKey);
    t.equal(said.length, 1, "once");
    const key = parseVerifierKey(signer.verifierKey);
    t.match(key, { name: ORIGIN, keyId: signer.keyId, type: 1 });
    t.equal(verifyNote(parseNote(await signNote("text\n", [signer])), [key]).length, 1);
  },
);

t.test("two first starts at once end with one key", async (t) => {
  const directory = t.testdir();
  const signers = await Promise.all(Array.from({ length: 8 }, () => open(directory)));
  t.equal(new Set(signers.map(({ verifierKey }) => verifierKey)).size, 1);
  t.same(readdirSync(join(directory, "secrets")), ["log-key.pem"]);
});

t.test("a key that others can read is used with a warning", async (t) => {
  const directory = t.testdir();
  const path = join(directory, "key.pem");
  await open(directory, { path });
  chmodSync(path, 0o640);
  let warnings = 0;
  await open(directory, { path }, ORIGIN, { ...silentLogger, warn: () => warnings++ });
  t.equal(warnings, 1);
});

t.test("what is not an Ed25519 key in PEM is refused", async (t) => {
  const directory = t.testdir();
  const pem = (key: {
    export(options: { type: "pkcs8"; format: "pem" }): string | Buffer;
  }): string => key.export({ type: "pkcs8", format: "pem" }) as string;
  const ed25519 = generateKeyPairSync("ed25519");
  const wrong: Record<string, string> = {
    empty: "",
    text: "secret",
    "a public key": ed25519.publicKey.export({ type: "spki", format: "pem" }) as string,
    "an RSA key": pem(generateKeyPairSync("rsa", { modulusLength: 1_024 }).privateKey),
    "an EC key": pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
    "an Ed448 key": pem(generateKeyPairSync("ed448").privateKey),
    "an encrypted key": ed25519.privateKey.export({
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "x",
    }) as string,
    "half a key": pem(ed25519.privateKey).slice(0, 60),
  };
  for (const [what, text] of Object.entries(wrong)) {
    const path = join(directory, "key.pem");
    writeFileSync(path, text);
    await t.rejects(open(directory, { path }), { code: "KEY_INVALID", message: /key\.pem/ }, what);
    t.equal(readFileSync(path, "utf8"), text, "and left as it is");
  }
  mkdirSync(join(directory, "folder.pem"));
  await t.rejects(open(directory, { path: join(directory, "folder.pem") }), {
    code: "KEY_INVALID",
  });
});

t.test("the key of an existing log is never replaced by a new one", async (t) => {
  for (const [folder, file] of [
    ["state", "checkpoint.json"],
    ["log", "checkpoint"],
  ] as const) {
    const directory = t.testdir({ [folder]: { [file]: "x" } });
    await t.rejects(open(directory), { code: "KEY_INVALID", message: /restore it/ });
    const config = { type: "file" };
    const reading = openSigner({
      config,
      origin: ORIGIN,
      directory: join(directory, "new"),
      mayCreate: false,
      logger: silentLogger,
    });
    await t.rejects(
      reading,
      { code: "KEY_INVALID" },
      "nor does a command that only reads make one",
    );
    t.notOk(readdirSync(directory).some((name) => name === "secrets" || name === "new"));
  }
});

t.test("wrong options of a signer are named", async (t) => {
  const directory = t.testdir();
  await t.rejects(open(directory, { type: "abacus" }), {
    code: "CONFIG_INVALID",
    message: /signer\.type: expected one of .*file.*got "abacus"/,
  });
  await t.rejects(open(directory, { type: "../file" }), { code: "CONFIG_INVALID" });
  await t.rejects(open(directory, { type: "define" }), { code: "CONFIG_INVALID" });
  await t.rejects(open(directory, { path: 5 }), {
    code: "CONFIG_INVALID",
    message: /signer\.path/,
  });
  await t.rejects(open(directory, { pin: "1234" }), {
    code: "CONFIG_INVALID",
    message: /signer\.pin/,
  });
  for (const origin of ["", "a b", "a+b", "a\u2003b", "a\nb"])
    await t.rejects(
      open(directory, {}, origin),
      { code: "CONFIG_INVALID", message: /origin/ },
      JSON.stringify(origin),
    );
  t.same(readdirSync(directory), []);
});

/** A process that locks `directory` and stays; resolves when it has the lock. */
async function startHolder(directory: string): Promise<ChildProcess> {
  const lock = new URL("../../src/seal/lock.ts", import.meta.url).href;
  const code = `const { lockDirectory } = await import(${JSON.stringify(lock)}); globalThis.lock = lockDirectory(${JSON.stringify(directory)}); console.log("locked"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve, reject) => {
    child.stdout!.once("data", resolve);
    child.once("exit", reject);
  });
  child.removeAllListeners("exit");
  return child;
}

t.test("a data directory has one writer, and none after SIGKILL", async (t) => {
  const directory = t.testdir();
  const holder = await startHolder(directory);
  t.teardown(() => holder.kill("SIGKILL"));
  t.throws(() => lockDirectory(directory), {
    code: "DIRECTORY_LOCKED",
    message: new RegExp(`in use by process ${holder.pid}:`),
  });
  const signer = await open(directory);
  await t.rejects(Sealer.open(optionsOf(directory, signer)), { code: "DIRECTORY_LOCKED" });
  const ended = new Promise((resolve) => holder.once("exit", resolve));
  holder.kill("SIGKILL");
  await ended;
  const lock = lockDirectory(directory);
  t.throws(
    () => lockDirectory(directory),
    { code: "DIRECTORY_LOCKED", message: new RegExp(`process ${process.pid}:`) },
    "not twice in one process either",
  );
  lock.release();
  lockDirectory(directory).release();
});

t.test("a directory that cannot be locked is not used", async (t) => {
  const directory = t.testdir({ lock: "not a database, and more than nothing" });
  t.throws(() => lockDirectory(directory), {
    code: "DIRECTORY_LOCKED",
    message: /expected to lock/,
  });
  t.throws(() => lockDirectory(join(directory, "absent")), { code: "DIRECTORY_LOCKED" });
});

t.test("a refused start leaves the directory free", async (t) => {
  const root = t.testdir({ data: { state: { "checkpoint.json": "broken" } } });
  const directory = join(root, "data");
  await t.rejects(open(directory, { path: join(root, "key.pem") }), { code: "KEY_INVALID" });
  const signer = await open(join(root, "other"), { path: join(root, "key.pem") });
  await t.rejects(Sealer.open(optionsOf(directory, signer)), { code: "LOG_INCONSISTENT" });
  lockDirectory(directory).release();
});

t.test(
  "a file system without locks does not let in a second writer of the same machine",
  { skip: !existsSync("/proc/self/fd") && "needs /proc" },
  async (t) => {
    const directory = t.testdir();
    lockDirectory(directory).release();
    const path = JSON.stringify(join(directory, "lock"));
    const child = spawn(
      process.execPath,
      [
        "-e",
        `require("fs").openSync(${path}, "r+"); console.log("open"); setInterval(() => {}, 1000)`,
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    t.teardown(() => child.kill("SIGKILL"));
    await new Promise((resolve) => child.stdout.once("data", resolve));
    lockDirectory(directory).release();
    t.pass("whoever has the file open and is not named has tried and failed");
    writeFileSync(join(directory, "lock.pid"), `${child.pid}\n`);
    t.throws(() => lockDirectory(directory), {
      code: "DIRECTORY_LOCKED",
      message: new RegExp(`in use by process ${child.pid}:`),
    });
    writeFileSync(join(directory, "lock.pid"), `${process.ppid}\n`);
    lockDirectory(directory).release();
    t.pass("a process that runs under an old number is none");
  },
);
