import assert from "node:assert/strict";
import type { ServerProcess } from "../../support/server-process.ts";
import type { LaneContext } from "../lane.ts";
import type { StoredRun } from "./codings.ts";
import type { Manifest } from "./manifest.ts";
import { assertStoredOnce } from "./records.ts";

/** Whichever; all have it. */
const RECORD = 8;

/** The negative controls: a comparison that accepts these, too, would prove nothing. The last one leaves a row twice in the store. */
export async function checkControls(
  { check }: LaneContext,
  server: ServerProcess,
  { service, manifest }: StoredRun,
): Promise<void> {
  const refuses = async (changed: Manifest, because: RegExp): Promise<string> => {
    const compared = assertStoredOnce(server, service, changed).then(
      () => "it accepted",
      (error: Error) => error.message,
    );
    const [said] = (await compared).split("\n");
    assert.match(said!, because);
    return said!;
  };
  await check("the comparison refuses a log with another time, by a nanosecond", async () => {
    const log = manifest.logs.get(RECORD)!;
    const later = { ...log, Timestamp: (log["Timestamp"] as bigint) + 1n };
    const logs = new Map([...manifest.logs, [RECORD, later]]);
    return refuses({ ...manifest, logs }, new RegExp(`^logs ${RECORD}$`));
  });
  await check("it refuses a span that the program did not send", async () => {
    const traces = new Map([...manifest.traces].filter(([n]) => n !== RECORD));
    return refuses({ ...manifest, traces }, /^traces 8 was never sent/);
  });
  await check("it refuses a row that is there twice", async () => {
    const insert = `INSERT INTO otel_logs SELECT * FROM otel_logs WHERE ServiceName = '${service}' AND LogAttributes['n'] = '${RECORD}'`;
    await server.query(insert, "admin");
    return refuses(manifest, /^logs 8 is there 2 times/);
  });
}
