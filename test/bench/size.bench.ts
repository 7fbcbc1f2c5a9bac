import { readdirSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { nowNanos } from "../../src/core/time.ts";
import { createSenders } from "../../src/demo/exporters.ts";
import { Random } from "../../src/demo/random.ts";
import { planShop } from "../../src/demo/shop.ts";
import { TABLES } from "../../src/records/columns.ts";
import { ServerProcess } from "../support/server-process.ts";
import { thousands } from "./decode.bench.ts";
import { useOf } from "./load.ts";
import { printTable } from "./measure.ts";

/**
 * What a record takes on disk, by kind and place: the demo's shop, each request with its access records, spans, links and logs, through the
 * exporters of OpenTelemetry's SDK into a whole server; the tables merged to one part a partition, as they become within hours.
 */

const PLAYS = 10;
const REQUESTS = 4_000;
const INTERVAL_NS = 1_000_000n;
/** Records in a request, as the SDK's batch processors have it. */
const BATCH = 512;
/** What a table holds beside the rows: the times of traces belong to spans. */
const BESIDE: Readonly<Record<string, string>> = { otel_traces: "otel_traces_trace_id_ts" };
/** Links come within a second, rows within half of one. */
const SETTLE_MS = 3_000;
const KINDS = ["access", "span", "log", "link"] as const;

/** Bytes of all files below a directory. */
function bytesIn(directory: string, extension = ""): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .reduce((bytes, { parentPath, name }) => bytes + statSync(join(parentPath, name)).size, 0);
}

/** Plays the shop once, a request of each kind at a time; resolves with the records that were acknowledged. */
async function playOnce(server: ServerProcess, seed: number): Promise<number> {
  const senders = createSenders(`http://127.0.0.1:${server.ports.otlp}`);
  const random = new Random(seed);
  const startNs = nowNanos();
  const plan = planShop({ random, startNs, requests: REQUESTS, intervalNs: INTERVAL_NS });
  const longest = Math.max(plan.access.length, plan.spans.length, plan.logs.length);
  const sendPart = <T>(
    records: readonly T[],
    from: number,
    send: (part: readonly T[]) => Promise<void>,
  ): Promise<void> =>
    from < records.length ? send(records.slice(from, from + BATCH)) : Promise.resolve();
  try {
    for (let from = 0; from < longest; from += BATCH)
      await Promise.all([
        sendPart(plan.access, from, senders.sendAccess),
        sendPart(plan.spans, from, senders.sendSpans),
        sendPart(plan.logs, from, senders.sendLogs),
      ]);
  } finally {
    await senders.close();
  }
  return plan.access.length + plan.spans.length + plan.logs.length;
}

const ALL = Object.values(TABLES).map(({ name }) => name);
const COUNT = `SELECT sum(n) AS n FROM (${ALL.map((name) => `SELECT count() AS n FROM ${name}`).join(" UNION ALL ")})`;

async function rowCount(server: ServerProcess): Promise<number> {
  const [row] = await server.query<{ n: string }>(COUNT);
  return Number(row!.n);
}

/** Waits until nothing new is stored any more, links and findings included; resolves with the rows there are. */
async function settledCount(server: ServerProcess): Promise<number> {
  for (let before = -1; ;) {
    const rows = await rowCount(server);
    if (rows === before) return rows;
    before = rows;
    await setTimeout(SETTLE_MS);
  }
}

/** Rows of a table, their bytes as they are sealed and journalled, and the bytes of its parts. */
async function tableSize(
  server: ServerProcess,
  table: string,
): Promise<{ rows: number; rowBytes: number; stored: number }> {
  const [sums] = await server.query<Record<"rows" | "bytes", string>>(
    `SELECT count() AS rows, sum(length(formatRow('RowBinary', *))) AS bytes FROM ${table}`,
  );
  const tables = [table, BESIDE[table] ?? ""].map((name) => `'${name}'`).join(", ");
  const [parts] = await server.query<{ bytes: string }>(
    `SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'otel' AND active AND table IN (${tables})`,
    "admin",
  );
  return { rows: Number(sums!.rows), rowBytes: Number(sums!.bytes), stored: Number(parts!.bytes) };
}

export async function benchSize(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "meshproof-bench-"));
  const server = await ServerProcess.start(directory);
  try {
    const before = { own: useOf(server.pid).cpuUs, store: useOf(server.enginePid).cpuUs };
    let sent = await playOnce(server, 1);
    const journalled = await settledCount(server);
    // One segment, from its beginning on: later ones are written over.
    const journal = bytesIn(join(server.dataDirectory, "journal"), ".frames");
    let rowBytes = 0;
    for (const table of ALL) rowBytes += (await tableSize(server, table)).rowBytes;
    const frame = (journal - rowBytes) / journalled;
    for (let seed = 2; seed <= PLAYS; seed++) sent += await playOnce(server, seed);
    const total = await settledCount(server);
    const after = { own: useOf(server.pid).cpuUs, store: useOf(server.enginePid).cpuUs };

    for (const table of [...ALL, ...Object.values(BESIDE)])
      await server.query(`OPTIMIZE TABLE ${table} FINAL`, "admin");
    const log = bytesIn(join(server.dataDirectory, "log")) / total;
    const lines: string[][] = [];
    for (const kind of KINDS) {
      const { rows, rowBytes: bytes, stored } = await tableSize(server, TABLES[kind].name);
      const inJournal = bytes / rows + frame;
      const cells = [inJournal, log, stored / rows, log + stored / rows];
      lines.push([kind, thousands(rows), ...cells.map((cell) => cell.toFixed(0))]);
    }
    printTable(
      `Bytes on disk a record: ${thousands(sent)} records of the demo's shop, and what was linked`,
      ["kind", "rows", "journal", "log", "ClickHouse", "kept: log + ClickHouse"],
      lines,
    );
    printTable(
      "CPU while they came as fast as the senders made them, µs a record received",
      ["process", "µs"],
      [
        ["meshproof", ((after.own - before.own) / sent).toFixed(1)],
        ["ClickHouse, merges included", ((after.store - before.store) / sent).toFixed(1)],
      ],
    );
  } finally {
    await server.stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
  }
}
