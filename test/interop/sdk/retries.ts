import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { oneScope, writeLogs } from "../../support/otlp-writer.ts";
import { send } from "../../support/senders.ts";
import { ServerProcess } from "../../support/server-process.ts";
import type { LaneContext } from "../lane.ts";
import type { Manifest } from "./manifest.ts";
import { counter } from "./metrics.ts";
import { type Encoding, runProgram, type SdkProgram } from "./programs.ts";
import { assertStoredOnce, failuresOf, SIGNALS } from "./records.ts";
import { Relay } from "./relay.ts";

/** Several batches of a signal, which go one after the other. */
const RECORDS = 1_200;
/** One batch of a signal. */
const ONE_BATCH = 100;
const OUTAGE_MS = 3_000;
/** The SDKs give a batch ten seconds in all, retries included. */
const PATIENCE_MS = 10_000;
const STUCK_CONFIG = `receivers: { otlp: { protocols: { http: { max_request_body_size: 1MiB } } } }
storage: { max_size: 2MiB }
`;

/** One program with one encoding, behind a relay of its own. */
interface Sender {
  readonly name: string;
  readonly program: SdkProgram;
  readonly encoding: Encoding;
  readonly relay: Relay;
}

/** A run that has ended. */
interface Ended {
  readonly name: string;
  readonly service: string;
  readonly manifest: Manifest;
  readonly relay: Relay;
}

/** Runs all programs at once: with the timeout that they have of themselves, or with one of thirty seconds. */
type Run = (what: string, records: number, isPatient?: boolean) => Promise<Ended[]>;

/** Meshproof away, full, or cut off in mid-answer: what the SDKs do, and that nothing is there twice. All programs run at once. */
export async function checkRetries(
  context: LaneContext,
  programs: readonly SdkProgram[],
): Promise<void> {
  const directory = join(context.directory, "retries");
  let server = await ServerProcess.start(directory);
  const senders: Sender[] = [];
  for (const program of programs)
    for (const encoding of program.encodings)
      senders.push({
        name: `${program.name} ${encoding}`,
        program,
        encoding,
        relay: await Relay.start(() => server.ports.otlp),
      });
  const run: Run = (what, records, isPatient = false) =>
    Promise.all(
      senders.map(async ({ name, program, encoding, relay }) => {
        const service = `${name} ${what}`;
        const endpoint = relay.url;
        const manifest = await runProgram(context, program, {
          encoding,
          service,
          records,
          endpoint,
          ...(isPatient ? { environment: program.thirtySeconds } : {}),
        });
        return { name, service, manifest, relay };
      }),
    );
  try {
    await checkLostAnswers(context, server, senders, run);
    await checkShortOutage(context, server, senders, run);
    await checkLongOutage(context, server, senders, run);
    await context.check(
      "kill -9 of meshproof under load: what the SDKs call sent is stored once, nothing twice",
      async () => {
        const running = run("killed", RECORDS);
        const before = senders.map(({ relay }) => relay.relayed.length);
        while (senders.some(({ relay }, i) => relay.relayed.length === before[i]))
          await setTimeout(5, undefined, { signal: context.signal });
        await server.kill();
        server = await ServerProcess.start(directory);
        const seen = [];
        for (const { name, service, manifest } of await running) {
          const stored = await assertStoredOnce(server, service, manifest);
          seen.push(`${name} ${stored.logs + stored.traces} of ${2 * RECORDS}`);
        }
        return seen.join(", ");
      },
    );
  } finally {
    await server.kill();
  }
  server = await ServerProcess.start(join(context.directory, "stuck"), STUCK_CONFIG);
  try {
    await checkFull(context, server, senders, run);
  } finally {
    await server.kill();
    await Promise.all(senders.map(({ relay }) => relay.goAway()));
  }
}

async function checkLostAnswers(
  context: LaneContext,
  server: ServerProcess,
  senders: readonly Sender[],
  run: Run,
): Promise<void> {
  await context.check(
    "the answer to each request is lost: the SDKs send the same bytes again, and nothing is stored twice",
    async () => {
      for (const { relay } of senders) {
        relay.relayed.length = 0;
        relay.losesFirstAnswers = true;
      }
      const before = await counter(server, "meshproof_deduplicated_batches");
      const ended = await run("lost", RECORDS).finally(() => {
        for (const { relay } of senders) relay.losesFirstAnswers = false;
      });
      let repeated = 0;
      for (const one of ended) {
        const { name, relay } = one;
        await assertAllStored(server, one, RECORDS);
        const byDigest = Object.groupBy(relay.relayed, ({ digest }) => digest);
        for (const tries of Object.values(byDigest))
          assert.deepEqual(
            tries!.map((one) => [one.status, one.isDelivered]),
            [
              [200, false],
              [200, true],
            ],
            `${name}: two tries, of the first of which it saw no answer`,
          );
        repeated += Object.keys(byDigest).length;
      }
      const found = (await counter(server, "meshproof_deduplicated_batches")) - before;
      assert.equal(found, repeated, "meshproof knew each of them again");
      return `${repeated} requests came twice`;
    },
  );
}

async function checkShortOutage(
  context: LaneContext,
  server: ServerProcess,
  senders: readonly Sender[],
  run: Run,
): Promise<void> {
  await context.check(
    `connections are refused for ${OUTAGE_MS / 1000} s: the SDKs try again until it is back, nothing is lost or doubled`,
    async () => {
      await Promise.all(senders.map(({ relay }) => relay.goAway()));
      const running = run("outage", RECORDS);
      // From the first failure on, not from a program's start.
      await setTimeout(OUTAGE_MS, undefined, { signal: context.signal });
      await Promise.all(senders.map(({ relay }) => relay.comeBack()));
      const seen = [];
      for (const one of await running) {
        const { name, manifest } = one;
        await assertAllStored(server, one, RECORDS);
        seen.push(`${name} after ${secondsOf(manifest)}`);
      }
      return `first batch sent: ${seen.join(", ")}`;
    },
  );
}

