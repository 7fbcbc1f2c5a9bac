import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { KINDS } from "../../../src/core/kinds.ts";
import { TABLES } from "../../../src/records/columns.ts";
import { formatVerifierKey } from "../../../src/tlog/note.ts";
import { batchesOf, oddLog, oddSpan } from "../../support/odd-records.ts";
import { oneScope, writeLogs, writeTraces } from "../../support/otlp-writer.ts";
import { signerOf } from "../../support/new-history.ts";
import { send } from "../../support/senders.ts";
import { ServerProcess } from "../../support/server-process.ts";
import { applicationBody, envoyBody, spanBody } from "../../support/traffic.ts";
import { type Lane, type LaneContext } from "../lane.ts";
import { logUrl, oneOfEachKind, sendRefusedRecord, settled, storedKinds } from "../log/fill.ts";
import { writeProofs } from "../log/proofs.ts";
import { Proxy } from "../log/proxy.ts";
import { PROOF_TAMPERINGS, tamperings } from "../log/tampering.ts";
import { requireEngine } from "../server.ts";

const PROGRAM = resolve(import.meta.dirname, "../format/formatcheck.py");
const DOCUMENT = resolve(import.meta.dirname, "../../../docs/design/format.md");
const ORIGIN = "interop.example/format";
const CONFIGURATION = `processors: { seal: { origin: ${ORIGIN}, checkpoint_interval: 250ms } }\n`;
const CHECK = { timeLimitMs: 120_000 };
/** Longer than max_record_size: it is cut. */
const LONG = "x".repeat(1_500_000);

/** A verifier that was written from docs/design/format.md, against its worked bytes, a running server and the rows in ClickHouse. */
export const lane: Lane = {
  name: "format",
  title: "a verifier written from the format document alone reads log, rows and proofs",
  needs: ["python3"],
  timeLimitMs: 10 * 60_000,
  run,
};

async function run(context: LaneContext): Promise<void> {
  const { check, children, note, signal } = context;
  await check("the worked bytes of the document are what it says", async () => {
    const { code, stdout, stderr } = await children.run(
      "python3",
      [PROGRAM, "document", DOCUMENT],
      CHECK,
    );
    assert.equal(code, 0, stderr);
    return stdout.trim();
  });
  requireEngine();
  const directory = join(context.directory, "server");
  const proofs = join(context.directory, "proofs");
  mkdirSync(proofs);
  let server = await ServerProcess.start(directory, CONFIGURATION);
  try {
    note("sending records of all kinds, also odd ones and one that is too long");
    for (const [signal, body] of [
      ["logs", applicationBody(700)],
      ["logs", envoyBody(700)],
      ["traces", spanBody(700)],
      ["logs", writeLogs(batchesOf("odd", oddLog))],
      ["traces", writeTraces(batchesOf("odd", oddSpan))],
      ["logs", writeLogs(oneScope([{ body: LONG, attributes: [["long", LONG]] }]))],
    ] as const) {
      const response = await send(server.otlp(signal), body);
      assert.equal(response.status, 200, await response.text());
    }
    await sendRefusedRecord(server);
    await server.stop();
    server = await ServerProcess.start(directory, CONFIGURATION);
    await checkServer(context, server, proofs);
    signal.throwIfAborted();
  } finally {
    await server.kill();
  }
}

interface Verdict {
  readonly refused: string | null;
  readonly kinds: Readonly<Record<string, number>>;
  readonly size: number;
  readonly proofs: number;
}

