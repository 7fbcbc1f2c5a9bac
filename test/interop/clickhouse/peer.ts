import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { freePorts } from "../../../src/store/engine-host.ts";
import { batchesOf, oddLog, oddSpan, RECORDS } from "../../support/odd-records.ts";
import { writeLogs, writeTraces } from "../../support/otlp-writer.ts";
import { send } from "../../support/senders.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { Collector } from "../collector.ts";
import type { LaneContext } from "../lane.ts";
import {
  ask,
  columnsOf,
  command,
  type Declared,
  type Login,
  passwordFile,
  type Printed,
  READER,
  rowsOf,
} from "./tables.ts";

const CONFIG = resolve(import.meta.dirname, "collector.yaml");
export const PEER: Login = { user: "peer", database: "peer" };
const SERVICE = "beside a peer";
const ARRIVAL_TIME_LIMIT_MS = 30_000;
const TABLES = [
  { table: "otel_logs", attributes: "LogAttributes" },
  { table: "otel_traces", attributes: "SpanAttributes" },
] as const;

/** The Collector's ClickHouse exporter beside us: the same records through one Collector to both, compared column by column. */
export async function checkPeer(
  context: LaneContext,
  server: ServerProcess,
  program: string,
): Promise<void> {
  const [port] = await freePorts("127.0.0.1", [0]);
  const collector = await Collector.start(context, program, [CONFIG], {
    COLLECTOR_PORT: String(port),
    MESHPROOF_PORT: String(server.ports.otlp),
    CLICKHOUSE_PORT: String(server.ports.clickhouseNative),
    PEER_PASSWORD: readFileSync(passwordFile(server, "peer"), "utf8").trim(),
  });
  try {
    for (const [signal, body] of [
      ["logs", writeLogs(batchesOf(SERVICE, oddLog))],
      ["traces", writeTraces(batchesOf(SERVICE, oddSpan))],
    ] as const) {
      const response = await send(`http://127.0.0.1:${port}/v1/${signal}`, body);
      assert.equal(response.status, 200, await response.text());
    }
    for (const { table, attributes } of TABLES)
      await context.check(
        `the ClickHouse exporter's ${table} and ours hold the same ${RECORDS} records in all of its columns, but for what it gets wrong`,
        () => compare(server, table, attributes),
      );
  } finally {
    await collector.stop();
  }
  await context.check(
    "a single attribute that is changed in the exporter's table is found",
    async () => {
      const change = "mapUpdate(LogAttributes, map('text', 'value 7 changed'))";
      await command(
        server,
        PEER,
        `ALTER TABLE otel_logs UPDATE LogAttributes = ${change} WHERE LogAttributes['text'] = 'value 7' SETTINGS mutations_sync = 2`,
      );
      await assert.rejects(
        compare(server, "otel_logs", "LogAttributes"),
        /record 7, LogAttributes/,
      );
    },
  );
  await context.check(
    "the exporter's user sees nothing of ours, and ours nothing of its",
    async () => {
      await assert.rejects(ask(server, PEER, "SELECT count() FROM otel.otel_logs"), /Code: 497/);
      await assert.rejects(ask(server, READER, "SELECT count() FROM peer.otel_logs"), /Code: 497/);
      assert.deepEqual(await ask(server, PEER, "SELECT name FROM system.databases"), [
        { name: "peer" },
      ]);
    },
  );
}

async function compare(server: ServerProcess, table: string, attributes: string): Promise<string> {
  const theirs = await columnsOf(server, PEER, table);
  const ours = await columnsOf(server, READER, table);
  for (const column of theirs)
    assert.deepEqual(
      ours.find(({ name }) => name === column.name),
      column,
      "each of its columns is one of ours, of the same type",
    );
  const order = `toUInt32(extract(${attributes}['text'], '\\\\d+'))`;
  const from = `${table} WHERE ResourceAttributes['service.name'] = '${SERVICE}'`;
  const read = (login: Login, columns: readonly Declared[]): Promise<Printed[][]> =>
    rowsOf(server, login, { columns, from: login === READER ? from : table, order });
  const deadline = Date.now() + ARRIVAL_TIME_LIMIT_MS;
  let theirRows: Printed[][] = [];
  let ourRows: Printed[][] = [];
  while ((theirRows.length < RECORDS || ourRows.length < RECORDS) && Date.now() < deadline) {
    await setTimeout(200);
    theirRows = await read(PEER, theirs).catch(() => []); // it makes its tables when it starts
    ourRows = await read(READER, ours);
  }
  assert.deepEqual([theirRows.length, ourRows.length], [RECORDS, RECORDS]);
  const wrong: Record<string, number> = {};
  for (const [i, row] of theirRows.entries()) {
    const mine = new Map(ours.map(({ name }, c) => [name, ourRows[i]![c]!]));
    for (const [c, { name }] of theirs.entries()) {
      const mistaken = mistakenAs(name, mine);
      if (mistaken !== null) wrong[name] = (wrong[name] ?? 0) + 1;
      assert.deepEqual(row[c], mistaken ?? mine.get(name), `record ${i}, ${name}`);
    }
  }
  const list = Object.entries(wrong).map(([name, count]) => `${name} ${count}`);
  return `${theirs.length} columns; it has other values in ${list.join(", ")}`;
}

/**
 * What the exporter (0.165.1) makes of a value that it cannot hold, from our row; null where it must have ours. It takes a time beyond 2262 for
 * one before 1970, a span that ends before it starts for one of 584 years, and of a doubled key in the resource the first for the service.
 */
function mistakenAs(name: string, row: ReadonlyMap<string, Printed>): Printed | null {
  const number = (column: string): bigint => BigInt(row.get(column) as string);
  if (name === "Timestamp" && number("TimestampRaw") !== 0n)
    return String(BigInt.asIntN(64, number("TimestampRaw")));
  if (name === "Duration" && number("EndTimestampRaw") !== 0n)
    return String(BigInt.asUintN(64, number("EndTimestampRaw") - number("Timestamp")));
  if (name === "ServiceName") {
    const resource = row.get("ResourceAttributes") as [string, string][];
    const names = resource.filter(([key]) => key === "service.name").map(([, value]) => value);
    return names.length > 1 ? names[0]! : null;
  }
  return null;
}
