import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../core/logger.ts";
import { TABLES, type Table } from "../records/columns.ts";
import type { StoreClient } from "./client.ts";
import { tableFault } from "./migrations.ts";
import { serverErrorType } from "./refusals.ts";
import { insertColumns, tableShapes } from "./schema.ts";
import { quoteIdentifier, quoteLiteral } from "./sql.ts";
import type { RowStore } from "./table-insert.ts";

/** What tells the rows of one log in one database apart. */
export interface RowStoreOptions {
  readonly client: StoreClient;
  readonly logId: string;
  readonly database: string;
  /** Set where the tables are Distributed: INSERTs may then run on any node of it. */
  readonly cluster?: string;
  readonly logger: Logger;
}

/** How often the end of a running INSERT is looked for. */
const SETTLE_INTERVAL_MS = 200;

const COLUMN_NAMES = new Map<Table, readonly string[]>(
  Object.values(TABLES).map((table) => [table, insertColumns(table).map(({ name }) => name)]),
);
const PRESENT = new Map<Table, string>(
  Object.values(TABLES).map((table) => [
    table,
    `SELECT DISTINCT LeafIndex FROM ${quoteIdentifier(table.name)}
     WHERE LogId = {log:String} AND LeafIndex BETWEEN {from:UInt64} AND {to:UInt64} ORDER BY LeafIndex FORMAT RowBinary`,
  ]),
);

/** The rows of one log in ClickHouse, for StoreWriter. The client's database must be `database`. */
export function createRowStore({
  client,
  logId,
  database,
  cluster,
  logger,
}: RowStoreOptions): RowStore {
  const shapes = new Map(tableShapes().map((shape) => [shape.name, shape]));
  const processes =
    cluster === undefined
      ? "system.processes"
      : `clusterAllReplicas(${quoteLiteral(cluster)}, system.processes)`;
  let blind = false;
  return {
    async insert(table, chunks, options) {
      await client.insertRows(table.name, COLUMN_NAMES.get(table)!, chunks, options);
    },
    async presentIndexes(table, from, to, signal) {
      const parts: Uint8Array[] = [];
      for await (const part of client.streamBytes(
        PRESENT.get(table)!,
        { log: logId, from, to },
        { signal },
      ))
        parts.push(part);
      // Copied into a buffer of its own, since the bytes must lie at a multiple of eight.
      return new BigUint64Array(new Uint8Array(Buffer.concat(parts)).buffer);
    },
    async settled(prefix, signal) {
      while (!blind) {
        try {
          const [row] = await client.query<{ running: string }>(
            `SELECT count() AS running FROM ${processes} WHERE startsWith(query_id, {prefix:String})`,
            { prefix },
            { signal },
          );
          if (row?.running === "0") return;
        } catch (error) {
          if (serverErrorType(error) !== "ACCESS_DENIED") throw error;
          blind = true;
          logger.warn(
            {},
            "the writer may not read system.processes (see `meshproof schema`): an INSERT that outlives its connection can double rows",
          );
        }
        await delay(SETTLE_INTERVAL_MS, undefined, { signal });
      }
    },
    async tableMatches(table, signal) {
      return (await tableFault(client, database, shapes.get(table.name)!, signal)) === undefined;
    },
  };
}
