import { spawn, spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import t, { type Test } from "tap";
import { parseVerifierKey } from "../src/tlog/note.ts";
import { runCommand } from "./support/command.ts";
import { FakeWitness } from "./support/fake-witness.ts";
import { oneScope, writeLogs } from "./support/otlp-writer.ts";
import { send } from "./support/senders.ts";
import { temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";
import { ServerProcess } from "./support/server-process.ts";
import { waitForCount } from "./support/stored-rows.ts";

/** The log of a whole server towards the outside: witnesses, anchors, a second history, a new key, a full disk. */

t.setTimeout(300_000);
const skip = whyNoEngine();
const ORIGIN = "seal.test/mesh";

interface LogStatus {
  readonly verifierKey: string;
  readonly signedSize: string;
  readonly publishedSize: string;
  readonly lag: string;
  readonly keys: readonly { verifierKey: string; through: string | null; record: string | null }[];
  readonly witnesses: readonly { name: string; error: string | null; cosignedAt: string | null }[];
}

const status = async (server: ServerProcess): Promise<LogStatus> =>
  (await fetch(`http://127.0.0.1:${server.ports.api}/api/v1/log`)).json() as Promise<LogStatus>;
const checkpoint = async (server: ServerProcess): Promise<string> =>
  (await fetch(`http://127.0.0.1:${server.ports.api}/log/checkpoint`)).text();
const sizeOf = (note: string): number => Number(note.split("\n")[1]);

async function waitFor(server: ServerProcess, holds: (log: LogStatus) => boolean): Promise<void> {
  for (let tries = 0; !holds(await status(server)); tries++) {
    if (tries > 600) throw new Error(JSON.stringify(await status(server)));
    await setTimeout(50);
  }
}

let sent = 0;
async function sendSome(t: Test, server: ServerProcess): Promise<void> {
  const records = Array.from({ length: 20 }, () => ({ body: `record ${sent++}` }));
  const body = writeLogs(oneScope(records, [["service.name", "seal"]]));
  const { signedSize } = await status(server);
  t.equal((await send(server.otlp("logs"), body)).status, 200);
  await waitFor(server, (log) => Number(log.signedSize) >= Number(signedSize) + 20);
}

/** Signature lines of a note by key name and ID, taken apart without our parser: the bytes behind the key ID. */
function signaturesOf(note: string): Map<string, Buffer> {
  const lines = note.slice(note.indexOf("\n\n") + 2).split("\n");
  return new Map(
    lines
      .filter((line) => line !== "")
      .map((line) => {
        const [, name, base64] = line.split(" ");
        const bytes = Buffer.from(base64!, "base64");
        return [`${name}+${bytes.toString("hex", 0, 4)}`, bytes.subarray(4)] as const;
      }),
  );
}

/** Did the key (a vkey) sign the note? With node:crypto alone; a cosigner's message has its time in front (tlog-cosignature). */
function isSignedBy(note: string, verifierKey: string): boolean {
  const [, id, base64] = /^([^+]+\+[0-9a-f]{8})\+(.+)$/.exec(verifierKey)!;
  const signature = signaturesOf(note).get(id!);
  if (signature === undefined) return false;
  const key = Buffer.from(base64!, "base64");
  const publicKey = createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: key.subarray(1).toString("base64url") },
    format: "jwk",
  });
  const text = note.slice(0, note.indexOf("\n\n") + 1);
  const isCosigner = key[0] === 4;
  const message = isCosigner
    ? `cosignature/v1\ntime ${signature.readBigUInt64BE(0)}\n${text}`
    : text;
  return verify(null, Buffer.from(message), publicKey, signature.subarray(isCosigner ? 8 : 0));
}

/** The configuration that `ServerProcess` will start with, so that commands can run before it. */
function configIn(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, "before.yaml");
  writeFileSync(
    file,
    `processors: { seal: { origin: ${ORIGIN} } }
storage: { directory: ${JSON.stringify(join(directory, "data"))} }
`,
  );
  return file;
}

