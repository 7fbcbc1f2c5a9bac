import assert from "node:assert";
import { MeshproofError } from "../core/errors.ts";
import { countBytes, freeRows, type PlacedBatch } from "../core/rows.ts";
import { slicesByKind } from "./slices.ts";
import { storeRows, type InsertContext, type RefusedRow } from "./table-insert.ts";
import { WRITER_DEFAULTS, type StoreWriterOptions } from "./writer-options.ts";

export type { StoreWriterOptions } from "./writer-options.ts";

/** A batch that waits in memory. */
interface Waiting {
  readonly batch: PlacedBatch;
  readonly bytes: number;
  readonly since: number;
}

/**
 * Brings the rows of the journal into ClickHouse: each exactly once, in batches, for ever until they are there.
 *
 * Rows in [storedThrough, spillFrom) wait in memory; those in [spillFrom, nextIndex) wait in the journal alone, because
 * memory was full or because they come from before a start. One batch is under way at a time, its tables side by side:
 * while the store is slow, what has gathered makes the next batch larger, up to `batchBytes`.
 */
export class StoreWriter {
  readonly #options: StoreWriterOptions & typeof WRITER_DEFAULTS;
  readonly #context: InsertContext;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  #queue: Waiting[] = [];
  #queuedRows = 0;
  #queuedBytes = 0;
  #inFlightBytes = 0;
  /** Since when rows are on their way without having arrived, through all attempts; undefined when none are. */
  #underWaySince: number | undefined;
  /** Did an INSERT of the batch under way fail? */
  #attemptFailed = false;
  /** First index that only the journal holds; undefined when memory holds all. */
  #spillFrom: number | undefined;
  #backlog: AsyncIterator<PlacedBatch> | undefined;
  #nextIndex = 0;
  #storedThrough = 0;
  /** Rows below were journalled before this start: the store may have them. */
  #uncertainBelow = 0;

  #drainThrough = 0;
  #drained: { readonly index: number; readonly resolve: () => void }[] = [];
  #wake: () => void = () => {};

