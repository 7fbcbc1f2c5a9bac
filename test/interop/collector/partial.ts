import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { send } from "../../support/senders.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { waitForCount } from "../../support/stored-rows.ts";
import type { LaneContext } from "../lane.ts";
import { ShippedCollector } from "./shipped.ts";

/** The queue in memory: the one on disk cannot read such values back (see docs/interop.md). */
const OVERRIDE = `exporters:
  otlp_http/meshproof: { sending_queue: { storage: null, sizer: requests, queue_size: 100 } }
`;
/** Meshproof takes 100; the Collector takes any in JSON, and in protobuf fewer than 50. */
const DEPTH = 150;
const SERVICE = "nested";
const WARNING = /Partial success response.*"message": "([^"]*)".*"dropped_log_records": (\d+)/;

/** A record that meshproof alone refuses: its neighbours are stored, and the Collector is told. */
export async function checkPartialSuccess(
  context: LaneContext,
  program: string,
  server: ServerProcess,
): Promise<void> {
  const override = join(context.directory, "memory.yaml");
  writeFileSync(override, OVERRIDE);
  const collector = await ShippedCollector.start(context, program, {
    endpoint: `http://127.0.0.1:${server.ports.otlp}`,
    directory: join(context.directory, "partial-queue"),
    overrides: [override],
  });
  try {
    await context.check("of three records one is refused: the others are stored", async () => {
      const response = await send(collector.otlp("logs"), requestOf(), { encoding: "json" });
      assert.equal(response.status, 200, await response.text());
      const from = `FROM otel_logs WHERE ServiceName = '${SERVICE}'`;
      await waitForCount(server, `SELECT count() ${from}`, 2);
      await collector.drained();
      const rows = await server.query(`SELECT Body ${from} ORDER BY LeafIndex`);
      assert.deepEqual(rows, [{ Body: "before" }, { Body: "behind" }]);
    });
    await context.check("the Collector's log has a warning with our reason", async () => {
      const [, message, dropped] = WARNING.exec(collector.output) ?? [];
      assert.match(message ?? "there is none", /^log record 1: expected values nested at most 100/);
      assert.equal(dropped, "1");
      return message!;
    });
  } finally {
    await collector.kill();
  }
}

function requestOf(): string {
  let deep: object = { stringValue: "the core" };
  for (let i = 0; i < DEPTH; i++) deep = { arrayValue: { values: [deep] } };
  const bodies = [{ stringValue: "before" }, deep, { stringValue: "behind" }];
  return JSON.stringify({
    resourceLogs: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: SERVICE } }] },
        scopeLogs: [{ logRecords: bodies.map((body) => ({ body })) }],
      },
    ],
  });
}
