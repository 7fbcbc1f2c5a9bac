import type { Kind } from "../core/kinds.ts";
import { type Table, TABLES } from "../records/columns.ts";
import { type PlacedRow, placedRows } from "../records/row-json.ts";
import type { StoreClient } from "./client.ts";
import { insertColumns } from "./schema.ts";
import { quoteIdentifier } from "./sql.ts";

/** Rows a query: at most 1 MiB each unless configured otherwise, mostly 1 kB. */
export const MAX_ROWS_PER_QUERY = 100;
/** Rows with one index that are looked at: there is one, unless somebody added others. */
const MAX_DOUBLES = 3;

const ROWS_AT = new Map<Table, string>(
  Object.values(TABLES).map((table) => [
    table,
    `SELECT ${insertColumns(table)
      .map(({ name }) => quoteIdentifier(name))
      .join(", ")} FROM ${quoteIdentifier(table.name)}
     WHERE LogId = {log:String} AND LeafIndex IN {indexes:Array(UInt64)} ORDER BY LeafIndex LIMIT ${MAX_DOUBLES} BY LeafIndex FORMAT RowBinary`,
  ]),
);
/** Tables whose rows name a trace. */
const TRACED = Object.values(TABLES).filter((table: Table) =>
  table.columns.some(({ name }) => name === "TraceId"),
);
const INDEXES_OF_TRACE = new Map<Table, string>(
  TRACED.map((table) => [
    table,
    `SELECT DISTINCT LeafIndex FROM ${quoteIdentifier(table.name)} WHERE LogId = {log:String} AND TraceId = {trace:String} ORDER BY LeafIndex`,
  ]),
);

/** A row as it stands in a table. */
export interface StoredRow extends PlacedRow {
  readonly kind: Kind;
  readonly table: string;
}

/** The rows of one log in ClickHouse, one by one, for proofs. */
export class StoredRecords {
  readonly #client: StoreClient;
  readonly #logId: string;

  constructor(client: StoreClient, logId: string) {
    this.#client = client;
    this.#logId = logId;
  }

  /** The rows that any table holds at these leaf indexes, of which there are at most MAX_ROWS_PER_QUERY, table after table. */
  async at(indexes: readonly (number | bigint)[]): Promise<StoredRow[]> {
    const parameters = { log: this.#logId, indexes: indexes.map(BigInt) };
    const found = await Promise.all(
      Object.values(TABLES).map(async (table) => {
        const chunks: Uint8Array[] = [];
        const statement = ROWS_AT.get(table)!;
        for await (const chunk of this.#client.streamBytes(statement, parameters))
          chunks.push(chunk);
        const { kind, name } = table;
        return placedRows(kind, Buffer.concat(chunks)).map((row) => ({
          ...row,
          kind,
          table: name,
        }));
      }),
    );
    return found.flat();
  }

  /** Leaf indexes of all records of a trace, ascending. They come as they stand: none need be the log's. */
  async ofTrace(traceId: string): Promise<bigint[]> {
    const parameters = { log: this.#logId, trace: traceId };
    const found = await Promise.all(
      TRACED.map((table) =>
        this.#client.query<{ LeafIndex: string }>(INDEXES_OF_TRACE.get(table)!, parameters),
      ),
    );
    const indexes = new Set(found.flat().map(({ LeafIndex }) => BigInt(LeafIndex)));
    return [...indexes].toSorted((a, b) => (a < b ? -1 : 1));
  }
}
