import assert from "node:assert/strict";
import { join } from "node:path";
import {
  assertRows,
  expectedLog,
  expectedRows,
  expectedSpan,
} from "../../support/expected-rows.ts";
import { batchesOf, oddLog, oddSpan } from "../../support/odd-records.ts";
import { writeLogs, writeTraces } from "../../support/otlp-writer.ts";
import { send } from "../../support/senders.ts";
import { ServerProcess } from "../../support/server-process.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { applicationBody, envoyBody, spanBody } from "../../support/traffic.ts";
import { buildClients } from "../clickhouse/clients.ts";
import { checkLimits } from "../clickhouse/limits.ts";
import { checkPeer, PEER } from "../clickhouse/peer.ts";
import {
  checkMetadata,
  checkParameters,
  checkStreams,
  checkTables,
} from "../clickhouse/reading.ts";
import { command } from "../clickhouse/tables.ts";
import { Collector } from "../collector.ts";
import { type Lane, type LaneContext, LaneSkipped } from "../lane.ts";
import { sendRefusedRecord, settled, storedKinds } from "../log/fill.ts";
import { assertVerified, requireEngine } from "../server.ts";

/** Of one request, and requests: what streams are read of. */
const BATCH = 5_000;
const STREAMED = 21 * BATCH;
const STREAM = { where: "Body LIKE 'request % handled by %'", rows: STREAMED };
const ODD_LOGS = batchesOf("odd logs", oddLog);
const ODD_SPANS = batchesOf("odd spans", oddSpan);
const CONFIGURATION = "exporters: { clickhouse: { embedded: { guests: [peer] } } }\n";

/** The embedded ClickHouse as other people's clients see it, and a stranger that writes into it beside us. */
export const lane: Lane = {
  name: "clickhouse",
  title: "ClickHouse clients read our tables, the Collector's exporter writes beside them",
  needs: ["go", "python3"],
  timeLimitMs: 15 * 60_000,
  run,
};

async function run(context: LaneContext): Promise<void> {
  requireEngine();
  const clients = await buildClients(context);
  const collector = await collectorOrReason(context);
  const directory = join(context.directory, "server");
  let server = await ServerProcess.start(directory, CONFIGURATION);
  try {
    context.note(`sending ${STREAMED} logs, and some thousand records of all kinds`);
    await fill(server);
    await sendRefusedRecord(server);
    // What it refused is sealed as a finding then.
    await server.stop();
    server = await ServerProcess.start(directory, CONFIGURATION);
    const treeSize = await everythingStored(context, server);
    await checkSent(context, server);
    if ("program" in collector) await checkPeer(context, server, collector.program);
    else {
      context.skip("the Collector's ClickHouse exporter writes beside us", collector.reason);
      await command(server, PEER, "CREATE DATABASE IF NOT EXISTS peer"); // which no reader may see
    }
    for (const client of clients) {
      await checkMetadata(context, server, client);
      await checkTables(context, server, client, { treeSize, service: "odd logs" });
      await checkParameters(context, server, client);
      await checkStreams(context, server, client, STREAM);
      await checkLimits(context, server, client);
    }
    await checkVerify(context, server, "beside a running server");
    await server.stop();
    await checkVerify(context, server, "without a server");
  } finally {
    await server.kill();
  }
}

/** A Collector, or why there is none: the readers can do without. */
async function collectorOrReason(
  context: LaneContext,
): Promise<{ program: string } | { reason: string }> {
  try {
    return { program: await Collector.build(context) };
  } catch (error) {
    if (error instanceof LaneSkipped) return { reason: error.message };
    throw error;
  }
}

async function fill(server: ServerProcess): Promise<void> {
  const requests: ["logs" | "traces", Buffer][] = [
    ["logs", envoyBody(500)],
    ["traces", spanBody(500)],
    ["logs", writeLogs(ODD_LOGS)],
    ["traces", writeTraces(ODD_SPANS)],
  ];
  for (let first = 0; first < STREAMED; first += BATCH)
    requests.push(["logs", applicationBody(BATCH, first)]);
  for (const [signal, body] of requests) {
    const response = await send(server.otlp(signal), body);
    const answer = await response.text();
    assert.deepEqual([response.status, answer], [200, ""]);
  }
}

/** Waits until all that is sealed is stored. Returns the size of the tree. */
async function everythingStored(context: LaneContext, server: ServerProcess): Promise<number> {
  const { publishedSize } = await settled(server, context.signal);
  const size = Number(publishedSize);
  await storedKinds(server, size, context.signal);
  return size;
}

/** What the clients' answers are compared with is itself what was sent. */
async function checkSent({ check }: LaneContext, server: ServerProcess): Promise<void> {
  await check("what is stored of odd logs and spans is what was sent, every column", async () => {
    const logs = expectedRows(ODD_LOGS, (batch, scope, log) => expectedLog(batch, scope, log, 0n));
    const spans = expectedRows(ODD_SPANS, (batch, scope, span) =>
      expectedSpan(batch, scope, span, 0n),
    );
    for (const [table, service, expected] of [
      ["otel_logs", "odd logs", logs],
      ["otel_traces", "odd spans", spans],
    ] as const) {
      const rows = await storedRows(server, table, `ServiceName = '${service}'`);
      assertRows(rows, expected, table);
    }
    return `${logs.length} logs, ${spans.length} spans`;
  });
}

async function checkVerify(
  { check }: LaneContext,
  server: ServerProcess,
  how: string,
): Promise<void> {
  await check(
    `verify ${how}: a stranger's database changes nothing, all is ok`,
    async () => `${(await assertVerified(server)).treeSize} records`,
  );
}
