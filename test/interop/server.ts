import assert from "node:assert/strict";
import { runVerify, whyNoEngine } from "../support/server-fixture.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { LaneSkipped } from "./lane.ts";

/** Throws LaneSkipped where no embedded ClickHouse can run, and so no meshproof of the lane's own. */
export function requireEngine(): void {
  const reason = whyNoEngine();
  if (reason !== false) throw new LaneSkipped(reason);
}

/** Verifies the data of `server`, which runs or does not: nothing may be wrong with it. Returns the report. */
export async function assertVerified(
  server: ServerProcess,
): Promise<Awaited<ReturnType<typeof runVerify>>["report"]> {
  const { code, report } = await runVerify(server);
  assert.deepEqual([report.integrity, report.faults, code], ["ok", [], 0]);
  return report;
}
