import type { Kind } from "./kinds.ts";

/** Leaf hashes as a store recomputes them from the rows that it holds. */
export interface LeafBatch {
  /** Leaf indexes, ascending; the same index twice when a row is doubled. */
  readonly indexes: BigUint64Array;
  /** SHA-256(row) of each, 32 bytes a row, hashed by the store over the columns as they stand now. */
  readonly rowHashes: Uint8Array;
  /** The Kind column of each row. */
  readonly kinds: Uint8Array;
}

/**
 * Where the verifier gets rows from. The store implements it, so that `verify` itself needs no ClickHouse client.
 */
export interface RowSource {
  /** Tables of sealed rows with the kind that belongs in each. */
  readonly tables: readonly { readonly table: string; readonly kind: Kind }[];
  /**
   * Recomputed row hashes of one table, for leaf indexes in [from, to), in ascending order.
   * Columns that the row's LeafVersion does not cover and that do not hold their defaults are hashed in, so that they show as a change.
   */
  leaves(table: string, from: number, to: number): AsyncIterable<LeafBatch>;
  /** Signed notes of the `checkpoints` table for this log, newest first. */
  checkpoints(limit: number): Promise<readonly { readonly size: number; readonly note: string }[]>;
  /** Open findings by kind. */
  findings(): Promise<Record<string, number>>;
  close(): Promise<void>;
}
