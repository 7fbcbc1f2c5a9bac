import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KINDS } from "../../../src/core/kinds.ts";
import { partialTiles, TILE_WIDTH } from "../../../src/tlog/tiles.ts";
import { ServerProcess } from "../../support/server-process.ts";
import type { Lane, LaneContext } from "../lane.ts";
import { type Accepted, buildCheckers, type Checker, type Subject } from "../log/checkers.ts";
import {
  fill,
  keepCheckpoint,
  logUrl,
  oneOfEachKind,
  sendOne,
  sendRefusedRecord,
  settled,
  storedKinds,
} from "../log/fill.ts";
import { writeProofs } from "../log/proofs.ts";
import { Proxy } from "../log/proxy.ts";
import { PROOF_TAMPERINGS, type Tampering, tamperings } from "../log/tampering.ts";
import { requireEngine } from "../server.ts";

/** Requests of 1,000 records before and after a restart: more than 65,536 records, so that tiles have three levels. */
const REQUESTS_BEFORE_RESTART = 60;
const REQUESTS = 105;
const LEAST_RECORDS = 100_000;
const CONFIGURATION = `processors: { seal: { origin: interop.example/log, checkpoint_interval: 250ms } }\n`;

/** Verifiers that we did not write, against our log over HTTP: each must accept it as it is, and refuse it with anything changed. */
export const lane: Lane = {
  name: "log",
  title: "other people's verifiers read our log over HTTP",
  needs: ["go"],
  timeLimitMs: 20 * 60_000,
  run,
};

async function run(context: LaneContext): Promise<void> {
  requireEngine();
  context.note("building the verifiers");
  const checkers = await buildCheckers(context);

  const directory = join(context.directory, "server");
  const [checkpoints, proofs] = ["checkpoints", "proofs"].map((name) => {
    const made = join(context.directory, name);
    mkdirSync(made);
    return made;
  }) as [string, string];
  let server = await ServerProcess.start(directory, CONFIGURATION);
  try {
    context.note(`sending ${REQUESTS} requests of 1,000 records, with a restart`);
    const { signal } = context;
    await fill(server, { from: 0, to: REQUESTS_BEFORE_RESTART, checkpoints }, signal);
    await sendRefusedRecord(server);
    await server.stop();
    server = await ServerProcess.start(directory, CONFIGURATION);
    await fill(server, { from: REQUESTS_BEFORE_RESTART, to: REQUESTS, checkpoints }, signal);
    await growRaggedEdge(server, signal);
    await keepCheckpoint(server, checkpoints);
    await checkLog(context, server, checkers, { checkpoints, proofs });
  } finally {
    await server.kill();
  }
}

/** Records until the tree's right edge is partial at each level, the lowest too. */
async function growRaggedEdge(server: ServerProcess, signal: AbortSignal): Promise<void> {
  for (let n = 0; ; n++) {
    const { publishedSize } = await settled(server, signal);
    if (Number(publishedSize) % TILE_WIDTH !== 0) return;
    await sendOne(server, `record ${n} behind a full tile`);
  }
}

async function checkLog(
  context: LaneContext,
  server: ServerProcess,
  checkers: readonly Checker[],
  { checkpoints, proofs }: { checkpoints: string; proofs: string },
): Promise<void> {
  const { check, signal } = context;
  const { verifierKey } = await settled(server, signal);
  const saved = readdirSync(checkpoints).sort((a, b) => Number.parseInt(a) - Number.parseInt(b));
  const [oldest, newest] = [saved[0]!, saved.at(-1)!].map((file) =>
    readFileSync(join(checkpoints, file), "utf8"),
  ) as [string, string];
  const size = Number(newest.split("\n")[1]);
  const proxy = await Proxy.start(logUrl(server), newest);
  const subject = { log: proxy.url, verifierKey, checkpoints, proofs };
  try {
    await check("the log is large, and ragged at three levels", async () => {
      const edge = partialTiles(size).map(({ width }) => width);
      assert.ok(size >= LEAST_RECORDS, `${size} records`);
      assert.equal(edge.length, 3, `partial tiles: ${edge.join(", ")}`);
      return `${size} records, partial tiles of ${edge.join(", ")}; ${saved.length} checkpoints kept`;
    });
    await check("proof files come from the server and from the command line", async () => {
      const indexes = [0, 1, 255, 256, 65_535, 65_536, size - 1, ...(await oneOfEachKind(server))];
      return writeProofs(context, server, indexes, proofs);
    });
    for (const checker of checkers) {
      await check(`${checker.name} accepts the log as it is served`, async () =>
        describe(await accept(checker, { ...subject, log: logUrl(server) })),
      );
      await check(`${checker.name} accepts it through the proxy, at one checkpoint`, async () => {
        const accepted = await proxy.during(null, () => accept(checker, subject));
        assert.equal(accepted.size, size);
        assert.equal(accepted.root, newest.split("\n")[2]);
      });
    }
    await checkKinds(context, server, checkers[0]!, subject);
    for (const checker of checkers) {
      for (const tampering of tamperings(size))
        await checkRefused(context, checker, proxy, tampering, subject);
      if (checker.readsCheckpoints) {
        const rollback = { what: "a checkpoint older than one it saw", path: "checkpoint" };
        const change = (): Buffer => Buffer.from(oldest);
        await checkRefused(context, checker, proxy, { ...rollback, change }, subject);
      }
      if (checker.readsProofs) await checkProofsRefused(context, checker, proxy, subject);
    }
  } finally {
    await proxy.close();
  }
}

