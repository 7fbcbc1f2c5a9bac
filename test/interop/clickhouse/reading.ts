import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ServerProcess } from "../../support/server-process.ts";
import { applicationLog } from "../../support/traffic.ts";
import type { LaneContext } from "../lane.ts";
import { type Client, runClient } from "./clients.ts";
import { ask, columnsOf, type Declared, type Printed, READER, rowsOf } from "./tables.ts";

/** Of a statement that Grafana's plugin sends. */
const MAX_METADATA_MS = 5_000;
const LEAST_TABLES = 8;
const MICROSECOND_NS = 1_000n;

/** The statements that Grafana's plugin sends before anybody asks for data, with the deadline of a minute that it has by default. */
export async function checkMetadata(
  context: LaneContext,
  server: ServerProcess,
  client: Client,
): Promise<void> {
  await context.check(
    `${client.name}: the statements that Grafana's plugin begins with are answered${client.hasDeadline ? ", with its deadline of a minute" : ""}`,
    async () => {
      const one = async (statement: string): Promise<Printed[][]> => {
        const since = performance.now();
        const [, ...rows] = await runClient(context, server, client, ["rows", statement]);
        assert.ok(performance.now() - since < MAX_METADATA_MS, statement);
        return rows;
      };
      const [[version]] = (await one("SELECT version()")) as [[string]];
      assert.match(version, /^\d+\.\d+\.\d+/);
      const [hello] = await one("SELECT displayName(), version(), revision(), timezone()");
      assert.deepEqual([hello![0], hello![1], hello![3]], ["meshproof", version, "UTC"]);
      const databases = (await one("SHOW DATABASES")).map(([name]) => name);
      assert.deepEqual(databases, ["INFORMATION_SCHEMA", "information_schema", "otel", "system"]);
      const tables = (await one(`SHOW TABLES FROM "otel"`)).map(([name]) => name);
      assert.ok(tables.length >= LEAST_TABLES && tables.includes("otel_logs"), tables.join(", "));
      const declared = await columnsOf(server, READER, "otel_logs");
      const described = (await one(`DESC TABLE "otel"."otel_logs"`)).map(([name, type]) => ({
        name,
        type,
      }));
      assert.deepEqual(described, declared);
      const columns = await one(
        "SELECT name, type, table FROM system.columns WHERE database = 'otel' AND table = 'otel_logs' ORDER BY position",
      );
      assert.deepEqual(
        columns,
        declared.map(({ name, type }) => [name, type, "otel_logs"]),
      );
      const [[logs]] = (await one(
        "SELECT count() FROM system.tables WHERE database = 'otel' AND name LIKE 'otel_%'",
      )) as [[string]];
      assert.ok(Number(logs) >= 3);
      return `ClickHouse ${version}, ${tables.length} tables`;
    },
  );
}

/** Which rows are compared. */
export interface Compared {
  /** Keeps out what comes while they are read. */
  readonly treeSize: number;
  /** Of the logs, which are too many, those of this service. */
  readonly service: string;
}

/** Every column of every table, compared with what is stored. */
export async function checkTables(
  context: LaneContext,
  server: ServerProcess,
  client: Client,
  compared: Compared,
): Promise<void> {
  const tables = await ask<{ name: string }>(
    server,
    READER,
    "SELECT name FROM system.tables WHERE database = 'otel' AND engine != 'MaterializedView' ORDER BY name",
  );
  await context.check(
    `${client.name}: every column of every table has the values that are stored${exceptionsOf(client)}`,
    async () => {
      const seen: string[] = [];
      for (const { name } of tables) {
        const columns = await columnsOf(server, READER, name);
        const query = { columns, ...selectionOf(name, columns, compared) };
        const expected = await rowsOf(server, READER, query);
        assert.ok(expected.length > 0, `${name} has rows`);
        const list = columns.map((column) => `\`${column.name}\``).join(", ");
        const [names, ...rows] = await runClient(context, server, client, [
          "rows",
          `SELECT ${list} FROM ${query.from} ORDER BY ${query.order}`,
        ]);
        assert.deepEqual(
          names,
          columns.map((column) => column.name),
        );
        assert.equal(rows.length, expected.length, name);
        for (const [i, row] of rows.entries())
          for (const [c, column] of columns.entries())
            assert.deepEqual(
              row[c],
              asRead(client, column.type, expected[i]![c]!, row[c]!),
              `${name}, row ${i}, ${column.name}`,
            );
        seen.push(`${name} ${rows.length} × ${columns.length}`);
      }
      assert.ok(seen.length >= LEAST_TABLES - 1, seen.join(", "));
      return seen.join(", ");
    },
  );
}

