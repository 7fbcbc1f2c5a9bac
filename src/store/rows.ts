import type { LeafBatch, RowSource } from "../core/verification.ts";
import { TABLES, type Table } from "../records/columns.ts";
import type { StoreClient } from "./client.ts";
import { rowHashExpression } from "./schema.ts";
import { quoteIdentifier } from "./sql.ts";

/** LeafIndex UInt64, Kind UInt8, SHA-256. */
const ANSWER_ROW_LENGTH = 8 + 1 + 32;
/** Leaf indexes a query: ORDER BY takes some 100 bytes a row of the server's memory, and `reader` may have a million rows in an answer. */
const DEFAULT_RANGE = 900_000;
/** One past the largest leaf index that ClickHouse can hold. */
const INDEX_END = 2n ** 64n;

const BY_NAME: ReadonlyMap<string, Table> = new Map(
  Object.values(TABLES).map((table) => [table.name, table]),
);

/** What tells the rows of one log apart, and how many leaf indexes one query covers. */
export interface RowSourceOptions {
  readonly client: StoreClient;
  readonly logId: string;
  readonly range?: number;
}

/**
 * The rows of one log as ClickHouse hashes them, for `verify`.
 * Cost: 0.3 to 0.8 million rows/s on two cores; one query a range of leaf indexes.
 */
export class ClickHouseRowSource implements RowSource {
  readonly tables = Object.values(TABLES).map(({ name, kind }) => ({ table: name, kind }));
  readonly #client: StoreClient;
  readonly #logId: string;
  readonly #range: bigint;

  constructor({ client, logId, range = DEFAULT_RANGE }: RowSourceOptions) {
    this.#client = client;
    this.#logId = logId;
    this.#range = BigInt(range);
  }

  /** As RowSource says. `to` may be Infinity: then rows beyond 2^53, which nobody wrote but an intruder, come too. */
  async *leaves(table: string, from: number, to: number): AsyncGenerator<LeafBatch> {
    const declared = BY_NAME.get(table)!;
    // The hash as second key of the order makes ClickHouse hash before it sorts: it then sorts 41 bytes a row and not all columns. Five times as fast.
    const statement = `SELECT LeafIndex, Kind, ${rowHashExpression(declared)} AS RowHash FROM ${quoteIdentifier(declared.name)}
      WHERE LogId = {log:String} AND LeafIndex BETWEEN {first:UInt64} AND {last:UInt64} ORDER BY LeafIndex, RowHash FORMAT RowBinary`;
    const end = Number.isFinite(to) ? BigInt(to) : INDEX_END;
    let next: bigint | undefined = BigInt(from);
    // Indexes of one table can lie far apart: each query begins where there is a row.
    while ((next = await this.#firstIndex(declared, next, end)) !== undefined) {
      const rangeEnd: bigint = next + this.#range < end ? next + this.#range : end;
      yield* parseLeaves(
        this.#client.streamBytes(statement, { log: this.#logId, first: next, last: rangeEnd - 1n }),
      );
      next = rangeEnd;
    }
  }

  async checkpoints(
    limit: number,
  ): Promise<readonly { readonly size: number; readonly note: string }[]> {
    const rows = await this.#client.query<{ TreeSize: string; Note: string }>(
      "SELECT TreeSize, Note FROM checkpoints WHERE LogId = {log:String} ORDER BY TreeSize DESC, PublishedAt DESC LIMIT {limit:UInt32}",
      { log: this.#logId, limit },
    );
    return rows.map(({ TreeSize, Note }) => ({ size: Number(TreeSize), note: Note }));
  }

  async findings(): Promise<Record<string, number>> {
    // A finding that was resolved has a second row with the same identity: kind, subject and minute.
    const rows = await this.#client.query<{ FindingKind: string; open: string }>(
      `SELECT FindingKind, count() AS open FROM (
         SELECT FindingKind, Subject, Timestamp, argMax(State, LeafIndex) AS LastState FROM findings
         WHERE LogId = {log:String} GROUP BY FindingKind, Subject, Timestamp
       ) WHERE LastState = 'open' GROUP BY FindingKind ORDER BY FindingKind`,
      { log: this.#logId },
    );
    return Object.fromEntries(rows.map(({ FindingKind, open }) => [FindingKind, Number(open)]));
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #firstIndex(table: Table, from: bigint, end: bigint): Promise<bigint | undefined> {
    if (from >= end) return undefined;
    const [row] = await this.#client.query<{ first: string; found: string }>(
      `SELECT min(LeafIndex) AS first, count() AS found FROM ${quoteIdentifier(table.name)} WHERE LogId = {log:String} AND LeafIndex BETWEEN {from:UInt64} AND {last:UInt64}`,
      { log: this.#logId, from, last: end - 1n },
    );
    return row === undefined || row.found === "0" ? undefined : BigInt(row.first);
  }
}

/** Leaf batches out of the answer's bytes: one a chunk, without an object a row. */
async function* parseLeaves(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<LeafBatch> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const count = Math.floor(bytes.length / ANSWER_ROW_LENGTH);
    if (count > 0) yield parseRows(bytes, count);
    rest = bytes.subarray(count * ANSWER_ROW_LENGTH);
  }
}

function parseRows(bytes: Uint8Array, count: number): LeafBatch {
  const indexes = new BigUint64Array(count);
  const indexBytes = new Uint8Array(indexes.buffer);
  const kinds = new Uint8Array(count);
  const rowHashes = new Uint8Array(count * 32);
  for (let row = 0, at = 0; row < count; row++, at += ANSWER_ROW_LENGTH) {
    for (let i = 0; i < 8; i++) indexBytes[row * 8 + i] = bytes[at + i]!;
    kinds[row] = bytes[at + 8]!;
    for (let i = 0; i < 32; i++) rowHashes[row * 32 + i] = bytes[at + 9 + i]!;
  }
  return { indexes, rowHashes, kinds };
}
