import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { inStep } from "../core/durable-steps.ts";
import type { Kind } from "../core/kinds.ts";
import type { Logger } from "../core/logger.ts";
import { ROW_PREFIX_LENGTH } from "../core/rows.ts";
import { TABLE_OF_KIND, type Table } from "../records/columns.ts";
import { isDataError } from "./refusals.ts";
import {
  chunksOf,
  deduplicationToken,
  firstLeaf,
  halve,
  lastLeaf,
  rowCount,
  withoutIndexes,
  type RowSlice,
} from "./slices.ts";

/** The store as the writer needs it: for the rows of one log. Failures are STORE_FAILED. */
export interface RowStore {
  /** Inserts rows of one table; durable when it resolves. */
  insert(
    table: Table,
    chunks: readonly Uint8Array[],
    options: { token: string; queryId: string; signal: AbortSignal },
  ): Promise<void>;
  /** Leaf indexes in [from, to] that the table holds for this log: ascending, each once. */
  presentIndexes(
    table: Table,
    from: number,
    to: number,
    signal: AbortSignal,
  ): Promise<BigUint64Array>;
  /** Resolves when no INSERT whose query ID begins with `queryIdPrefix` runs any more. */
  settled(queryIdPrefix: string, signal: AbortSignal): Promise<void>;
  /** Does the table still have the columns that we write? */
  tableMatches(table: Table, signal: AbortSignal): Promise<boolean>;
}

/** A row that ClickHouse refuses, whatever we try. */
export interface RefusedRow {
  readonly table: string;
  readonly leafIndex: number;
  /** The row without its prefix. */
  readonly row: Uint8Array;
  /** ClickHouse's words. */
  readonly reason: string;
}

/** One try to insert, for metrics. */
export interface InsertAttempt {
  readonly table: string;
  readonly rows: number;
  readonly durationMs: number;
  readonly failed: boolean;
}

/** What storing rows needs beside the rows. */
export interface InsertContext {
  readonly store: RowStore;
  readonly logId: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly now: () => number;
  /** Keeps a refused row for people; durable when it resolves. */
  readonly refuse: (row: RefusedRow) => Promise<void>;
  readonly onAttempt: (attempt: InsertAttempt) => void;
}

/**
 * Resolves when every row of the slices is in the store or refused for good, however long that takes.
 * `uncertain`: some may be there already (after a restart), so the store is asked first.
 *
 * An INSERT that failed may have happened, may happen yet, or in part (one part a partition). So after any failure:
 * wait until no INSERT of ours runs on this table, ask which indexes are there, and insert the others. The deduplication
 * token guards the moment between the question and the INSERT; but a token can also swallow rows that were lost since
 * (a crash between the token's log and the part), so after the repeated INSERT the store is asked once more.
 * Throws: only when the signal is aborted.
 */
export async function storeRows(
  context: InsertContext,
  kind: Kind,
  slices: readonly RowSlice[],
  uncertain: boolean,
): Promise<void> {
  const table = TABLE_OF_KIND.get(kind)!;
  await new TableInsert(context, table, slices, uncertain, false).run();
}

class TableInsert {
  readonly #context: InsertContext;
  readonly #table: Table;
  #rest: readonly RowSlice[];
  /** Could rows of `#rest` be in the store? */
  #uncertain: boolean;
  /** Has ClickHouse refused bytes among these before? One refusal may be a body that was cut on the way. */
  #refused: boolean;
  #generation = 0;
  #failures = 0;

  constructor(
    context: InsertContext,
    table: Table,
    rest: readonly RowSlice[],
    uncertain: boolean,
    refused: boolean,
  ) {
    this.#context = context;
    this.#table = table;
    this.#rest = rest;
    this.#uncertain = uncertain;
    this.#refused = refused;
  }

