import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { runCommand } from "../../support/command.ts";
import { oneScope, writeLogs } from "../../support/otlp-writer.ts";
import { send } from "../../support/senders.ts";
import { ServerProcess } from "../../support/server-process.ts";
import { type Lane, type LaneContext, LaneSkipped } from "../lane.ts";
import { requireEngine } from "../server.ts";

/** Pinned: native code, compiled here. */
const PACKAGE = "pkcs11js@2.1.7";
/** Where distributions put SoftHSM's library; SOFTHSM2_MODULE names another place. */
const LIBRARIES = [
  process.env["SOFTHSM2_MODULE"] ?? "",
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib64/pkcs11/libsofthsm2.so",
  "/usr/local/lib/softhsm/libsofthsm2.so",
  "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
const STEP_TIME_LIMIT_MS = 300_000;
const TOKEN = "mesh";
const PIN = "123456";
const LABELS = ["log-1", "log-2"] as const;

/** SoftHSM, a token that we did not write, holds the key; node:crypto checks what it signed. */
export const lane: Lane = {
  name: "pkcs11",
  title: "a key in a PKCS#11 token (SoftHSM) signs the log, and is replaced by another",
  needs: ["softhsm2-util"],
  timeLimitMs: 10 * 60_000,
  run,
};

async function run(context: LaneContext): Promise<void> {
  requireEngine();
  const library = LIBRARIES.find((path) => path !== "" && existsSync(path));
  if (library === undefined)
    throw new LaneSkipped("expected SoftHSM's library where SOFTHSM2_MODULE says, found none");
  const { directory, check } = context;
  // For what meshproof starts, and for the tools: the package is installed outside the clone.
  process.env["NODE_PATH"] = await installPackage(context);
  process.env["SOFTHSM2_CONF"] = makeStore(directory);
  await makeToken(context, library);
  writeFileSync(join(directory, "pin"), `${PIN}\n`);
  const signer = (label: string): string =>
    `{ type: pkcs11, library: ${JSON.stringify(library)}, token: ${TOKEN}, key: ${label}, pin_file: ${JSON.stringify(join(directory, "pin"))} }`;
  const seal = (text: string): string =>
    `processors: { seal: { origin: interop.example/hsm, checkpoint_interval: 100ms, ${text} } }\n`;

  const data = join(directory, "server");
  let server = await ServerProcess.start(data, seal(`signer: ${signer(LABELS[0])}`));
  try {
    let first = "";
    await check("checkpoints are signed by the key in the token", async () => {
      first = await addCheckpoint(server);
      assert.deepEqual(await signers(server, [first]), [first]);
      return first;
    });
    await server.stop();
    server = await ServerProcess.start(
      data,
      seal(`signer: ${signer(LABELS[1])}, retiring_signer: ${signer(LABELS[0])}`),
    );
    let second = "";
    await check("two keys of one token sign while one replaces the other", async () => {
      second = await addCheckpoint(server);
      assert.notEqual(second, first);
      assert.deepEqual(await signers(server, [first, second]), [first, second]);
      return second;
    });
    await server.stop();
    server = await ServerProcess.start(data, seal(`signer: ${signer(LABELS[1])}`));
    await check("the new one signs alone, and verify accepts the whole log", async () => {
      await addCheckpoint(server);
      assert.deepEqual(await signers(server, [first, second]), [second]);
      await server.stop();
      const files = ["test.yaml", "extra.yaml"].flatMap((name) => ["--config", join(data, name)]);
      const { code, stdout, stderr } = await runCommand("verify", ...files);
      assert.equal(code, 0, stdout + stderr);
    });
    await check("a key that is not in the token is refused", async () => {
      await assert.rejects(
        ServerProcess.start(data, seal(`signer: ${signer("log-3")}`)),
        /expected one Ed25519 key pair with this label, found none/,
      );
    });
  } finally {
    await server.kill();
    delete process.env["NODE_PATH"];
    delete process.env["SOFTHSM2_CONF"];
  }
}

/** Installs the package into the cache. Returns the directory for NODE_PATH. */
async function installPackage({ cache, children, note }: LaneContext): Promise<string> {
  const directory = join(cache, "pkcs11");
  const modules = join(directory, "node_modules");
  if (existsSync(join(modules, "pkcs11js/build/Release/pkcs11.node"))) return modules;
  note(`building ${PACKAGE}`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "package.json"), '{ "private": true }\n');
  const { code, stderr } = await children.run("npm", ["install", "--no-audit", PACKAGE], {
    directory,
    timeLimitMs: STEP_TIME_LIMIT_MS,
  });
  if (code !== 0 || !existsSync(join(modules, "pkcs11js/build/Release/pkcs11.node")))
    throw new LaneSkipped(`${PACKAGE} cannot be built here: ${stderr.trim().slice(-500)}`);
  return modules;
}

/** An empty place for tokens. Returns the file for SOFTHSM2_CONF. */
function makeStore(directory: string): string {
  const tokens = join(directory, "tokens");
  mkdirSync(tokens);
  const file = join(directory, "softhsm2.conf");
  writeFileSync(
    file,
    `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  return file;
}

async function makeToken({ children }: LaneContext, library: string): Promise<void> {
  const generator = join(import.meta.dirname, "../pkcs11/generate.cjs");
  const steps: [string, string[]][] = [
    [
      "softhsm2-util",
      [
        "--module",
        library,
        "--init-token",
        "--free",
        "--label",
        TOKEN,
        "--pin",
        PIN,
        "--so-pin",
        "87654321",
      ],
    ],
    [process.execPath, [generator, library, TOKEN, PIN, ...LABELS]],
  ];
  for (const [program, args] of steps) {
    const { code, stderr } = await children.run(program, args, {
      timeLimitMs: STEP_TIME_LIMIT_MS,
    });
    if (code !== 0) throw new Error(`${program}: ${stderr}`);
  }
}

const base = (server: ServerProcess): string => `http://127.0.0.1:${server.ports.api}`;

/** Sends a record and waits until it is under a published checkpoint. Returns the verifier key. */
async function addCheckpoint(server: ServerProcess): Promise<string> {
  const body = writeLogs(oneScope([{ body: `at ${Date.now()}` }]));
  assert.equal((await send(server.otlp("logs"), body)).status, 200);
  for (;;) {
    const log = (await (await fetch(`${base(server)}/api/v1/log`)).json()) as {
      lag: string;
      verifierKey: string;
    };
    if (log.lag === "0") return log.verifierKey;
    await setTimeout(50);
  }
}

/** Those of `verifierKeys` that signed the checkpoint, by node:crypto alone. */
async function signers(server: ServerProcess, verifierKeys: readonly string[]): Promise<string[]> {
  const note = await (await fetch(`${base(server)}/log/checkpoint`)).text();
  const end = note.indexOf("\n\n");
  const signatures = note
    .slice(end + 2)
    .split("\n")
    .map((line) => Buffer.from(line.split(" ")[2] ?? "", "base64"));
  return verifierKeys.filter((key) => {
    const [, id, base64] = /\+([0-9a-f]{8})\+(.+)$/.exec(key)!;
    const x = Buffer.from(base64!, "base64").subarray(1).toString("base64url");
    const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    return signatures.some(
      (signature) =>
        signature.toString("hex", 0, 4) === id &&
        verify(null, Buffer.from(note.slice(0, end + 1)), publicKey, signature.subarray(4)),
    );
  });
}
