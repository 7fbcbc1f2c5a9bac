import assert from "node:assert/strict";
import type { ServerProcess } from "../../support/server-process.ts";
import { waitForCount } from "../../support/stored-rows.ts";
import type { LaneContext } from "../lane.ts";
import type { AccessLog, Manifest } from "./manifest.ts";
import { runProgram, type SdkProgram } from "./programs.ts";
import { assertStoredOnce, failuresOf } from "./records.ts";
import { Relay } from "./relay.ts";

/** Logs of a run, and as many spans: less than what the SDKs' queues hold. */
const RECORDS = 2_000;
const MEDIA_TYPES = { proto: "application/x-protobuf", json: "application/json" } as const;

/** A run whose records are all stored. */
export interface StoredRun {
  readonly service: string;
  readonly manifest: Manifest;
}

/**
 * Each program with each encoding and compression: what it says that it sent is what is stored, and its logs belong to its spans. Returns the
 * runs for which the first holds.
 */
export async function checkCodings(
  context: LaneContext,
  server: ServerProcess,
  program: SdkProgram,
): Promise<StoredRun[]> {
  const runs: StoredRun[] = [];
  const relay = await Relay.start(() => server.ports.otlp);
  try {
    for (const encoding of program.encodings)
      for (const compression of program.compressions) {
        const service = `${program.name} ${encoding} ${compression}`;
        let manifest: Manifest;
        const isStored = await context.check(
          `${service}: each log and span is stored once, every column as the program says`,
          async () => {
            const before = relay.relayed.length;
            manifest = await runProgram(context, program, {
              encoding,
              service,
              records: RECORDS,
              endpoint: relay.url,
              environment: { OTEL_EXPORTER_OTLP_COMPRESSION: compression },
            });
            assert.deepEqual(failuresOf(manifest), [], "each batch was sent");
            for (const one of relay.relayed.slice(before)) {
              assert.equal(one.contentType, MEDIA_TYPES[encoding]);
              assert.equal(one.compression, compression);
              assert.equal(one.userAgent, program.userAgents[encoding]);
              assert.equal(one.status, 200);
            }
            assert.deepEqual(await assertStoredOnce(server, service, manifest), {
              logs: RECORDS,
              traces: RECORDS,
            });
            return `${RECORDS} logs and ${RECORDS} spans in ${relay.relayed.length - before} requests`;
          },
        );
        if (!isStored) continue;
        await checkCorrelation(context, server, service, manifest!);
        runs.push({ service, manifest: manifest! });
      }
  } finally {
    await relay.goAway();
  }
  return runs;
}

async function checkCorrelation(
  { check }: LaneContext,
  server: ServerProcess,
  service: string,
  manifest: Manifest,
): Promise<void> {
  await check(
    `${service}: a log within a span has its trace and span ID, any other none`,
    async () => {
      // As the rows are joined, not as the program says: what was compared above must also lead from one to the other.
      const joined = await server.query<{ log: string; span: string }>(
        `SELECT LogAttributes['n'] AS log, SpanAttributes['n'] AS span
       FROM otel_logs AS logs JOIN otel_traces AS spans ON logs.TraceId = spans.TraceId AND logs.SpanId = spans.SpanId
       WHERE logs.ServiceName = '${service}' AND spans.ServiceName = '${service}'`,
      );
      const outside = [...manifest.logs].filter(([, row]) => row["TraceId"] === "").length;
      assert.ok(outside > 0);
      assert.equal(joined.length, manifest.logs.size - outside);
      for (const { log, span } of joined) assert.equal(log, span);
      return `${joined.length} within, ${outside} without`;
    },
  );
  await check(
    `${service}: an access log written within a span becomes an access record that is linked to it by the rule span`,
    async () => {
      const statement = `FROM access_records AS a JOIN trace_links AS l ON l.AccessLeaf = a.LeafIndex JOIN otel_traces AS s ON s.LeafIndex = l.SpanLeaf
         WHERE a.ServiceName = '${service}' AND l.Rule = 'span'`;
      await waitForCount(server, `SELECT count() ${statement}`, manifest.accessLogs.length);
      const linked = await server.query<AccessLog>(
        `SELECT a.RequestId AS requestId, a.Path AS path, s.TraceId AS traceId, s.SpanId AS spanId ${statement} ORDER BY a.LeafIndex`,
      );
      const byId = (one: AccessLog, other: AccessLog): number =>
        one.requestId < other.requestId ? -1 : 1;
      assert.deepEqual(linked.toSorted(byId), manifest.accessLogs.toSorted(byId));
      return `${linked.length} links`;
    },
  );
}
