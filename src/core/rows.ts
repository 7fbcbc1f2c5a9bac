import type { Kind } from "./kinds.ts";

/**
 * Every row is kept behind the two columns that are not sealed, exactly as it is inserted:
 *
 *   LogId String = 0x10 and 16 ASCII hex digits | LeafIndex UInt64, little endian | the row
 *
 * so that the bytes of one table's rows, one behind the other, are the body of an INSERT … FORMAT RowBinary.
 */
export const LOG_ID_LENGTH = 16;
export const LEAF_INDEX_OFFSET = 1 + LOG_ID_LENGTH;
export const ROW_PREFIX_LENGTH = LEAF_INDEX_OFFSET + 8;

/** Rows of one kind (one table) of one batch. */
export interface RowSection {
  readonly kind: Kind;
  readonly count: number;
  /** `count` rows, each behind its prefix (ROW_PREFIX_LENGTH bytes). LeafIndex is filled in by the journal. */
  readonly bytes: Uint8Array;
  /** `count + 1` offsets into `bytes`: where each row's prefix begins; the last is `bytes.length`. */
  readonly offsets: Uint32Array;
  /** SHA-256 of each row without its prefix, `count * 32` bytes. */
  readonly hashes: Uint8Array;
  /** Gives the memory of `bytes` back. Only the last one who reads the bytes may call it; without a call the collector does it. */
  readonly free?: () => void;
}

/** The rows of one request or of one event of our own: what one journal frame makes durable. */
export interface RowBatch {
  readonly sections: readonly RowSection[];
}

/** A batch with its place in the log: its rows have leaf indexes firstIndex … firstIndex + count - 1, section after section. */
export interface PlacedBatch extends RowBatch {
  readonly firstIndex: number;
  readonly count: number;
}

/** How many rows a batch holds. */
export function countRows(batch: RowBatch): number {
  let count = 0;
  for (const section of batch.sections) count += section.count;
  return count;
}

/** How many bytes the rows of a batch take, prefixes included. */
export function countBytes(batch: RowBatch): number {
  let bytes = 0;
  for (const section of batch.sections) bytes += section.bytes.length;
  return bytes;
}

/** Gives the rows' memory back; see RowSection. */
export function freeRows(batch: RowBatch): void {
  for (const section of batch.sections) section.free?.();
}
