import assert from "node:assert/strict";
import { join } from "node:path";
import type { LaneContext } from "../lane.ts";
import { Arena } from "./arena.ts";
import { furtherLines, furtherRows, PodLogs } from "./pods.ts";
import type { Passage } from "./wiretap.ts";

/** Small bounds on both sides, so that both are reached in seconds. */
const CONFIGURATION = `receivers: { otlp: { protocols: { http: { max_request_body_size: 1MiB } } } }
storage: { max_size: 2MiB }
`;
const QUEUE_BYTES = 2_000_000;
/** Senders that are refused before the store comes back. */
const REFUSALS = 20;
/** Lines written before, and while everything is full. */
const LINES = 100;
/** Requests that were refused and came again before the store comes back. */
const WAITS = 5;
/** A timer of the Collector's may be so much early by ours. */
const TOLERANCE_MS = 20;

/** The store hangs until meshproof's journal, and then the Collector's queue, are full: all wait, and nobody drops. */
export async function checkRefusals(context: LaneContext, program: string): Promise<void> {
  const { check, note } = context;
  const logs = new PodLogs(join(context.directory, "refusals"));
  const options = {
    name: "refusals",
    configuration: CONFIGURATION,
    queueBytes: QUEUE_BYTES,
    logFiles: logs.glob,
  };
  await Arena.run(context, program, options, async (arena) => {
    const engine = arena.server.enginePid;
    if (engine === 0) {
      context.skip("a store that hangs", "its process cannot be found here");
      return;
    }
    note("the store hangs, under load");
    furtherLines(logs, 0, LINES);
    await arena.more(3);
    process.kill(engine, "SIGSTOP");
    try {
      await arena.until(() => refusedOf(arena).length > 0, "a refusal of meshproof");
      await arena.until(() => arena.refusals >= REFUSALS, "refusals of the Collector");
      furtherLines(logs, LINES, LINES);
      await arena.until(() => waitsOf(arena.wiretap.passages).length >= WAITS, "further tries");
    } finally {
      process.kill(engine, "SIGCONT");
    }
    const refused = refusedOf(arena);
    const waits = waitsOf(arena.wiretap.passages);
    const tally = await arena.tally();
    await check(
      "a full journal is 503 with Retry-After, and the Collector waits that long",
      async () => {
        for (const { retryAfterSeconds } of refused)
          assert.ok(Number.isInteger(retryAfterSeconds) && retryAfterSeconds! > 0);
        for (const { waitedMs, retryAfterMs } of waits)
          assert.ok(waitedMs >= retryAfterMs - TOLERANCE_MS, `${waitedMs} of ${retryAfterMs} ms`);
        const least = Math.min(...waits.map(({ waitedMs }) => waitedMs));
        return `${refused.length} refusals with Retry-After: ${refused[0]!.retryAfterSeconds}, ${waits.length} further tries, the earliest after ${(least / 1000).toFixed(1)} s`;
      },
    );
    await check("a full queue refuses senders; afterwards each record is there once", async () => {
      assert.ok(arena.refusals >= REFUSALS);
      assert.deepEqual([tally.lost, tally.doubled], [0, 0]);
      return `${tally.acknowledged} records, ${arena.refusals} tries of senders failed and were made again`;
    });
    await check("no line of a file is dropped meanwhile", async () => {
      const { rows, ids } = await furtherRows(arena.server, 2 * LINES);
      assert.deepEqual([rows, ids], [2 * LINES, 2 * LINES]);
      return `${2 * LINES} lines`;
    });
    await check("the Collector says that it waits, and nowhere that it drops", async () => {
      assert.match(arena.collector.output, /Exporting failed\. Will retry the request.*503/);
      assert.doesNotMatch(arena.collector.output, /Dropping data|data dropped|"dropped_/i);
    });
    await arena.checkVerified();
  });
}

function refusedOf({ wiretap }: Arena): Passage[] {
  return wiretap.passages.filter(({ status }) => status === 503 || status === 429);
}

/** How long the Collector waited after each refusal until it sent the same request again, and how long it was told to. */
function waitsOf(passages: readonly Passage[]): { waitedMs: number; retryAfterMs: number }[] {
  const waits: { waitedMs: number; retryAfterMs: number }[] = [];
  for (const [i, { key, status, answeredAt, retryAfterSeconds }] of passages.entries()) {
    if (status !== 503 && status !== 429) continue;
    const next = passages.slice(i + 1).find((later) => later.key === key);
    if (next === undefined) continue;
    waits.push({
      waitedMs: next.arrivedAt - answeredAt,
      retryAfterMs: (retryAfterSeconds ?? 0) * 1000,
    });
  }
  return waits;
}