/** Rejects unless `checker` accepts the log, and has looked at all that it was given. */
async function accept(checker: Checker, subject: Subject): Promise<Accepted> {
  const verdict = await checker.check(subject);
  if (!verdict.accepted) throw new Error(verdict.reason);
  assert.ok(verdict.size >= LEAST_RECORDS, `it read ${verdict.size} records`);
  if (checker.readsCheckpoints)
    assert.equal(verdict.consistency, readdirSync(subject.checkpoints).length);
  if (checker.readsProofs) assert.equal(verdict.proofs, readdirSync(subject.proofs).length);
  return verdict;
}

function describe({ size, inclusions, consistency, proofs }: Accepted): string {
  const parts = [
    `${size} records`,
    inclusions === undefined ? "" : `${inclusions} inclusion proofs`,
    consistency === undefined ? "" : `${consistency} consistency proofs`,
    proofs === undefined ? "" : `${proofs} proof files`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** What the log names and what the store holds, counted by programs that do not know of each other. */
async function checkKinds(
  { check, signal }: LaneContext,
  server: ServerProcess,
  tlogcheck: Checker,
  subject: Subject,
): Promise<void> {
  await check("the log has an entry of each row's kind, and as many", async () => {
    const { kinds, size } = await accept(tlogcheck, subject);
    assert.deepEqual(kinds, await storedKinds(server, size, signal));
    assert.deepEqual(Object.keys(kinds!), Object.values(KINDS).map(String), "all kinds");
    return Object.entries(KINDS)
      .map(([name, kind]) => `${name} ${kinds![kind]}`)
      .join(", ");
  });
}

/** The negative control: a check that accepts this, too, would prove nothing. */
async function checkRefused(
  { check }: LaneContext,
  checker: Checker,
  proxy: Proxy,
  tampering: Tampering,
  subject: Subject,
): Promise<void> {
  await check(`${checker.name} refuses ${tampering.what}`, async () => {
    const verdict = await proxy.during(tampering, () => checker.check(subject));
    assert.ok(!verdict.accepted, "it accepted the log");
    return shortened(verdict.reason);
  });
}

async function checkProofsRefused(
  context: LaneContext,
  checker: Checker,
  proxy: Proxy,
  subject: Subject,
): Promise<void> {
  const [first] = readdirSync(subject.proofs).sort();
  const proof = readFileSync(join(subject.proofs, first!), "utf8");
  for (const [n, { what, change }] of PROOF_TAMPERINGS.entries()) {
    const directory = join(context.directory, `${n} ${checker.name.replaceAll(/\W+/g, "-")}`);
    mkdirSync(directory);
    writeFileSync(join(directory, first!), change(proof));
    await context.check(`${checker.name} refuses a proof file with ${what}`, async () => {
      const verdict = await proxy.during(null, () =>
        checker.check({ ...subject, proofs: directory }),
      );
      assert.ok(!verdict.accepted, "it accepted the proof");
      assert.ok(verdict.reason.includes(first!), `not for the proof: ${verdict.reason}`);
      assert.ok(!verdict.reason.includes("disagree"), verdict.reason); // each reader in the program must refuse it
      return shortened(verdict.reason);
    });
  }
}

/** fsck prints whole tiles. */
function shortened(reason: string): string {
  const [line] = reason.split("\n");
  return line!.length > 120 ? `${line!.slice(0, 120)}…` : line!;
}
