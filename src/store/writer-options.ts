import type { Logger } from "../core/logger.ts";
import type { PlacedBatch } from "../core/rows.ts";
import type { InsertAttempt, RefusedRow, RowStore } from "./table-insert.ts";

/** What the writer needs, and its bounds. */
export interface StoreWriterOptions {
  readonly store: RowStore;
  readonly logId: string;
  /** The journal's frames from an index on, in order, as far as they are on disk. */
  readonly backlog: (fromIndex: number) => AsyncIterable<PlacedBatch>;
  /** Keeps a row that ClickHouse refuses; durable when it resolves. */
  readonly quarantine: { add(row: RefusedRow): Promise<void> };
  /** Every row below `index` is in the store or in quarantine. */
  readonly onStored?: (index: number) => void;
  /** A row went into quarantine: the place to seal a record that names it. At least once a row; awaited before the writer goes on. */
  readonly onQuarantined?: (row: {
    readonly table: string;
    readonly leafIndex: number;
    readonly reason: string;
  }) => void | Promise<void>;
  readonly onAttempt?: (attempt: InsertAttempt) => void;
  readonly logger: Logger;
  /** Bytes of rows that wait in memory. Beyond it they wait in the journal alone. */
  readonly maxPendingBytes?: number;
  /** A batch is begun at this many rows … */
  readonly batchRows?: number;
  /** … or bytes, which also end it (at the next frame's end) … */
  readonly batchBytes?: number;
  /** … or when its oldest row has waited this long. */
  readonly batchAgeMs?: number;
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

/** Bounds where the options name none. */
export const WRITER_DEFAULTS = {
  maxPendingBytes: 64 * 1024 * 1024,
  batchRows: 10_000,
  batchBytes: 16 * 1024 * 1024,
  batchAgeMs: 500,
  retryMinMs: 100,
  retryMaxMs: 10_000,
};