/** Runs a command with the configuration of the server in `directory`; its exit code, and what it prints as JSON. */
async function json(
  directory: string,
  ...args: string[]
): Promise<Readonly<Record<string, unknown>>> {
  const [config, extra] = ["test.yaml", "extra.yaml"].map((name) => join(directory, name));
  const result = await runCommand(...args, "--json", "--config", config!, "--config", extra!);
  const printed = result.stdout === "" ? {} : (JSON.parse(result.stdout) as object);
  return { ...printed, exit: result.code, stderr: result.stderr };
}

/** `serve` on a directory that it must refuse. Returns what it says. */
async function refusedStart(directory: string, config: string): Promise<string> {
  writeFileSync(join(directory, "extra.yaml"), config);
  const { exit, stderr } = await json(directory, "serve");
  if (exit !== 3) throw new Error(`exit code ${String(exit)}: ${String(stderr)}`);
  return String(stderr)
    .split("\n")
    .findLast((line) => line.startsWith("meshproof: "))!;
}

t.test("a log with witnesses and an anchor", { skip }, async (t) => {
  const root = temporaryDirectory(t);
  const directory = join(root, "server");
  const anchor = join(root, "anchor");
  const before = configIn(directory);
  const { stdout } = await runCommand("key", "generate", "--json", "--config", before);
  const { verifierKey } = JSON.parse(stdout) as { verifierKey: string };
  const fakes = await Promise.all(
    ["north", "south", "press"].map((name) =>
      FakeWitness.start({
        name: `${name}.example`,
        privateKey: generateKeyPairSync("ed25519").privateKey,
        origin: ORIGIN,
        logKeys: [parseVerifierKey(verifierKey)],
      }),
    ),
  );
  t.teardown(() => Promise.all(fakes.map((fake) => fake.stop())));
  const policyFile = join(directory, "witnesses.policy");
  writeFileSync(
    policyFile,
    [
      `log ${verifierKey}`,
      ...fakes.map(
        ({ cosigner, url }) => `witness ${cosigner.name} ${cosigner.verifierKey} ${url}`,
      ),
      `group two-of-three 2 ${fakes.map(({ cosigner }) => cosigner.name).join(" ")}`,
      "quorum two-of-three\n",
    ].join("\n"),
  );
  const configOf = (others = ""): string =>
    `processors: { seal: { origin: ${ORIGIN}, checkpoint_interval: 50ms, anchor: ${JSON.stringify(anchor)},
  witnesses: { policy_file: ${JSON.stringify(policyFile)}, interval: 100ms, timeout: 2s ${others} } } }\n`;
  const setDown = (...names: string[]): void => {
    for (const fake of fakes)
      fake.misbehave = names.some((name) => fake.cosigner.name.startsWith(name))
        ? (_, response) => (response.writeHead(500).end(), true)
        : null;
  };
  setDown("press");
  let server = await ServerProcess.start(directory, configOf());
  t.teardown(() => server.kill());
  const cosignersOf = (note: string): number =>
    fakes.filter(({ cosigner }) => isSignedBy(note, cosigner.verifierKey)).length;

  await t.test("publishes with a quorum: served, stored, and in proofs", async (t) => {
    await sendSome(t, server);
    await waitFor(server, ({ lag }) => lag === "0");
    const note = await checkpoint(server);
    t.ok(isSignedBy(note, verifierKey), "by the log");
    t.equal(cosignersOf(note), 2);
    const proof = `http://127.0.0.1:${server.ports.api}/api/v1/records/5/proof`;
    await waitForCount(server, "SELECT count() FROM otel_logs", 20);
    const text = await (await fetch(proof)).text();
    const proved = text.slice(text.indexOf("\n\n") + 2);
    t.ok(isSignedBy(proved, verifierKey));
    t.equal(cosignersOf(proved), 2);
    t.match((await status(server)).witnesses, [
      { name: "north.example", error: null, cosignedAt: /^\d+$/, size: /^\d+$/ },
      { name: "south.example", error: null },
      { name: "press.example", error: /500/, cosignedAt: null },
    ]);
  });

  await t.test("holds back what has none, and goes on sealing and storing", async (t) => {
    const { publishedSize } = await status(server);
    setDown("south", "press");
    await sendSome(t, server);
    await sendSome(t, server);
    await waitForCount(server, "SELECT count() FROM otel_logs", 60);
    const log = await status(server);
    t.equal(log.publishedSize, publishedSize);
    t.ok(Number(log.signedSize) >= Number(publishedSize) + 40);
    t.match(
      await json(directory, "verify"),
      { exit: 0, integrity: "ok", faults: [] },
      "verify takes what is signed, not what is published",
    );
    t.equal(await server.stop(), 0);
  });
  const older = join(root, "older");
  cpSync(directory, older, { recursive: true });

  await t.test(
    "fails open when it may, and a finding says so until the quorum is back",
    async (t) => {
      server = await ServerProcess.start(directory, configOf(", fail_open_after: 300ms"));
      const [stored] = await server.query<{ Note: string }>(
        "SELECT Note FROM checkpoints ORDER BY TreeSize DESC LIMIT 1",
      );
      t.equal(cosignersOf(stored!.Note), 2, "the store has the cosigned checkpoint of before");
      await sendSome(t, server);
      await waitFor(server, ({ lag }) => lag === "0");
      t.equal(cosignersOf(await checkpoint(server)), 1);
      const rows = "SELECT count() FROM findings WHERE FindingKind = 'unwitnessed'";
      await waitForCount(server, rows, 1);
      setDown();
      await sendSome(t, server);
      await waitForCount(server, rows, 2);
      t.match(
        await server.query(
          "SELECT State, Subject, Detail['reason'] AS reason FROM findings WHERE FindingKind = 'unwitnessed' ORDER BY LeafIndex",
        ),
        [
          { State: "open", Subject: ORIGIN, reason: /without a quorum .* south.example, press/ },
          { State: "resolved", Subject: ORIGIN, reason: /has a quorum/ },
        ],
      );
      await waitFor(server, ({ lag }) => lag === "0");
      t.equal(await server.stop(), 0);
      const [kept, served] = [anchor, join(server.dataDirectory, "log/checkpoint")].map((file) =>
        readFileSync(file, "utf8"),
      );
      t.equal(kept, served, "the anchor has the last one");
      t.ok(cosignersOf(kept!) >= 2, "which the witnesses have seen");
    },
  );

  await t.test("refuses an older copy, whoever shows that it is one", async (t) => {
    rmSync(directory, { recursive: true });
    cpSync(older, directory, { recursive: true });
    const files = readFileSync(join(directory, "data/state/checkpoint.json"));
    const known = sizeOf((JSON.parse(files.toString()) as { checkpoint: string }).checkpoint);
    const ahead = sizeOf(readFileSync(anchor, "utf8"));
    t.ok(ahead > known);
    const onlyAnchor = `processors: { seal: { origin: ${ORIGIN}, anchor: ${JSON.stringify(anchor)} } }\n`;
    const said = await refusedStart(directory, onlyAnchor);
    t.match(said, `the anchor ${anchor} has a checkpoint of ${ahead} records`);
    t.match(said, `knows of ${known}`);
    t.match(said, /Restore the newest copy of the whole directory/);
    t.match(
      await refusedStart(directory, configOf().replace(/anchor: "[^"]*",/, "")),
      new RegExp(`witness \\w+.example has a checkpoint of ${ahead} records .* knows of ${known}`),
    );
    t.same(readFileSync(join(directory, "data/state/checkpoint.json")), files, "nothing is signed");
  });

  await t.test("refuses a log that is older than its store, and another key", async (t) => {
    const origin = `processors: { seal: { origin: ${ORIGIN} } }\n`;
    server = await ServerProcess.start(directory, origin);
    await sendSome(t, server);
    t.equal(await server.stop(), 0, "without an anchor an older copy goes on unseen");
    for (const name of ["log", "state", "journal"]) {
      rmSync(join(directory, "data", name), { recursive: true });
      cpSync(join(older, "data", name), join(directory, "data", name), { recursive: true });
    }
    t.match(
      await refusedStart(directory, origin),
      /the table checkpoints has a checkpoint of \d+ records .* knows of \d+/,
    );
    rmSync(join(directory, "data/secrets/log-key.pem"));
    t.match(await refusedStart(directory, origin), /found no file; restore it/);
    await runCommand("key", "generate", "--config", configIn(join(root, "elsewhere")));
    cpSync(
      join(root, "elsewhere/data/secrets/log-key.pem"),
      join(directory, "data/secrets/log-key.pem"),
    );
    t.match(await refusedStart(directory, origin), /was signed by key [0-9a-f]{8} .*KEY_INVALID/);
  });
});

t.test("a key is replaced while the log goes on", { skip }, async (t) => {
  const root = temporaryDirectory(t);
  const directory = join(root, "server");
  const config = `processors: { seal: { origin: ${ORIGIN}, checkpoint_interval: 50ms } }\n`;
  let server = await ServerProcess.start(directory, config);
  t.teardown(() => server.kill());
  const run = (...args: string[]) => json(directory, ...args);
  const restart = async (): Promise<void> => {
    server = await ServerProcess.start(directory, config);
    await sendSome(t, server);
    await waitFor(server, ({ lag }) => lag === "0");
  };
  await sendSome(t, server);
  const old = (await status(server)).verifierKey;
  await waitForCount(server, "SELECT count() FROM otel_logs", 20);
  const early = join(root, "early");
  await run("prove", "5", "--output", early);

  const rotated = await run("key", "rotate");
  t.match(rotated, { exit: 0, retiring: old });
  const next = rotated["verifierKey"] as string;
  t.not(next, old);
  await sendSome(t, server);
  t.ok(isSignedBy(await checkpoint(server), old), "a server that runs goes on as it was");
  t.match(await run("key", "rotate", "--finish"), {
    exit: 3,
    stderr: /start the server once/,
  });
  t.equal(await server.stop(), 0);
  await restart();
  const both = await checkpoint(server);
  t.ok(isSignedBy(both, old) && isSignedBy(both, next), "two signatures");
  const { keys } = await status(server);
  t.match(keys, [
    { verifierKey: old, through: null, record: null },
    { verifierKey: next, through: null, record: /^\d+$/ },
  ]);
  await server.kill();
  await restart();

  const record = keys[1]!.record!;
  await waitForCount(server, `SELECT count() FROM control_records WHERE LeafIndex = ${record}`, 1);
  const proofs = join(root, "rotation");
  await run("prove", record, "--output", proofs);
  const proof = join(proofs, `${record}.tlog-proof`);
  t.match(
    await run("verify-proof", "--key", old, proof),
    { exit: 0, record: { ControlKind: "key_rotated", Detail: { old_key: old, new_key: next } } },
    "whoever has the old key alone learns of the new one from the log",
  );
  t.equal(await server.stop(), 0);
  t.match(await run("key", "rotate", "--finish"), { exit: 0, retired: old, verifierKey: next });
  await restart();
  const after = await checkpoint(server);
  t.ok(isSignedBy(after, next));
  t.notOk(isSignedBy(after, old));
  await waitForCount(
    server,
    "SELECT count() FROM control_records WHERE ControlKind = 'key_retired'",
    1,
  );
  t.same(
    await server.query(
      "SELECT ControlKind, count() AS n FROM control_records WHERE ControlKind LIKE 'key_%' GROUP BY ControlKind ORDER BY ControlKind",
    ),
    [
      { ControlKind: "key_retired", n: "1" },
      { ControlKind: "key_rotated", n: "1" },
    ],
    "each once, over a kill",
  );
  t.equal(await server.stop(), 0, "which also writes the newest checkpoint into the store");
  t.match(await run("verify"), { exit: 0, integrity: "ok", faults: [] });
  t.match(await run("verify", "--key", next), { exit: 0, integrity: "ok" }, "and by the new key");
  t.match(
    await run("verify", "--log-only", "--key", old),
    { exit: 1, faults: [{ fault: "checkpoint_invalid" }] },
    "the old key does not vouch for what came after",
  );
  const proofOfRecord = join(early, "5.tlog-proof");
  t.match(await run("verify-proof", proofOfRecord), { exit: 0 }, "an old proof still holds here");
  t.match(await run("verify-proof", "--key", old, proofOfRecord), { exit: 0 });
  t.match(await run("verify-proof", "--key", next, proofOfRecord), { exit: 1 });
  t.match(await run("key"), { verifierKey: next, retiring: null, keys: [{}, {}] });
});

t.test(
  "two servers on one directory: the second is refused, the first goes on",
  { skip },
  async (t) => {
    const directory = join(temporaryDirectory(t), "server");
    const server = await ServerProcess.start(directory);
    t.teardown(() => server.kill());
    t.match(
      await refusedStart(directory, "{}\n"),
      `in use by process ${server.pid}: end it, or choose another storage.directory`,
    );
    await sendSome(t, server);
    t.ok(existsSync(join(directory, "data/ports.json")));
    t.equal(await server.stop(), 0);
  },
);

const cannotMount =
  spawnSync("unshare", ["-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status !== 0 &&
  "needs unshare and a kernel that lets users mount";

t.test(
  "a full disk: 503, and everything goes on when there is room",
  { skip: cannotMount },
  async (t) => {
    const directory = temporaryDirectory(t);
    const config = join(directory, "test.yaml");
    const disk = join(directory, "disk");
    mkdirSync(disk);
    writeFileSync(
      config,
      `receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0", max_request_body_size: 1MiB } } } }
processors: { seal: { checkpoint_interval: 50ms } }
extensions: { health_check: { endpoint: "127.0.0.1:0" }, api: { endpoint: "127.0.0.1:0" } }
exporters: { clickhouse: { endpoint: "http://127.0.0.1:9" } }
storage: { directory: ${JSON.stringify(join(disk, "data"))} }
service: { telemetry: { metrics: { address: "127.0.0.1:0" } } }
`,
    );
    const launcher = join(import.meta.dirname, "../bin/meshproof.js");
    const child = spawn(
      "unshare",
      [
        "-Urm",
        "sh",
        "-c",
        'mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" "$3" serve --config "$4"',
        "sh",
        disk,
        process.execPath,
        launcher,
        config,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    t.teardown(() => child.kill("SIGKILL"));
    let log = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
    // The disk is there for that process alone.
    const inside = `/proc/${child.pid}/root${disk}`;
    while (!existsSync(join(inside, "data/ports.json"))) {
      if (child.exitCode !== null) throw new Error(log);
      await setTimeout(50);
    }
    const ports = JSON.parse(readFileSync(join(inside, "data/ports.json"), "utf8")) as {
      otlp: number;
      api: number;
      health: number;
    };
    const health = async (): Promise<number> =>
      (await fetch(`http://127.0.0.1:${ports.health}/`)).status;
    const post = (n: number): Promise<Response> => {
      const records = Array.from({ length: 50 }, (_, i) => ({
        body: `record ${n}-${i}`,
        attributes: [["padding", "x".repeat(400)]] as const,
      }));
      return send(`http://127.0.0.1:${ports.otlp}/v1/logs`, writeLogs(oneScope(records)));
    };
    writeFileSync(join(inside, "filler"), Buffer.alloc(4_000_000));
    let acknowledged = 0;
    let response = await post(0);
    for (; response.status === 200 && acknowledged < 1_000; response = await post(acknowledged))
      acknowledged++;
    t.equal(response.status, 503);
    t.match(response.headers.get("retry-after"), /^[1-9]\d*$/);
    t.equal(await health(), 503);
    rmSync(join(inside, "filler"));
    t.equal((await post(acknowledged)).status, 200, "taken again as soon as there is room");
    acknowledged++;
    t.equal(await health(), 200);
    const signed = async (): Promise<number> => {
      const answer = await fetch(`http://127.0.0.1:${ports.api}/api/v1/log`);
      return Number(((await answer.json()) as LogStatus).publishedSize);
    };
    while ((await signed()) < acknowledged * 50) await setTimeout(20);
    t.equal(log.match(/checkpoint put off/g)?.length ?? 1, 1, "said once");
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  },
);