  async run(): Promise<void> {
    for (;;) {
      this.#context.signal.throwIfAborted();
      try {
        if (this.#uncertain) await this.#dropPresent();
      } catch (error) {
        await this.#backOff(error);
        continue;
      }
      if (this.#rest.length === 0) return;
      try {
        await this.#insert();
      } catch (error) {
        if (!isDataError(error)) await this.#backOff(error);
        else if (await this.#refusal(error as Error)) return;
        continue;
      }
      if (!this.#uncertain) return;
      // Asked for once more above. Should rows be missing even so, this token has swallowed them.
      this.#generation++;
    }
  }

  get #queryIdPrefix(): string {
    return `meshproof-${this.#context.logId}-${this.#table.name}-`;
  }

  async #dropPresent(): Promise<void> {
    const { store, signal } = this.#context;
    await store.settled(this.#queryIdPrefix, signal);
    const present = await store.presentIndexes(
      this.#table,
      firstLeaf(this.#rest),
      lastLeaf(this.#rest),
      signal,
    );
    this.#rest = withoutIndexes(this.#rest, present);
  }

  async #insert(): Promise<void> {
    const { store, logId, signal, now, onAttempt } = this.#context;
    const rows = this.#rest;
    const started = now();
    let failed = true;
    try {
      const token = deduplicationToken(logId, this.#table.name, rows, this.#generation);
      const queryId = `${this.#queryIdPrefix}${firstLeaf(rows)}-${randomBytes(6).toString("hex")}`;
      const options = { token, queryId, signal };
      await inStep("insert_rows", () => store.insert(this.#table, chunksOf(rows), options));
      failed = false;
    } finally {
      onAttempt({
        table: this.#table.name,
        rows: rowCount(rows),
        durationMs: now() - started,
        failed,
      });
    }
  }

  /** Finds the rows that ClickHouse refuses by halving. True when the rows are dealt with; false: try again as they are. */
  async #refusal(error: Error): Promise<boolean> {
    const { store, signal, logger, refuse } = this.#context;
    if (!this.#refused) {
      this.#refused = true;
      return false;
    }
    if (rowCount(this.#rest) > 1) {
      for (const half of halve(this.#rest))
        await new TableInsert(this.#context, this.#table, half, this.#uncertain, true).run();
      return true;
    }
    try {
      // A table that somebody altered refuses every row: that is no fault of the rows.
      if (!(await store.tableMatches(this.#table, signal))) {
        await this.#backOff(
          new Error(
            `the columns of ${this.#table.name} are not those that we write, and it refuses rows: ${error.message}`,
          ),
        );
        return false;
      }
      const [bytes] = chunksOf(this.#rest);
      const row = bytes!.subarray(ROW_PREFIX_LENGTH);
      const leafIndex = firstLeaf(this.#rest);
      logger.error(
        { table: this.#table.name, leafIndex, error: error.message },
        "ClickHouse refuses a row; it goes into the quarantine file",
      );
      await refuse({ table: this.#table.name, leafIndex, row, reason: error.message });
      return true;
    } catch (failure) {
      await this.#backOff(failure);
      return false;
    }
  }

  /** Waits before the next try: exponential from retryMinMs to retryMaxMs, less up to a half at random, so that replicas do not come all at once. */
  async #backOff(error: unknown): Promise<void> {
    const { signal, logger, retryMinMs, retryMaxMs } = this.#context;
    signal.throwIfAborted();
    this.#uncertain = true;
    const waitMs =
      Math.min(retryMaxMs, retryMinMs * 2 ** this.#failures++) * (1 - Math.random() / 2);
    const fields = {
      table: this.#table.name,
      rows: rowCount(this.#rest),
      tries: this.#failures,
      waitMs: Math.round(waitMs),
      error: error instanceof Error ? error.message : String(error),
    };
    logger.warn(
      fields,
      "ClickHouse did not take rows; they stay in the journal and are tried again",
    );
    await delay(waitMs, undefined, { signal });
  }
}
