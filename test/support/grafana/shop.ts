import { setTimeout } from "node:timers/promises";
import { nowNanos } from "../../../src/core/time.ts";
import { createSenders } from "../../../src/demo/exporters.ts";
import { play } from "../../../src/demo/play.ts";
import { Random } from "../../../src/demo/random.ts";
import { planShop } from "../../../src/demo/shop.ts";
import { oneScope, writeLogs } from "../otlp-writer.ts";
import { send } from "../senders.ts";
import { ServerProcess } from "../server-process.ts";
import { envoyLog } from "../traffic.ts";

/** The window of correlation is short, so that findings come soon; verification comes every second. */
const CONFIGURATION = `
processors: { normalise: { trusted_hops: 1 }, correlate: { window: 3s } }
extensions: { verification: { interval: 1h, incremental_interval: 1s } }
`;
const REQUESTS = 600;
const ARRIVAL_MS = 60_000;

/** A server with the demo's traffic in its tables: spans, access records, logs, links, a blind spot, a verification, checkpoints. */
export async function startShop(directory: string): Promise<ServerProcess> {
  let server = await ServerProcess.start(directory, CONFIGURATION);
  try {
    const senders = createSenders(`http://127.0.0.1:${server.ports.otlp}`);
    const plan = planShop({
      random: new Random(1),
      startNs: nowNanos(),
      requests: REQUESTS,
      intervalNs: 2_500_000n,
    });
    const signal = AbortSignal.timeout(ARRIVAL_MS);
    await play(plan, senders, signal, () => {});
    await senders.close();
    await sendOdd(server);
    for (const [table, where] of [
      ["findings", "FindingKind = 'span_without_access'"],
      ["control_records", "ControlKind = 'verified' AND Detail['integrity'] = 'ok'"],
      ["checkpoints", `TreeSize > ${plan.access.length + plan.spans.length}`],
    ] as const)
      await arrival(server, table, where);
    // What was found out about requests is sealed a minute later, or at a stop.
    await server.stop();
    server = await ServerProcess.start(directory, CONFIGURATION);
    for (const kind of ["identity_conflict", "rejected_record"])
      await arrival(server, "findings", `FindingKind = '${kind}'`);
    return server;
  } catch (error) {
    await server.kill();
    throw error;
  }
}

async function arrival(server: ServerProcess, table: string, where: string): Promise<void> {
  const deadline = Date.now() + ARRIVAL_MS;
  while ((await server.query(`SELECT 1 FROM ${table} WHERE ${where} LIMIT 1`)).length === 0) {
    if (Date.now() > deadline) throw new Error(`${table} has nothing where ${where}`);
    await setTimeout(200);
  }
}

/** What the demo's mesh does not do: a proxy whose forwarded certificates contradict the peer's, and a record that is refused alone. */
async function sendOdd(server: ServerProcess): Promise<void> {
  const log = envoyLog(1);
  const xfcc = "URI=spiffe://cluster.local/ns/edge/sa/gateway";
  const contradicting = {
    ...log,
    time: nowNanos(),
    attributes: [
      ...log.attributes!.filter(([key]) => key !== "start_time"),
      ["x_forwarded_client_cert", xfcc] as const,
    ],
  };
  const refused = { body: "its trace ID is a byte short", traceId: new Uint8Array(15).fill(1) };
  for (const record of [contradicting, refused]) {
    const { status } = await send(server.otlp("logs"), writeLogs(oneScope([record])));
    if (status !== 200) throw new Error(`a record was answered ${status}`);
  }
}
