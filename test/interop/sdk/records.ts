import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { type Expected, pick } from "../../support/expected-rows.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { storedRows } from "../../support/stored-rows.ts";
import type { Manifest, Signal } from "./manifest.ts";

const TABLE_OF = {
  logs: { table: "otel_logs", attributes: "LogAttributes" },
  traces: { table: "otel_traces", attributes: "SpanAttributes" },
} as const satisfies Record<Signal, object>;
export const SIGNALS = ["logs", "traces"] as const satisfies readonly Signal[];

const ARRIVAL_TIME_LIMIT_MS = 60_000;
const POLL_MS = 100;
/** In which what is too many would come. */
const SETTLE_MS = 300;

/**
 * Compares what is stored of a run with what its program says: each record whose export the SDK called a success is there once, each other one
 * not more than once, none that it does not know of, and every column holds what it says. Returns how many are stored.
 */
export async function assertStoredOnce(
  server: ServerProcess,
  service: string,
  manifest: Manifest,
): Promise<Record<Signal, number>> {
  const stored = { logs: 0, traces: 0 };
  for (const signal of SIGNALS) {
    const { table, attributes } = TABLE_OF[signal];
    const expected = manifest[signal];
    const sent = new Set(
      manifest.exports
        .filter((one) => one.signal === signal && one.error === null)
        .flatMap(({ records }) => records),
    );
    const wanted = [...sent].filter((n) => expected.has(n));
    const where = `ServiceName = '${service}'`;
    const deadline = Date.now() + ARRIVAL_TIME_LIMIT_MS;
    while ((await count(server, table, where)) < wanted.length && Date.now() < deadline)
      await setTimeout(POLL_MS);
    await setTimeout(SETTLE_MS);
    const rows = new Map<number, Expected[]>();
    for (const row of await storedRows(server, table, where)) {
      const n = Number(new Map(row[attributes] as [string, string][]).get("n"));
      rows.set(n, [...(rows.get(n) ?? []), row]);
    }
    const missing = wanted.filter((n) => !rows.has(n));
    assert.deepEqual(missing.slice(0, 20), [], `${missing.length} ${signal} are missing`);
    for (const [n, [row, ...more]] of rows) {
      assert.equal(more.length, 0, `${signal} ${n} is there ${more.length + 1} times`);
      const wantedRow = expected.get(n);
      assert.ok(wantedRow, `${signal} ${n} was never sent`);
      assert.deepEqual(pick(row, wantedRow), wantedRow, `${signal} ${n}`);
    }
    stored[signal] = rows.size;
  }
  return stored;
}

async function count(server: ServerProcess, table: string, where: string): Promise<number> {
  const [row] = await server.query<{ n: string }>(
    `SELECT count() AS n FROM ${table} WHERE ${where}`,
  );
  return Number(row!.n);
}

/** What the exporter could not send, a line each. */
export function failuresOf({ exports }: Manifest): string[] {
  return exports.flatMap(({ signal, error, records }) =>
    error === null ? [] : [`${records.length} ${signal}: ${error}`],
  );
}
