import assert from "node:assert/strict";
import type { ServerProcess } from "../../support/server-process.ts";
import type { LaneContext } from "../lane.ts";
import { type Client, runClient } from "./clients.ts";

interface Refusal {
  readonly code: number | string;
  readonly message: string;
  readonly ms?: number;
}

const NOT_GRANTED = [497];
/** Written by a read-only user; or not granted, whichever is looked at first. */
const READ_ONLY = [164, 497];
/** What a reader must not do or get, and ClickHouse's codes for why. */
const FORBIDDEN: readonly (readonly [statement: string, codes: readonly number[]])[] = [
  ["INSERT INTO otel.otel_logs SELECT * FROM otel.otel_logs", READ_ONLY],
  ["ALTER TABLE otel.otel_logs DELETE WHERE 1", READ_ONLY],
  ["ALTER TABLE otel.access_records UPDATE Decision = 'allowed' WHERE 1", READ_ONLY],
  ["TRUNCATE TABLE otel.findings", READ_ONLY],
  ["DROP TABLE otel.control_records", READ_ONLY],
  ["CREATE TABLE otel.mine (x UInt8) ENGINE = Memory", READ_ONLY],
  ["CREATE USER me", READ_ONLY],
  ["KILL QUERY WHERE 1", READ_ONLY],
  ["SET readonly = 0", READ_ONLY],
  ["SELECT 1 SETTINGS max_memory_usage = 0", READ_ONLY],
  ["SELECT count() FROM peer.otel_logs", NOT_GRANTED],
  ["SELECT name FROM system.users", NOT_GRANTED],
  ["SELECT query FROM system.processes", NOT_GRANTED],
  ["SHOW CREATE USER admin", NOT_GRANTED],
  // file() cannot find its directory any more: test/store/engine.test.ts has why.
  ["SELECT * FROM file('/etc/passwd', LineAsString)", [497, 1001]],
  ["SELECT * FROM url('http://127.0.0.1:1/', LineAsString)", READ_ONLY],
  ["SELECT * FROM remote('127.0.0.1', system.one)", READ_ONLY],
  ["SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'x String')", READ_ONLY],
];
/** What costs too much, and the limit that it meets. */
const EXPENSIVE: readonly (readonly [statement: string, code: number])[] = [
  ["SELECT number FROM numbers(1000001)", 396],
  [
    "SELECT count() FROM otel_logs AS a, otel_logs AS b WHERE cityHash64(a.Body, b.Body) = 1 SETTINGS max_execution_time = 1",
    159,
  ],
  ["SELECT length(groupArray(repeat(Body, 200))) FROM otel_logs", 241],
  ["SELECT 1 SETTINGS max_execution_time = 306", 452],
];
/** Takes minutes. */
const LONG =
  "SELECT count() FROM otel_logs AS a, otel_logs AS b WHERE cityHash64(a.Body, b.Body) = 1";
const DEADLINE_MS = 1_500;
/** What the driver adds to its deadline, and some slack. */
const GRACE_MS = 7_000;

/** What the reader may not do, and that a client is told why. */
export async function checkLimits(
  context: LaneContext,
  server: ServerProcess,
  client: Client,
): Promise<void> {
  const refusals = async (statements: readonly string[]): Promise<(Refusal | null)[]> =>
    runClient<Refusal | null>(context, server, client, ["refused", ...statements]);
  await context.check(
    `${client.name}: the reader cannot write, see secrets or other databases, or leave the server`,
    async () => {
      const found = await refusals(FORBIDDEN.map(([statement]) => statement));
      for (const [i, [statement, codes]] of FORBIDDEN.entries()) {
        const refusal = found[i];
        assert.ok(refusal, `${statement} was carried out`);
        assert.ok(
          codes.includes(Number(refusal.code)),
          `${statement}: ${refusal.code} ${refusal.message}`,
        );
      }
      assert.deepEqual(await refusals(["SELECT count() FROM otel.otel_logs"]), [null]);
      return `${FORBIDDEN.length} statements refused`;
    },
  );
  await context.check(`${client.name}: limits hold, and the error says which`, async () => {
    const found = await refusals(EXPENSIVE.map(([statement]) => statement));
    for (const [i, [statement, code]] of EXPENSIVE.entries())
      assert.equal(found[i]?.code, code, `${statement}: ${found[i]?.message ?? "carried out"}`);
    const word =
      /TOO_MANY_ROWS|Limit for result|Timeout exceeded|memory limit|shouldn't be greater/i;
    for (const refusal of found) assert.match(refusal!.message, word);
    return EXPENSIVE.map(([, code]) => code).join(", ");
  });
  if (client.hasDeadline)
    await context.check(
      `${client.name}: a deadline of ${DEADLINE_MS / 1000} s ends a statement that takes minutes, and within five more the server ends it too`,
      async () => {
        const [refusal] = await runClient<Refusal>(context, server, client, ["deadline", LONG]);
        assert.equal(refusal!.code, "timeout", refusal!.message);
        assert.ok(refusal!.ms! < 2 * DEADLINE_MS, `${refusal!.ms} ms`);
        // Over HTTP by the max_execution_time that the driver asked for; over the native protocol it cancels the statement.
        const endedMs = await assertNothingRuns(server);
        return `in the server ${(endedMs / 1000).toFixed(1)} s later`;
      },
    );
}

/** Waits until no statement of the reader runs. Returns how long that took. */
async function assertNothingRuns(server: ServerProcess): Promise<number> {
  const since = Date.now();
  for (;;) {
    const rows = await server.query<{ n: number }>(
      "SELECT count() AS n FROM system.processes WHERE user = 'reader'",
      "admin",
    );
    if (rows[0]!.n === 0) return Date.now() - since;
    assert.ok(Date.now() - since < GRACE_MS, "it still runs");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
