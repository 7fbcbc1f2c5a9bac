import type { Kind } from "./kinds.ts";

/** Row hashes as a store recomputes them from the rows that it holds. */
export interface LeafBatch {
  /** Leaf indexes in any order; the same index twice when a row is doubled. */
  readonly indexes: BigUint64Array;
  /** SHA-256(row) of each, 32 bytes a row, over the columns as they stand now. */
  readonly rowHashes: Uint8Array;
}

/** Rows as a store spells them, for whoever hashes them himself. */
export interface RowBatchBytes {
  readonly indexes: BigUint64Array;
  readonly rows: readonly Uint8Array[];
}

/**
 * One digest for all rows of a bundle (256 leaf indexes), whatever tables they are in: SHA-256 of these 35 bytes for each row, in ascending
 * order: LeafIndex modulo 256, then the entry that the row gives (0x01, the kind that belongs in its table, SHA-256(row)).
 */
export interface BundleBatch {
  /** LeafIndex divided by 256, in any order. A bundle without rows is left out. */
  readonly bundles: BigUint64Array;
  /** Rows in each. */
  readonly counts: BigUint64Array;
  /** 32 bytes each. Of a bundle with more than 256 rows the digest says nothing. */
  readonly digests: Uint8Array;
}

/** A checkpoint as the store keeps it: the size that stands beside the note need not be the note's. */
export interface StoredCheckpoint {
  readonly size: number;
  readonly note: string;
}

/** Rows of a log that is not the one asked about. */
export interface StrangeRows {
  readonly table: string;
  readonly logId: string;
  readonly rows: number;
}

/** Times of the log, by its rows. Nanoseconds since the epoch. */
export interface Timeline {
  /** When the last record was received or made; null where there is none. */
  readonly newestNs: bigint | null;
  /** The longest stretches, at most MAX_SILENCES, in which a server that had not been stopped sealed nothing. In the order of the log. */
  readonly silences: readonly { readonly fromNs: bigint; readonly toNs: bigint }[];
  readonly silenceCount: number;
  /** Starts of the server that no record of a stop comes before. */
  readonly uncleanStops: number;
}

export const MAX_SILENCES = 100;

/** A table that is no longer what it was made as, whatever its rows hold. */
export interface Alteration {
  readonly table: string;
  /** Of what the store cannot answer for: all its rows, a column of them, the checkpoints. */
  readonly of: "rows" | "columns" | "checkpoints";
  /** A sentence. */
  readonly detail: string;
}

/**
 * Where the verifier gets rows from. The store implements it, so that `verify` itself needs no ClickHouse client.
 *
 * A row's bytes are those of its sealed columns as they stand now. Columns that are not sealed and do not hold the default of their type are
 * appended: nobody shall take what was never sealed for part of the record.
 */
export interface RowSource {
  /** Tables of sealed rows with the kind that belongs in each. */
  readonly tables: readonly { readonly table: string; readonly kind: Kind }[];
  /** Digests of the rows with leaf indexes in [from, to). Absent where the store cannot compute them, or is not trusted to. */
  bundles?(from: number, to: number): AsyncIterable<BundleBatch>;
  /** Row hashes of one table, for leaf indexes in [from, to). */
  leaves(table: string, from: number, to: number): AsyncIterable<LeafBatch>;
  /** The same rows, unhashed. */
  rowBytes(table: string, from: number, to: number): AsyncIterable<RowBatchBytes>;
  /** The control records that say which rows were dropped on purpose. Absent where there are none. */
  dropRecords?(): AsyncIterable<RowBatchBytes>;
  /** Rows of each table with the highest leaf indexes from `from` on, at most `limit`. */
  newest(table: string, from: number, limit: number): AsyncIterable<LeafBatch>;
  /** Signed notes of the `checkpoints` table for this log: the newest `limit`, and as many spread over the older ones; largest first. */
  checkpoints(limit: number): Promise<readonly StoredCheckpoint[]>;
  /** Rows of other logs, by table and log. */
  strangers(): Promise<readonly StrangeRows[]>;
  /** What was done to the tables themselves. Rows of a table that is gone do not come, columns that are gone count as empty. */
  alterations(): Promise<readonly Alteration[]>;
  /** Open findings by kind. */
  findings(): Promise<Record<string, number>>;
  /** Times of the rows with leaf indexes in [from, to); stretches that are longer than `silenceMs`. */
  timeline(from: number, to: number, silenceMs: number): Promise<Timeline>;
  close(): Promise<void>;
}