  constructor(options: StoreWriterOptions) {
    this.#options = { ...WRITER_DEFAULTS, ...options };
    this.#now = options.now ?? (() => performance.now());
    this.#context = {
      store: options.store,
      logId: options.logId,
      logger: options.logger,
      signal: this.#stop.signal,
      retryMinMs: this.#options.retryMinMs,
      retryMaxMs: this.#options.retryMaxMs,
      now: this.#now,
      refuse: (row) => this.#refuse(row),
      onAttempt: (attempt) => {
        this.#attemptFailed ||= attempt.failed;
        options.onAttempt?.(attempt);
      },
    };
  }

  /** Every row below this index is in the store or in quarantine. */
  get storedThrough(): number {
    return this.#storedThrough;
  }

  /** Bytes of rows in memory, those under way included. */
  get pendingBytes(): number {
    return this.#queuedBytes + this.#inFlightBytes;
  }

  /** Rows that are not in the store yet, in memory or in the journal. */
  get pendingRows(): number {
    return this.#nextIndex - this.#storedThrough;
  }

  /** For how long the rows under way, or those that could not be read from the journal, have not arrived, in milliseconds; 0 when there are none. */
  get underWayMs(): number {
    return this.#underWaySince === undefined ? 0 : this.#now() - this.#underWaySince;
  }

  /**
   * Begins to work. Rows in [from, to) are read from the journal; of those the store is asked which it has already.
   * `from` is the first index that the journal holds, `to` its next index; `add` goes on from there.
   */
  start(from: number, to: number): void {
    assert(this.#running === undefined, "the writer has been started");
    assert(from <= to, `rows to recover: from ${from} to ${to}`);
    this.#storedThrough = from;
    this.#nextIndex = to;
    this.#uncertainBelow = to;
    this.#spillFrom = from < to ? from : undefined;
    this.#running = this.#run();
  }

  /** Takes a batch that is durable in the journal, and its memory: nobody else reads the rows afterwards. Never waits and never refuses: what memory cannot hold is read again from the journal. */
  add(batch: PlacedBatch): void {
    assert(this.#running !== undefined, "the writer has not been started");
    assert.equal(batch.firstIndex, this.#nextIndex, "rows come in order, without a hole");
    this.#nextIndex += batch.count;
    if (this.#spillFrom !== undefined || batch.count === 0) {
      freeRows(batch);
      return;
    }
    const bytes = heldBytes(batch);
    if (this.pendingBytes + bytes > this.#options.maxPendingBytes) {
      this.#spillFrom = batch.firstIndex;
      freeRows(batch);
    } else {
      this.#queue.push({ batch, bytes, since: this.#now() });
      this.#queuedRows += batch.count;
      this.#queuedBytes += bytes;
    }
    if (this.#queue.length === 1 || this.#isDue()) this.#wake();
  }

  /** Stores all that has been added so far without waiting for batches to fill. Resolves when it is done or after `deadlineMs`; see `pendingRows`. */
  async drain(deadlineMs: number): Promise<void> {
    const index = this.#nextIndex;
    if (index <= this.#storedThrough) return;
    this.#drainThrough = index;
    this.#wake();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#drained.push({ index, resolve: () => (clearTimeout(timer), resolve()) });
    });
  }

  /** Stops, and gives up what is under way: the next start asks the store what became of it. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#running;
    await this.#closeBacklog();
    this.#forget();
    for (const { resolve } of this.#drained) resolve();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { retryMinMs, retryMaxMs, logger } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const batches = await this.#next();
        if (batches.length > 0) await this.#store(batches);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#underWaySince ??= this.#now();
        logger.error(
          { error: errorText(error), storedThrough: this.#storedThrough },
          "the writer to ClickHouse starts over from the journal",
        );
        await this.#startOver();
        await this.#pause(Math.min(retryMaxMs, retryMinMs * 2 ** failures++));
      }
    }
  }

  /** Forgets what is in memory: all that is not known to be stored is read again from the journal. */
  async #startOver(): Promise<void> {
    this.#forget();
    this.#spillFrom = this.#storedThrough < this.#nextIndex ? this.#storedThrough : undefined;
    this.#uncertainBelow = this.#nextIndex;
    await this.#closeBacklog();
  }

  #forget(): void {
    this.#queue = [];
    this.#queuedRows = this.#queuedBytes = this.#inFlightBytes = 0;
  }

  /** The next batch, or nothing when something else happened first. */
  async #next(): Promise<PlacedBatch[]> {
    const oldest = this.#queue[0];
    if (oldest === undefined) {
      if (this.#spillFrom !== undefined) return await this.#readBacklog();
      await this.#pause();
      return [];
    }
    const waitMs = oldest.since + this.#options.batchAgeMs - this.#now();
    if (waitMs <= 0 || this.#isDue()) return this.#takeQueued();
    await this.#pause(waitMs);
    return [];
  }

  #isDue(): boolean {
    const { batchRows, batchBytes } = this.#options;
    return (
      this.#queuedRows >= batchRows ||
      this.#queuedBytes >= batchBytes ||
      this.#spillFrom !== undefined ||
      this.#drainThrough > this.#storedThrough
    );
  }

  #takeQueued(): PlacedBatch[] {
    let bytes = 0;
    let rows = 0;
    let taken = 0;
    while (taken < this.#queue.length && bytes < this.#options.batchBytes) {
      const { batch, bytes: more } = this.#queue[taken++]!;
      bytes += more;
      rows += batch.count;
    }
    this.#queuedRows -= rows;
    this.#queuedBytes -= bytes;
    this.#inFlightBytes = bytes;
    return this.#queue.splice(0, taken).map(({ batch }) => batch);
  }

  /** Reads one batch of what only the journal holds. When it has caught up with `add`, memory takes over. */
  async #readBacklog(): Promise<PlacedBatch[]> {
    const batches: PlacedBatch[] = [];
    let at = this.#spillFrom!;
    let bytes = 0;
    while (at < this.#nextIndex && bytes < this.#options.batchBytes) {
      let batch: PlacedBatch;
      try {
        batch = await this.#readFrame(at);
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        if (batches.length === 0) throw error;
        // What could be read is stored first; the next turn meets the error again.
        await this.#closeBacklog();
        break;
      }
      batches.push(batch);
      at += batch.count;
      bytes += heldBytes(batch);
      this.#inFlightBytes = bytes;
    }
    this.#spillFrom = at === this.#nextIndex ? undefined : at;
    if (this.#spillFrom === undefined) await this.#closeBacklog();
    return batches;
  }

  /** The journal's frame at an index. */
  async #readFrame(at: number): Promise<PlacedBatch> {
    const fresh = this.#backlog === undefined;
    this.#backlog ??= this.#options.backlog(at)[Symbol.asyncIterator]();
    const { value: batch, done } = await this.#backlog.next();
    this.#stop.signal.throwIfAborted();
    if (!done && batch.firstIndex === at) return batch;
    await this.#closeBacklog();
    // A reading ends where the journal ended when it began; more has been written since.
    if (done && !fresh) return await this.#readFrame(at);
    const found = done ? "ends" : `goes on at index ${batch.firstIndex}`;
    throw new MeshproofError(
      "JOURNAL_CORRUPT",
      `the journal ${found}, expected index ${at} of ${this.#nextIndex}`,
    );
  }

  async #store(batches: PlacedBatch[]): Promise<void> {
    const last = batches.at(-1)!;
    const end = last.firstIndex + last.count;
    const uncertain = batches[0]!.firstIndex < this.#uncertainBelow;
    const tables = [...slicesByKind(batches)];
    this.#underWaySince ??= this.#now();
    this.#attemptFailed = false;
    const outcomes = await Promise.allSettled(
      tables.map(([kind, slices]) => storeRows(this.#context, kind, slices, uncertain)),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    // After a failed attempt a dying connection may still hold the bytes: then the collector takes them.
    if (!this.#attemptFailed) for (const batch of batches) freeRows(batch);
    this.#inFlightBytes = 0;
    this.#underWaySince = undefined;
    this.#storedThrough = end;
    this.#options.onStored?.(end);
    for (const { index, resolve } of this.#drained) if (index <= end) resolve();
    this.#drained = this.#drained.filter(({ index }) => index > end);
  }

  async #refuse(row: RefusedRow): Promise<void> {
    await this.#options.quarantine.add(row);
    const { table, leafIndex, reason } = row;
    try {
      await this.#options.onQuarantined?.({ table, leafIndex, reason });
    } catch (error) {
      // The file has it. Waiting here would keep a full journal full.
      this.#options.logger.error(
        { table, leafIndex, error: errorText(error) },
        "a refused row is in the quarantine file, but no sealed record names it",
      );
    }
  }

  async #closeBacklog(): Promise<void> {
    const backlog = this.#backlog;
    this.#backlog = undefined;
    await backlog?.return?.();
  }

  /** Until `#wake` is called, or for `ms`. */
  #pause(ms?: number): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(() => this.#wake(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
    });
  }
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Memory that a batch holds: rows, their offsets and hashes. */
function heldBytes(batch: PlacedBatch): number {
  return batch.sections.reduce(
    (bytes, { offsets, hashes }) => bytes + offsets.byteLength + hashes.byteLength,
    countBytes(batch),
  );
}