async function checkLongOutage(
  context: LaneContext,
  server: ServerProcess,
  senders: readonly Sender[],
  run: Run,
): Promise<void> {
  await context.check(
    "connections are refused for longer: the SDKs drop the batch within ten seconds and say so",
    async () => {
      await Promise.all(senders.map(({ relay }) => relay.goAway()));
      const ended = await run("gone", ONE_BATCH).finally(() =>
        Promise.all(senders.map(({ relay }) => relay.comeBack())),
      );
      const seen = [];
      for (const { name, service, manifest } of ended) {
        assertAllDropped(name, manifest);
        assert.deepEqual(await assertStoredOnce(server, service, manifest), { logs: 0, traces: 0 });
        seen.push(`${name} after ${secondsOf(manifest)}`);
      }
      return `dropped: ${seen.join(", ")}`;
    },
  );
}

/** The store stands still and the journal is full, so that meshproof answers 503. */
async function checkFull(
  context: LaneContext,
  server: ServerProcess,
  senders: readonly Sender[],
  run: Run,
): Promise<void> {
  const { check, signal } = context;
  const engine = server.enginePid;
  assert.ok(engine > 0, "the embedded ClickHouse has a process");
  process.kill(engine, "SIGSTOP");
  try {
    await fillJournal(server);
    await check(
      "503 with Retry-After 5 for long: the SDKs try once more after those five seconds, then drop the batch and say so",
      async () => {
        for (const { relay } of senders) relay.relayed.length = 0;
        const seen = [];
        for (const { name, manifest, relay } of await run("full", ONE_BATCH)) {
          assertAllDropped(name, manifest);
          for (const path of ["/v1/logs", "/v1/traces"])
            assert.deepEqual(
              relay.relayed.filter((one) => one.path === path).map(({ status }) => status),
              [503, 503],
              `${name}: two tries`,
            );
          seen.push(`${name} after ${secondsOf(manifest)}`);
        }
        return `dropped: ${seen.join(", ")}`;
      },
    );
    await check(
      "503 until the store goes on: with a timeout of 30 s the SDKs try every five seconds, nothing is lost or doubled",
      async () => {
        for (const { relay } of senders) relay.relayed.length = 0;
        const running = run("full for a moment", ONE_BATCH, true);
        while (
          !senders.every(({ relay }) => new Set(relay.relayed.map(({ path }) => path)).size === 2)
        )
          await setTimeout(20, undefined, { signal });
        process.kill(engine, "SIGCONT");
        const seen = [];
        for (const one of await running) {
          const { name, manifest, relay } = one;
          await assertAllStored(server, one, ONE_BATCH);
          const refusals = relay.relayed.filter(({ status }) => status === 503).length;
          assert.ok(refusals >= SIGNALS.length, `${name}: refused first`);
          seen.push(`${name} after ${secondsOf(manifest)}`);
        }
        return `sent: ${seen.join(", ")}`;
      },
    );
    await check("of what was dropped nothing came after all", async () => {
      const rows = await server.query<{ n: string }>(
        `SELECT (SELECT count() FROM otel_logs WHERE ServiceName LIKE '% full') + (SELECT count() FROM otel_traces WHERE ServiceName LIKE '% full') AS n`,
      );
      assert.deepEqual(rows, [{ n: "0" }]);
    });
  } finally {
    process.kill(engine, "SIGCONT");
  }
}

/** Sends until nothing more is taken, a small record included. */
async function fillJournal(server: ServerProcess): Promise<void> {
  for (const size of [200_000, 20_000, 500])
    for (let n = 0; ; n++) {
      const body = writeLogs(oneScope([{ body: `${size} ${n} ${"x".repeat(size)}` }]));
      const response = await send(server.otlp("logs"), body);
      await response.arrayBuffer();
      if (response.status === 503) break;
      assert.equal(response.status, 200);
    }
}

/** The SDK calls each batch sent, and so many logs and spans are there once. */
async function assertAllStored(
  server: ServerProcess,
  { name, service, manifest }: Ended,
  records: number,
): Promise<void> {
  assert.deepEqual(failuresOf(manifest), [], `${name}: each batch was sent`);
  const stored = await assertStoredOnce(server, service, manifest);
  assert.deepEqual(stored, { logs: records, traces: records }, name);
}

function assertAllDropped(name: string, { exports, diagnostics }: Manifest): void {
  assert.deepEqual(new Set(exports.map(({ signal }) => signal)), new Set(SIGNALS));
  for (const { error, startedMs, endedMs } of exports) {
    assert.notEqual(error, null, `${name}: it was told`);
    assert.ok(endedMs - startedMs < PATIENCE_MS + 1_000, `${name}: ${endedMs - startedMs} ms`);
  }
  const errors = diagnostics.filter((line) => line.startsWith("error"));
  assert.ok(errors.length > 0, `${name}: its log says so: ${diagnostics.join("\n")}`);
}

/** How long the first batch of each signal took; the longer of them. */
function secondsOf({ exports }: Manifest): string {
  const first = SIGNALS.map((signal) => exports.find((one) => one.signal === signal)!);
  const ms = Math.max(...first.map(({ startedMs, endedMs }) => endedMs - startedMs));
  return `${(ms / 1000).toFixed(1)} s`;
}
