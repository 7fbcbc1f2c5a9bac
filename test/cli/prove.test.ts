import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import t from "tap";
import { main } from "../../src/cli/index.ts";
import { type Table, TABLES } from "../../src/records/columns.ts";
import type { RowInput } from "../../src/records/row-codec.ts";
import { rowToJson } from "../../src/records/row-json.ts";
import { formatVerifierKey, signNote } from "../../src/tlog/note.ts";
import { formatProofBundle } from "../../src/tlog/proof-bundle.ts";
import { Prover } from "../../src/verify/prover.ts";
import { oneScope, writeLogs, writeTraces } from "../support/otlp-writer.ts";
import { newKey, newWitness, ORIGIN, RecordLog } from "../support/record-log.ts";
import { rowOf } from "../support/rows.ts";
import { send } from "../support/senders.ts";
import { temporaryDirectory, whyNoEngine } from "../support/server-fixture.ts";
import { ServerProcess } from "../support/server-process.ts";
import { provedRow } from "../support/strangers-verifier.ts";
import { waitForCount } from "../support/stored-rows.ts";
import { envoyBody, envoyLog, spanInput } from "../support/traffic.ts";

/** `meshproof prove` and `meshproof verify-proof`, from the command line. */

t.setTimeout(180_000);

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(...args: string[]): Promise<Run> {
  let out = "";
  let err = "";
  const streams = {
    stdout: { write: (written: string) => (out += written) },
    stderr: { write: (written: string) => (err += written) },
  };
  const code = await main(args, streams, {});
  return { code, out, err };
}