async function checkServer(
  context: LaneContext,
  server: ServerProcess,
  proofs: string,
): Promise<void> {
  const { check, children, signal } = context;
  const { verifierKey } = await settled(server, signal);
  const note = await (await fetch(`${logUrl(server)}/checkpoint`)).text();
  const size = Number(note.split("\n")[1]);
  const expected = await storedKinds(server, size, signal);
  await writeProofs(
    context,
    server,
    [0, 255, 256, size - 1, ...(await oneOfEachKind(server))],
    proofs,
  );
  const proxy = await Proxy.start(logUrl(server), note);
  const verdict = async (key: string, directory: string): Promise<Verdict> => {
    const password = join(server.dataDirectory, "secrets/clickhouse-reader");
    const { code, stdout, stderr } = await children.run(
      "python3",
      [
        PROGRAM,
        "log",
        "--log",
        proxy.url,
        "--key",
        key,
        "--store",
        `http://127.0.0.1:${server.ports.clickhouseHttp}`,
        "--user",
        "reader",
        "--password-file",
        password,
        "--proofs",
        directory,
      ],
      CHECK,
    );
    if (code === 0) return { refused: null, ...(JSON.parse(stdout) as Omit<Verdict, "refused">) };
    if (code !== 1 || !stderr.startsWith("formatcheck: "))
      throw new Error(`it ended with ${code}: ${stderr}`);
    return { refused: stderr.trim(), kinds: {}, size: 0, proofs: 0 };
  };
  const refuses = (what: string, act: () => Promise<Verdict>, because: RegExp): Promise<boolean> =>
    check(`it refuses ${what}`, async () => {
      const { refused } = await act();
      assert.match(refused ?? "it accepted", because);
      return refused!;
    });
  try {
    await check("it accepts the log, every row in ClickHouse and the proofs", async () => {
      const { refused, kinds, ...seen } = await proxy.during(null, () =>
        verdict(verifierKey, proofs),
      );
      assert.equal(refused, null);
      assert.deepEqual(kinds, expected);
      assert.deepEqual(Object.keys(kinds), Object.values(KINDS).map(String), "all kinds");
      assert.deepEqual([seen.size, seen.proofs], [size, readdirSync(proofs).length]);
      return `${size} records of all kinds, ${seen.proofs} proofs`;
    });
    for (const tampering of tamperings(size)) {
      // A log of a few thousand records has no full tile there.
      if (tampering.path === "tile/1/000") continue;
      await refuses(
        tampering.what,
        () => proxy.during(tampering, () => verdict(verifierKey, proofs)),
        /^formatcheck: /,
      );
    }
    await refuses(
      "the log under another key",
      () => verdict(formatVerifierKey(signerOf(ORIGIN).key), proofs),
      /not signed by the key/,
    );
    const [first] = readdirSync(proofs);
    const text = readFileSync(join(proofs, first!), "utf8");
    for (const [n, { what, change }] of PROOF_TAMPERINGS.entries()) {
      const directory = join(context.directory, `changed-${n}`);
      mkdirSync(directory);
      writeFileSync(join(directory, first!), change(text));
      await refuses(
        `a proof file with ${what}`,
        () => verdict(verifierKey, directory),
        new RegExp(`^formatcheck: ${first!.replaceAll(".", "\\.")}: `),
      );
    }
    await checkRowsRefused(server, size, refuses, () => verdict(verifierKey, proofs));
  } finally {
    await proxy.close();
  }
}

/** Rows that are changed in ClickHouse, one table after the other; those of the end are not put back. */
async function checkRowsRefused(
  server: ServerProcess,
  size: number,
  refuses: (what: string, act: () => Promise<Verdict>, because: RegExp) => Promise<boolean>,
  verdict: () => Promise<Verdict>,
): Promise<void> {
  const admin = async (statement: string): Promise<void> => {
    await server.query(`${statement} SETTINGS mutations_sync = 2`, "admin");
  };
  for (const { name } of Object.values(TABLES)) {
    const [row] = await server.query<{ leaf: string }>(
      `SELECT max(LeafIndex) AS leaf FROM ${name} WHERE LeafIndex < ${size}`,
    );
    const where = `WHERE LeafIndex = ${row!.leaf}`;
    const salt = `reinterpretAsFixedString(bitNot(reinterpretAsUInt128(Salt)))`;
    await admin(`ALTER TABLE ${name} UPDATE Salt = ${salt} ${where}`);
    await refuses(
      `another salt of a row in ${name}`,
      verdict,
      new RegExp(`record ${row!.leaf} in ${name} is not what was sealed`),
    );
    await admin(`ALTER TABLE ${name} UPDATE Salt = ${salt} ${where}`);
  }
  const [log] = await server.query<{ leaf: string }>(
    "SELECT max(LeafIndex) AS leaf FROM otel_logs",
  );
  await server.query(
    `INSERT INTO otel_logs SELECT * FROM otel_logs WHERE LeafIndex = ${log!.leaf}`,
    "admin",
  );
  await refuses("a row that is there twice", verdict, /has two rows/);
  await admin(`ALTER TABLE otel_logs DELETE WHERE LeafIndex = ${log!.leaf}`);
  await refuses("a row that is gone", verdict, /has no row/);
}
