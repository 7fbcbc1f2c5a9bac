import { setTimeout } from "node:timers/promises";
import { nowNanos } from "../../../src/core/time.ts";
import { createSenders } from "../../../src/demo/exporters.ts";
import { play } from "../../../src/demo/play.ts";
import { Random } from "../../../src/demo/random.ts";
import { planShop } from "../../../src/demo/shop.ts";
import { type LogInput, oneScope, writeLogs } from "../otlp-writer.ts";
import { send } from "../senders.ts";
import { ServerProcess } from "../server-process.ts";
import { envoyLog } from "../traffic.ts";

/** Path of a stream that its proxy logs when it begins, while it goes on and when it ends. */
export const STREAM = "/stream";

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

/** A connection that Cilium refused: nothing names a service, a method, a path or a status. */
const FLOW = {
  verdict: "DROPPED",
  drop_reason_desc: "POLICY_DENIED",
  IP: { source: "10.1.0.9", destination: "10.1.0.7", ipVersion: "IPv4" },
  l4: { TCP: { source_port: 40_000, destination_port: 5432, flags: { SYN: true } } },
  source: { identity: 9, namespace: "shop", workloads: [{ name: "cart", kind: "Deployment" }] },
  destination: {
    identity: 7,
    namespace: "db",
    workloads: [{ name: "ledger", kind: "StatefulSet" }],
  },
  Type: "L3_L4",
  traffic_direction: "INGRESS",
};

/** Envoy's record with other attributes. */
function envoyNow(changes: Readonly<Record<string, string>>): LogInput {
  const log = envoyLog(1);
  const kept = log.attributes!.filter(([key]) => key !== "start_time" && !(key in changes));
  return { ...log, time: nowNanos(), attributes: [...kept, ...Object.entries(changes)] };
}

/**
 * What the demo's mesh does not do: a proxy whose forwarded certificates contradict the peer's, a record that is refused alone, a stream that is logged
 * three times, a refusal by no policy's name, and a flow.
 */
async function sendOdd(server: ServerProcess): Promise<void> {
  const records: readonly LogInput[] = [
    envoyNow({ x_forwarded_client_cert: "URI=spiffe://cluster.local/ns/edge/sa/gateway" }),
    { body: "its trace ID is a byte short", traceId: new Uint8Array(15).fill(1) },
    ...["DownstreamStart", "DownstreamPeriodic", "DownstreamEnd"].map((access_log_type) =>
      envoyNow({ path: STREAM, access_log_type }),
    ),
    envoyNow({
      response_code: "403",
      response_code_details: "rbac_access_denied_matched_policy[none]",
    }),
    { time: nowNanos(), body: JSON.stringify({ flow: FLOW, node_name: "node-1" }) },
  ];
  for (const record of records) {
    const { status } = await send(server.otlp("logs"), writeLogs(oneScope([record])));
    if (status !== 200) throw new Error(`a record was answered ${status}`);
  }
}
