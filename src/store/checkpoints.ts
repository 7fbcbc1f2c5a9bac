import { createHash } from "node:crypto";
import type { Logger } from "../core/logger.ts";
import type { StoreClient } from "./client.ts";

/** A checkpoint as the sealer published it. */
export interface PublishedCheckpoint {
  readonly size: number;
  readonly root: Uint8Array;
  readonly note: string;
}

/** What the recorder needs. */
export interface CheckpointRecorderOptions {
  readonly client: StoreClient;
  readonly logId: string;
  readonly logger: Logger;
  /** One row at most each this long: a checkpoint a second would be a part a second. */
  readonly intervalMs?: number;
  /** The end waits so long for a store that does not answer. */
  readonly closeMs?: number;
}

const DEFAULT_INTERVAL_MS = 10_000;
const DEFAULT_CLOSE_MS = 3_000;

/**
 * Keeps the newest published checkpoint in the `checkpoints` table, where SQL and `verify` find it.
 * The files under `<data>` are what counts: a checkpoint that the store did not take is left to the next one.
 */
export class CheckpointRecorder {
  readonly #options: CheckpointRecorderOptions;
  #newest: (PublishedCheckpoint & { readonly publishedAtMs: number }) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  readonly #tooLate = new AbortController();

  constructor(options: CheckpointRecorderOptions) {
    this.#options = options;
  }

  /** Takes a published checkpoint. Never waits. */
  record(checkpoint: PublishedCheckpoint): void {
    this.#newest = { ...checkpoint, publishedAtMs: Date.now() };
    this.#timer ??= setTimeout(
      () => this.#write(),
      this.#options.intervalMs ?? DEFAULT_INTERVAL_MS,
    ).unref();
  }

  /** Writes the last one and stops. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const { closeMs = DEFAULT_CLOSE_MS } = this.#options;
    const timer = setTimeout(() => this.#tooLate.abort(), closeMs);
    const earlier = this.#writing;
    this.#write();
    await Promise.all([earlier, this.#writing]);
    clearTimeout(timer);
  }

  #write(): void {
    this.#timer = undefined;
    const checkpoint = this.#newest;
    if (checkpoint === undefined) return;
    this.#newest = undefined;
    this.#writing = this.#insert(checkpoint).catch((error: unknown) => {
      this.#options.logger.warn(
        { size: checkpoint.size, error: error instanceof Error ? error.message : String(error) },
        "ClickHouse did not take a checkpoint; the next one follows",
      );
    });
  }

  async #insert({
    size,
    root,
    note,
    publishedAtMs,
  }: PublishedCheckpoint & { readonly publishedAtMs: number }): Promise<void> {
    const { client, logId } = this.#options;
    const token = createHash("sha256").update(`${logId} ${size} ${note}`).digest("hex");
    await client.command(
      `INSERT INTO checkpoints (LogId, TreeSize, RootHash, Note, PublishedAt)
       SELECT {log:String}, {size:UInt64}, {root:String}, {note:String}, fromUnixTimestamp64Milli({at:Int64})`,
      { log: logId, size, root: Buffer.from(root).toString("hex"), note, at: publishedAtMs },
      {
        settings: { async_insert: 0, insert_deduplication_token: token },
        signal: this.#tooLate.signal,
      },
    );
  }
}

/** Checkpoints of one log that are read back at a start; one would do, unless somebody put a wrong one on top. */
const NEWEST_PER_LOG = 10;
const MAX_NOTES = 1_000;

/**
 * Signed notes of the largest checkpoints that the table holds under `origin`, some of each log: a data directory that was lost would begin
 * another log under the same origin and key.
 * Throws: STORE_FAILED, also when there is no such table yet.
 */
export async function readNewestNotes(
  client: StoreClient,
  origin: string,
): Promise<readonly string[]> {
  const rows = await client.query<{ Note: string }>(
    `SELECT Note FROM checkpoints
     WHERE (LogId, TreeSize) IN (
       SELECT LogId, TreeSize FROM checkpoints ORDER BY LogId, TreeSize DESC LIMIT {newest:UInt32} BY LogId
     ) AND startsWith(Note, {head:String})
     ORDER BY TreeSize DESC LIMIT {limit:UInt32}`,
    { newest: NEWEST_PER_LOG, head: `${origin}\n`, limit: MAX_NOTES },
  );
  return rows.map(({ Note }) => Note);
}