/** Where rows of a table come from, and in what order, so that two reads give the same. */
function selectionOf(
  name: string,
  columns: readonly Declared[],
  { treeSize, service }: Compared,
): { from: string; order: string } {
  const has = (column: string): boolean => columns.some((one) => one.name === column);
  const some = name === "otel_logs" ? `AND ServiceName = '${service}'` : "";
  if (has("LeafIndex"))
    return { from: `${name} WHERE LeafIndex < ${treeSize} ${some}`, order: "LeafIndex" };
  if (has("TreeSize")) return { from: `${name} WHERE TreeSize <= ${treeSize}`, order: "TreeSize" };
  const order = columns.map((column) => `\`${column.name}\``).join(", ");
  return { from: `${name} FINAL`, order };
}

function exceptionsOf({ keepsNanoseconds, keepsDoubledKeys }: Client): string {
  const exceptions = [
    ...(keepsNanoseconds ? [] : ["times to the microsecond"]),
    ...(keepsDoubledKeys ? [] : ["of a doubled key the last"]),
  ];
  return exceptions.length === 0 ? "" : ` (${exceptions.join(", ")})`;
}

/** What the client must give for a stored value; where it gives times to the microsecond only, what it has read if that is near enough. */
function asRead(client: Client, type: string, stored: Printed, read: Printed): Printed {
  if (type.startsWith("Array(")) {
    // Within an array clickhouse-go makes Go's own maps, too.
    const within = { ...client, keepsDoubledKeys: false };
    const items = read as readonly Printed[];
    return (stored as readonly Printed[]).map((item, i) =>
      asRead(within, type.slice("Array(".length, -1), item, items[i] ?? ""),
    );
  }
  if (type.startsWith("Map(") && !client.keepsDoubledKeys)
    return [...new Map(stored as [string, string][])];
  if (type.startsWith("DateTime64") && !client.keepsNanoseconds) {
    const difference = BigInt(read as string) - BigInt(stored as string);
    return difference > -MICROSECOND_NS && difference < MICROSECOND_NS ? read : stored;
  }
  return stored;
}

/** Many rows, which come in blocks: all of them, and the first before the last. */
export async function checkStreams(
  context: LaneContext,
  server: ServerProcess,
  client: Client,
  { where, rows }: { where: string; rows: number },
): Promise<void> {
  const expected = digestOf(rows);
  for (const compression of client.compressions)
    await context.check(
      `${client.name}, compression ${compression}: ${rows} rows come as they were sent`,
      async () => {
        const statement = `SELECT Timestamp, TraceId, Body, LogAttributes FROM otel_logs WHERE ${where} ORDER BY ObservedTimestamp`;
        const [result] = await runClient<{
          count: number;
          digest: string;
          firstMs: number;
          totalMs: number;
        }>(context, server, client, ["stream", statement], { compression });
        assert.deepEqual([result!.count, result!.digest], [rows, expected]);
        assert.ok(result!.firstMs < result!.totalMs, "the first row came before the last");
        return `the first after ${result!.firstMs} ms, the last after ${result!.totalMs} ms`;
      },
    );
}

/** SHA-256 of what `rows` logs must be read as, from what was sent. */
function digestOf(rows: number): string {
  const digest = createHash("sha256");
  for (let i = 0; i < rows; i++) {
    const { time, traceId, body, attributes } = applicationLog(i);
    const trace = Buffer.from(traceId!).toString("hex");
    digest.update(`${time}\t${trace}\t${body as string}\t${attributes!.length}\n`, "latin1");
  }
  return digest.digest("hex");
}

/** Values that are given beside the statement, also such as would end a literal. */
export async function checkParameters(
  context: LaneContext,
  server: ServerProcess,
  client: Client,
): Promise<void> {
  await context.check(
    `${client.name}: parameters are values, whatever stands in them`,
    async () => {
      const texts = ["plain", `it's; DROP TABLE otel_logs --`, "ünï \\ \u{1f980}"];
      for (const text of texts) {
        const given = { text, number: "18446744073709551615", list: "['a','b c']" };
        const [row] = await runClient(context, server, client, [
          "parameters",
          JSON.stringify(given),
        ]);
        assert.deepEqual([row![0], row![1], row![2]], [text, given.number, given.list]);
      }
      return `${texts.length} texts`;
    },
  );
}