// oxlint-disable-next-line typescript/no-explicit-any
function linesOf(json: string): any[] {
  return json
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

const { signer, key } = newKey();
const vkey = formatVerifierKey(key);

/** A proof of one record in a log of three. */
async function proofOf(table: Table, given: Readonly<Record<string, RowInput>>): Promise<string> {
  const log = new RecordLog(signer);
  const row = rowOf(table, { Salt: Buffer.alloc(16, 0xab), ...given });
  await log.seal(rowOf(TABLES.control), row, rowOf(TABLES.span));
  const proved = await (await Prover.open({ log, origin: ORIGIN, keys: [key] })).prove(1, row);
  if ("fault" in proved) throw new Error(proved.detail);
  return proved.proof;
}

t.test(
  "verify-proof shows the record of a proof that holds, for people and programs",
  async (t) => {
    const given = {
      Timestamp: 1_753_000_000_123_456_789n,
      Path: "/orders",
      PeerAddress: Buffer.from("00000000000000000000ffff0a000001", "hex"),
      StatusCode: 403,
      DurationNs: 0n,
      RequestBytes: -1n,
      ActorChain: ["spiffe://a", "spiffe://b"],
      LogAttributes: [
        ["k", "1"],
        ["l", "2"],
      ],
    } as const;
    const proof = await proofOf(TABLES.access, given);
    const file = join(t.testdir({ "1.tlog-proof": proof }), "1.tlog-proof");
    const { code, out, err } = await run("verify-proof", "--key", vkey, file);
    t.same([code, err], [0, ""]);
    t.match(out, `HOLDS  ${file}: this access record is what was sealed\n`);
    t.match(out, new RegExp(`^  Log +${ORIGIN}$`, "m"));
    t.match(out, /^ {2}Position +record 1 of the 3 that the checkpoint covers$/m);
    t.match(out, /^ {2}Timestamp +2025-07-20T08:26:40\.123456789Z$/m);
    t.match(out, /^ {2}PeerAddress +::ffff:10\.0\.0\.1$/m);
    t.match(out, /^ {2}ActorChain +spiffe:\/\/a\n +spiffe:\/\/b$/m);
    t.match(out, /^ {2}LogAttributes +k = 1\n +l = 2$/m);
    t.match(out, /^ {2}DurationNs +0$/m, "zero is a value where -1 means unknown");
    t.notMatch(out, /RequestBytes|Method|LocalAddress|ObservedTimestamp|PeerPort/, "empty columns");
    const all = await run("verify-proof", "--all", "--key", vkey, file);
    t.match(all.out, /^ {2}RequestBytes +-1$/m);
    t.match(all.out, /^ {2}Method$/m);

    const json = await run("verify-proof", "--json", "--origin", ORIGIN, "--key", vkey, file);
    t.equal(json.code, 0);
    const kind = TABLES.access.kind;
    t.same(JSON.parse(json.out), {
      file,
      verdict: "ok",
      origin: ORIGIN,
      treeSize: 3,
      leafIndex: 1,
      signatures: [{ key: vkey, time: null }],
      kind: "access",
      record: rowToJson(kind, rowOf(TABLES.access, { Salt: Buffer.alloc(16, 0xab), ...given })),
    });
  },
);

/** A bundle of every record of a log of one of each kind. */
async function bundleOf(rows: readonly Uint8Array[], note?: (log: RecordLog) => Promise<string>) {
  const log = new RecordLog(signer);
  await log.seal(...rows);
  if (note !== undefined) log.note = await note(log);
  const prover = await Prover.open({ log, origin: ORIGIN, keys: [key] });
  const { bundle } = await prover.proveMany(rows.map((extra, index) => ({ index, extra })));
  return [...formatProofBundle(bundle!)].join("");
}

t.test("verify-proof shows the records of a bundle, one a line, or all of each", async (t) => {
  const at = { Timestamp: 1_753_000_000_123_456_789n };
  const rows = [
    rowOf(TABLES.access, {
      ...at,
      Decision: "denied",
      Method: "GET",
      ServiceName: "shop",
      Path: "/o\u001b[2J",
      StatusCode: 403,
      PeerPrincipal: "spiffe://a/ns/b/sa/c",
      GrpcStatus: -1,
    }),
    rowOf(TABLES.span, { ...at, SpanName: "GET /orders", ServiceName: "shop" }),
    rowOf(TABLES.log, { ...at, Body: "a line" }),
    rowOf(TABLES.link, { ...at, Rule: "span", AccessLeaf: 0n, SpanLeaf: 1n }),
    rowOf(TABLES.finding, { ...at, FindingKind: "clock_skew", Subject: "shop" }),
    rowOf(TABLES.control, { ...at, ControlKind: "start" }),
  ];
  const file = join(t.testdir({ b: await bundleOf(rows) }), "b");
  const { code, out, err } = await run("verify-proof", "--key", vkey, file);
  t.same([code, err], [0, ""]);
  t.match(out, `HOLDS  ${file}: these 6 records are what was sealed\n`);
  t.match(out, /^ {2}Position +records 0 to 5 of the 6 that the checkpoint covers$/m);
  t.match(
    out,
    /^ {2}0 {2}2025-07-20 08:26:40\.123 {2}access {3}denied b\/c GET .*\/o\\x1b\[2J 403$/m,
  );
  for (const line of [
    "1  2025-07-20 08:26:40.123  span     shop GET /orders",
    "2  2025-07-20 08:26:40.123  log      a line",
    "3  2025-07-20 08:26:40.123  link     span 0 1",
    "4  2025-07-20 08:26:40.123  finding  clock_skew shop",
    "5  2025-07-20 08:26:40.123  control  start",
  ])
    t.match(out, `\n  ${line}\n`);
  t.notOk(out.includes("\u001b"));
  const all = await run("verify-proof", "--all", "--key", vkey, file);
  t.match(all.out, /^record 2, otel_logs:\n(?: .*\n)* {2}Body +a line$/m);
  const json = await run("verify-proof", "--json", "--key", vkey, file);
  t.same(
    linesOf(json.out).map(({ verdict, leafIndex, kind, treeSize }) => [
      verdict,
      leafIndex,
      kind,
      treeSize,
    ]),
    ["access", "span", "log", "link", "finding", "control"].map((kind, i) => ["ok", i, kind, 6]),
  );
});

t.test(
  "verify-proof refuses a bundle as a whole, and names a row that it cannot read",
  async (t) => {
    const rows = [rowOf(TABLES.log, { Body: "one" }), rowOf(TABLES.log, { Body: "two" })];
    const good = await bundleOf(rows);
    const newer = Buffer.from(rows[1]!);
    newer[0] = 2;
    const directory = t.testdir({
      good,
      bad: good.replace("index 1", "index 2"),
      newer: await bundleOf([rows[0]!, newer]),
    });
    const verify = (...args: string[]): Promise<Run> => run("verify-proof", "--key", vkey, ...args);
    const file = (name: string): string => join(directory, name);
    t.match(await verify(file("bad")), { code: 1, out: /^FAILS .*\(PROOF_RANGE\)\n$/ });
    t.match(await verify("--json", file("bad")), { code: 1, out: /"verdict":"failed"/ });
    const read = await verify("--json", file("newer"));
    t.equal(read.code, 1);
    t.match(linesOf(read.out), [
      { verdict: "ok", leafIndex: 0 },
      { verdict: "failed", leafIndex: 1, code: "ROW_INVALID" },
    ]);
    t.match(await verify(file("newer")), { code: 1, out: /version 2: it was sealed/ });

    t.match(await verify("--extract", "1", file("good")), {
      code: 0,
      out: /^c2sp.org\/tlog-proof@v1/,
    });
    t.match(await verify("--extract", "1", file("bad")), { code: 1, out: "", err: /FAILS/ });
    t.match(await verify("--extract", "2", file("good")), {
      code: 2,
      err: /a record of the bundle/,
    });
    t.match(await verify("--extract", "1", file("good"), file("good")), { code: 2 });
    t.match(await verify("--extract", "1", "--json", file("good")), { code: 2 });
  },
);

t.test("verify-proof asks for the quorum of a policy", async (t) => {
  const witness = newWitness("witness.example/w", 1_700_000_000n);
  const rows = [rowOf(TABLES.log, { Body: "one" }), rowOf(TABLES.log, { Body: "two" })];
  const bundle = await bundleOf(rows, (log) =>
    signNote(log.note!.slice(0, log.note!.indexOf("\n\n") + 1), [signer, witness.signer]),
  );
  const names = `witness W ${formatVerifierKey(witness.key)}\nwitness V ${formatVerifierKey(newWitness("v", 1n).key)}\n`;
  const directory = t.testdir({
    bundle,
    alone: await bundleOf(rows),
    met: `log ${vkey}\n${names}group some any V W\nquorum some\n`,
    unmet: `log ${vkey}\n${names}group each all V W\nquorum each\n`,
    none: `log ${vkey}\nquorum none\n`,
    logless: `${names}quorum W\n`,
    broken: `${names}quorum nobody\n`,
  });
  const file = (name: string): string => join(directory, name);
  const verify = (policy: string, ...args: string[]): Promise<Run> =>
    run("verify-proof", "--policy", file(policy), ...args);
  const single = await verify("met", "--extract", "0", file("bundle"));
  writeFileSync(file("single"), single.out);
  for (const name of ["bundle", "single"]) {
    const { code, out } = await verify("met", file(name));
    t.equal(code, 0);
    t.match(out, /^ {2}Signed by +witness\.example\/w\+[0-9a-f]{8} at 2023-11-14T22:13:20\.000Z$/m);
    t.match(out, /^ {2}Quorum +some, met by W$/m);
    const [line] = linesOf((await verify("met", "--json", file(name))).out);
    t.match(line, { quorum: "some", witnesses: [{ name: "W", time: "2023-11-14T22:13:20.000Z" }] });
    t.match(await verify("unmet", file(name)), {
      code: 1,
      out: /FAILS .*expected cosignatures by the quorum each, got "those of W"/,
    });
    t.match(await verify("none", file(name)), { code: 0, out: /Quorum +none asked for/ });
    t.match(await verify("logless", "--key", vkey, file(name)), { code: 0, out: /W, met by W/ });
  }
  const timeless = newWitness("witness.example/w", 0n);
  const untimed = await bundleOf(rows, (log) =>
    signNote(log.note!.slice(0, log.note!.indexOf("\n\n") + 1), [signer, timeless.signer]),
  );
  writeFileSync(file("untimed"), untimed);
  writeFileSync(file("policy"), `witness T ${formatVerifierKey(timeless.key)}\nquorum T\n`);
  const { out } = await verify("policy", "--key", vkey, file("untimed"));
  t.match(out, /^ {2}Signed by +witness\.example\/w\+[0-9a-f]{8}$/m, "zero states no time");
  t.match(await verify("met", file("alone")), { code: 1, out: /none of a witness of the policy/ });
  t.match(await verify("met", "--key", vkey, file("bundle")), { code: 2, err: /not both/ });
  t.match(await verify("broken", file("bundle")), { code: 2, err: /line 3.*\(POLICY_INVALID\)/ });
  t.match(await verify("missing", file("bundle")), { code: 2, err: /policy cannot be read/ });
});

t.test("verify-proof says which proof fails and why, and exits 1", async (t) => {
  const proof = await proofOf(TABLES.log, { Body: "the secret" });
  const directory = t.testdir({
    good: proof,
    bad: proof.replace("index 1", "index 2"),
    none: "hello\u001b[2J\n\nworld\n",
  });
  const [good, bad, none] = ["good", "bad", "none"].map((name) => join(directory, name));
  const failed = await run("verify-proof", "--key", vkey, bad!);
  t.equal(failed.code, 1);
  t.match(failed.out, new RegExp(`^FAILS  ${bad}: this row is not record 2 .*PROOF_INVALID`));
  t.notMatch(failed.out, /secret/);
  const many = await run("verify-proof", "--json", "--key", vkey, good!, bad!, none!);
  t.equal(many.code, 1);
  const results = linesOf(many.out);
  t.match(results, [
    { file: good, verdict: "ok" },
    { file: bad, verdict: "failed", code: "PROOF_INVALID" },
    { file: none, verdict: "failed", code: "PROOF_INVALID" },
  ]);
  t.notOk(results.some((result, i) => i > 0 && "record" in result));
  const wrongKey = await run("verify-proof", "--key", formatVerifierKey(newKey().key), good!);
  t.match(wrongKey, { code: 1, out: /^FAILS .*expected a signature by .*NOTE_INVALID/ });
  const wrongOrigin = await run("verify-proof", "--origin", "a.b", "--key", vkey, good!);
  t.match(wrongOrigin, { code: 1, out: /^FAILS .*expected the origin a\.b/ });
});

t.test("verify-proof says when a witness saw the checkpoint, by its own clock", async (t) => {
  const log = new RecordLog(signer);
  const row = rowOf(TABLES.control);
  await log.seal(row);
  const witnesses = [newWitness("one.test/w", 1_753_000_000n), newWitness("two.test/w", 2n ** 62n)];
  const text = log.note!.split("\n\n")[0]! + "\n";
  log.note = await signNote(text, [signer, ...witnesses.map((witness) => witness.signer)]);
  const proved = await (await Prover.open({ log, origin: ORIGIN, keys: [key] })).prove(0, row);
  const file = join(t.testdir({ proof: (proved as { proof: string }).proof }), "proof");
  const keys = [key, ...witnesses.map((witness) => witness.key)].map(formatVerifierKey);
  const args = [...keys.flatMap((one) => ["--key", one]), file];
  const { code, out } = await run("verify-proof", ...args);
  t.equal(code, 0);
  t.match(out, /^ {2}Signed by +one\.test\/w\+[0-9a-f]{8} at 2025-07-20T08:26:40\.000Z$/m);
  t.match(out, /two\.test\/w\+[0-9a-f]{8} at 4611686018427387904 s after 1970$/m);
  t.same(
    linesOf((await run("verify-proof", "--json", ...args)).out)[0].signatures.map(
      (one: { time: string | null }) => one.time,
    ),
    [null, "2025-07-20T08:26:40.000Z", "4611686018427387904 s after 1970"],
  );
});

t.test("neither a record nor a broken file can steer the terminal", async (t) => {
  const hostile = "\u001b[2J\u009b1m\u202e\n  HOLDS  forged";
  const proof = await proofOf(TABLES.log, {
    Body: hostile,
    LogAttributes: [[hostile, hostile]],
    TraceId: `${"x".repeat(5_000)}end`,
  });
  const directory = t.testdir({
    good: proof,
    bad: `${hostile}\n\n`,
    name: proof.replace(/^— \S+/m, "— meshproof\u009bH"),
  });
  const files = ["good", "bad", "name"].map((name) => join(directory, name));
  const { out, err } = await run("verify-proof", "--key", vkey, ...files, join(directory, hostile));
  // oxlint-disable-next-line no-control-regex
  t.notMatch(out + err, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  t.equal(out.match(/^ *HOLDS/gm)?.length, 1);
  t.match(out, /LogAttributes +\\x1b\[2J\\x9b1m\\u\{202e\}\\n {2}HOLDS {2}forged = /);
  t.match(out, /xxx… \(4003 more characters; --all shows them\)\n/);
  t.match((await run("verify-proof", "--all", "--key", vkey, files[0]!)).out, /xxxend\n/);
});

t.test("what cannot be read exits 3, what cannot be understood 2", async (t) => {
  const directory = t.testdir({ good: await proofOf(TABLES.log, {}) });
  const good = join(directory, "good");
  const missing = join(directory, "missing");
  t.match(await run("verify-proof", "--key", vkey, missing), {
    code: 3,
    out: "",
    err: /missing cannot be read: ENOENT/,
  });
  t.match(await run("verify-proof", "--key", vkey, directory), { code: 3, err: /EISDIR/ });
  t.match(await run("verify-proof", "--key", vkey, missing, good), { code: 3, out: /^HOLDS/ });
  const big = join(directory, "big");
  writeFileSync(big, Buffer.alloc(16 * 1024 * 1024 + 1, 0x41));
  t.match(await run("verify-proof", "--key", vkey, big), {
    code: 3,
    err: /at most 16777216 bytes/,
  });
  const config = join(directory, "c.yaml");
  writeFileSync(config, `storage: { directory: ${JSON.stringify(join(directory, "data"))} }`);
  t.match(await run("verify-proof", "--config", config, good), {
    code: 2,
    out: "",
    err: /expected --key, the verifier key.*\n.*`meshproof key` prints it there/,
  });
  for (const [args, hint] of [
    [["verify-proof"], /missing required argument 'file'/],
    [["verify-proof", "--key", "nonsense", good], /expected <name>\+<8 lower-case hex/],
    [["prove"], /expected leaf indexes, or --trace/],
    [["prove", "1", "--trace", "4bf92f3577b34da6a3ce929d0e0e4736"], /not both/],
    [["prove", "-1"], /Expected a leaf index/],
    [["prove", "1e3"], /Expected a leaf index/],
    [["prove", "9007199254740992"], /Expected a leaf index/],
    [["prove", "--trace", "4bf9"], /Expected a trace ID/],
    [["prove", "1", "2", "-o", "-"], /one leaf index with --output -/],
    [["prove", "1", "-o", "-", "--json"], /not both/],
    [["prove", "1", "--config", config], /expected the log of a meshproof server/],
  ] as const)
    t.match(await run(...args), { code: 2, out: "", err: hint }, args.join(" "));
});

const LAUNCHER = resolve(import.meta.dirname, "../../bin/meshproof.js");

function startCommand(
  { stdin, cwd }: { stdin: "ignore" | "pipe"; cwd: string },
  ...args: readonly string[]
): ChildProcess {
  return spawn(process.execPath, [LAUNCHER, ...args], { stdio: [stdin, "pipe", "inherit"], cwd });
}

interface Outcome {
  readonly leafIndex: number;
  readonly table: string | null;
  readonly file: string | null;
  readonly fault?: string;
}

t.test("records are proved beside a server and without one", { skip: whyNoEngine() }, async (t) => {
  const directory = temporaryDirectory(t);
  const server = await ServerProcess.start(directory);
  t.teardown(() => server.kill());
  const { configFile } = server;
  const auditor = t.testdir({});
  const access = envoyLog(7);
  const traceId = Buffer.from(access.traceId!).toString("hex");
  const count = 300;
  const plain = { ...access, attributes: [], body: "a log in the same trace" };
  for (const [signal, body] of [
    ["logs", envoyBody(count)],
    ["logs", writeLogs(oneScope([plain]))],
    ["traces", writeTraces(oneScope([spanInput(7), spanInput(8)]))],
  ] as const)
    t.equal((await send(server.otlp(signal), body)).status, 200);

  let vkeyHere = "";
  let gone = "";
  await t.test("by index, while the server runs, as soon as they are acknowledged", async (t) => {
    vkeyHere = (await run("key", "--config", configFile)).out.trim();
    const out = join(auditor, "by-index");
    // The last record is sealed a moment later; that is waited for.
    const args = ["0", "5", "303", "5", "--json", "-o", out, "--config", configFile];
    const { code, out: stdout, err } = await run("prove", ...args);
    t.equal(code, 0, err);
    const outcomes = JSON.parse(stdout) as Outcome[];
    t.same(
      outcomes.map(({ leafIndex, file }) => [leafIndex, file]),
      [0, 5, 303].map((index) => [index, join(out, `${index}.tlog-proof`)]),
    );
    t.same(readdirSync(out).toSorted(), ["0.tlog-proof", "303.tlog-proof", "5.tlog-proof"]);
    for (const { file } of outcomes) {
      t.ok(provedRow(readFileSync(file!, "utf8"), vkeyHere), "a stranger's code accepts it");
      t.equal(statSync(file!).mode & 0o077, 0, "others may not read it");
    }
    const many = Array.from({ length: 150 }, (_, i) => String(i));
    const all = await run("prove", ...many, "-o", join(auditor, "many"), "--config", configFile);
    t.match(all, { code: 0, err: "100 of 150 records proved\n" });
    t.equal(readdirSync(join(auditor, "many")).length, 150);

    const bundle = join(auditor, "some.proof-bundle");
    const some = ["303", "5", "100-249", "--bundle", bundle, "--config", configFile];
    const bundled = await run("prove", ...some);
    t.match(bundled, { code: 0, err: "" });
    t.match(bundled.out, /^ {2}152 records {2}.*some\.proof-bundle\n/);
    t.equal(statSync(bundle).mode & 0o077, 0, "others may not read it");
    const checked = await run("verify-proof", "--key", vkeyHere, "--json", bundle);
    t.equal(checked.code, 0);
    t.same(
      linesOf(checked.out).map(({ leafIndex, verdict }) => [leafIndex, verdict]),
      [5, ...Array.from({ length: 150 }, (_, i) => 100 + i), 303].map((index) => [index, "ok"]),
    );
    const alone = await run("verify-proof", "--key", vkeyHere, "--extract", "303", bundle);
    t.same(
      provedRow(alone.out, vkeyHere),
      provedRow(readFileSync(join(out, "303.tlog-proof"), "utf8"), vkeyHere),
    );
    const printed = await run("prove", "5-7", "--bundle", "-", "--config", configFile);
    t.match(printed, { code: 0, err: "", out: /^meshproof\/proof-bundle@v1\nextra / });
    const beyond = await run("prove", "100000", "-o", out, "--config", configFile);
    t.match(beyond, { code: 3, out: "", err: /record 100000 is not sealed/ });
  });

  await t.test(
    "by trace: the records of every kind, and with the key alone they verify",
    async (t) => {
      await waitForCount(server, "SELECT count() FROM access_records", count);
      await waitForCount(server, "SELECT count() FROM otel_traces", 2);
      await waitForCount(server, "SELECT count() FROM otel_logs", 1);
      const out = join(auditor, "by-trace");
      const trace = ["--trace", traceId.toUpperCase()];
      const proved = await run("prove", ...trace, "-o", out, "--config", configFile);
      t.equal(proved.code, 0, proved.err);
      t.match(proved.out, `meshproof verify-proof --key ${vkeyHere} FILE`);
      const files = readdirSync(out).map((name) => join(out, name));
      const args = ["verify-proof", "--json", "--key", vkeyHere, ...files];
      const verifier = startCommand({ stdin: "ignore", cwd: t.testdir({}) }, ...args);
      const [stdout, [code]] = await Promise.all([text(verifier.stdout!), once(verifier, "close")]);
      t.equal(code, 0);
      const results = linesOf(stdout);
      for (const kind of ["access", "log", "span"])
        t.equal(results.filter((result) => result.kind === kind).length, 1, kind);
      for (const { record, leafIndex, kind } of results) {
        t.equal(record.TraceId, traceId);
        const { name } = TABLES[kind as keyof typeof TABLES];
        const [row] = await server.query<{ found: string }>(
          `SELECT count() AS found FROM ${name} WHERE LeafIndex = ${leafIndex} AND Salt = unhex('${record.Salt}')`,
        );
        t.equal(row!.found, "1");
      }
      const unknown = ["--trace", "0".repeat(31) + "1"];
      t.match(await run("prove", ...unknown, "--config", configFile), {
        code: 3,
        err: /no record of it is stored \(NOT_FOUND\)/,
      });
    },
  );

  await t.test("from standard output to standard input", async (t) => {
    const cwd = t.testdir({});
    const config = ["--config", configFile];
    const prover = startCommand({ stdin: "ignore", cwd }, "prove", "7", "-o", "-", ...config);
    const verifier = startCommand({ stdin: "pipe", cwd }, "verify-proof", "-", ...config);
    prover.stdout!.pipe(verifier.stdin!);
    const [out, [code]] = await Promise.all([text(verifier.stdout!), once(verifier, "close")]);
    t.equal(code, 0);
    t.match(out, /^HOLDS {2}standard input: this access record/);
  });

  await t.test(
    "a row that was changed or deleted in ClickHouse is reported, not proved",
    async (t) => {
      const admin = (sql: string): Promise<unknown> => server.query(sql, "admin");
      const places = await server.query<{ LeafIndex: string }>(
        "SELECT LeafIndex FROM access_records ORDER BY LeafIndex LIMIT 4",
      );
      const [changed, deleted, doubled, forged] = places.map(({ LeafIndex }) => LeafIndex);
      gone = deleted!;
      const settings = "SETTINGS mutations_sync = 2";
      await admin(
        `ALTER TABLE access_records UPDATE RequestId = 'another' WHERE LeafIndex = ${changed} ${settings}`,
      );
      await admin(
        `INSERT INTO access_records SELECT * FROM access_records WHERE LeafIndex = ${doubled}`,
      );
      await admin(
        `INSERT INTO access_records SELECT * REPLACE ('forged' AS RequestId) FROM access_records WHERE LeafIndex = ${forged}`,
      );
      const out = join(auditor, "changed");
      const args = ["-o", out, "--config", configFile];
      const one = await run("prove", changed!, ...args);
      t.match(one, {
        code: 1,
        out: "",
        err: `row_changed  record ${changed} in access_records`,
      });
      t.match(await run("prove", doubled!, ...args), { code: 0 });
      const bundle = join(auditor, "changed.proof-bundle");
      const all = `${changed},${deleted},${doubled},${forged}`;
      const some = await run("prove", all, "--bundle", bundle, "--json", "--config", configFile);
      t.equal(some.code, 1);
      t.same(
        (JSON.parse(some.out) as Outcome[])
          .filter(({ fault }) => fault !== undefined)
          .map(({ leafIndex, fault }) => [String(leafIndex), fault]),
        [
          [changed, "row_changed"],
          [forged, "row_changed"],
        ],
      );
      const held = await run("verify-proof", "--key", vkeyHere, "--json", bundle);
      t.same(
        linesOf(held.out).map(({ leafIndex }) => String(leafIndex)),
        [deleted, doubled, forged],
        "the rows that are what was sealed are in it, each once",
      );
      const both = await run("prove", forged!, "--json", ...args);
      t.equal(both.code, 1);
      const outcomes = JSON.parse(both.out) as Outcome[];
      t.same(
        new Set(outcomes.map(({ file, fault }) => [file === null, fault].join())),
        new Set(["true,row_changed", "false,"]),
        "the true row is proved, the other reported",
      );

      // What the journal still holds can be proved, also by its trace.
      const [{ TraceId } = { TraceId: "" }] = await server.query<{ TraceId: string }>(
        `SELECT TraceId FROM access_records WHERE LeafIndex = ${gone}`,
      );
      await admin(`ALTER TABLE access_records DELETE WHERE LeafIndex = ${gone} ${settings}`);
      t.match(await run("prove", gone, ...args), { code: 0 });
      const byTrace = JSON.parse((await run("prove", "--trace", TraceId, "--json", ...args)).out);
      const ofTrace = (byTrace as Outcome[]).map(({ leafIndex }) => String(leafIndex));
      t.ok(ofTrace.includes(gone));
      const others = ofTrace.filter((index) => index !== gone);
      t.same(
        readdirSync(out).toSorted(),
        [doubled, forged, gone, ...others].map((index) => `${index}.tlog-proof`).toSorted(),
      );
    },
  );

  await t.test("without a server, after a clean stop and after a kill", async (t) => {
    t.equal(await server.stop(), 0);
    const prove = (index: number | string, name: string): Promise<Run> =>
      run("prove", String(index), "-o", join(auditor, name), "--config", configFile);
    t.match(await prove(9, "stopped"), { code: 0 });

    const journal = join(server.dataDirectory, "journal");
    renameSync(journal, `${journal}-away`);
    t.match(await prove(gone, "gone"), {
      code: 1,
      out: "",
      err: `row_missing  record ${gone}: no row is stored at this index`,
    });
    const proof = readFileSync(join(auditor, "changed", `${gone}.tlog-proof`), "utf8");
    const row = provedRow(proof, vkeyHere)!.toString("base64");
    const logId = readFileSync(join(server.dataDirectory, "state/log-id"), "utf8").trim();
    const line = { logId, table: "access_records", leafIndex: Number(gone), row };
    const quarantine = join(server.dataDirectory, "quarantine.jsonl");
    writeFileSync(quarantine, `${JSON.stringify(line)}\n`);
    t.match(await prove(gone, "quarantined"), { code: 0 });
    rmSync(quarantine);
    renameSync(`${journal}-away`, journal);

    const again = await ServerProcess.start(directory);
    t.teardown(() => again.kill());
    await again.kill();
    t.match(await prove(9, "killed"), { code: 0 });
    const file = join(auditor, "killed", "9.tlog-proof");
    t.match(await run("verify-proof", "--key", vkeyHere, file), { code: 0 });
  });
});
