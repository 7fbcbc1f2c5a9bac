import { MeshproofError } from "../core/errors.ts";
import { Drops, type DropsOptions } from "./drops.ts";
import {
  type ErasureRequest,
  type ErasureResult,
  eraseOpen,
  openErasures,
  sealErasure,
} from "./erasure.ts";
import { expire, type ExpiryOptions } from "./expiry.ts";
import type { ClickHouseRowSource } from "../store/rows.ts";
import type { RetentionStore } from "../store/retention.ts";

export interface RetentionOptions
  extends
    Omit<DropsOptions, "rows" | "signal">,
    Omit<ExpiryOptions, "drops" | "rows" | "store" | "seal" | "logger"> {
  readonly rows: Pick<ClickHouseRowSource, "dropRecords" | "partitionLeaves" | "selectedLeaves">;
  readonly store: RetentionStore;
  /** Ends what is under way; the next start goes on with it. */
  readonly signal: AbortSignal;
  readonly intervalMs: number;
  /** Resolves when the tables stand. */
  readonly tables: Promise<unknown>;
  readonly onErased?: (table: string, rows: number) => void;
}

/** Expiry at the start and at each interval, and erasure when it is asked for; one after the other. */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #drops: Drops;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #isQueued = false;
  /** Erasures that were sealed in this run, and whose rows may still be there: the store may not have their records yet. */
  readonly #begun = new Set<number>();

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#drops = new Drops(options);
  }

  start(): void {
    this.#queuePass();
    this.#timer = setInterval(() => this.#queuePass(), this.#options.intervalMs);
    this.#timer.unref();
  }

  /** Finishes the erasures that were begun, then looks for what is over. */
  pass(): Promise<void> {
    return this.#run(async () => {
      await this.#options.tables;
      if (!(await this.#drops.settled())) return;
      await this.#eraseOpen();
      const { log } = this.#options;
      await expire({
        ...this.#options,
        drops: this.#drops,
        seal: (records) => log.seal(records),
      });
    });
  }

  /** Seals an erasure; the rows go soon afterwards. Throws: as `sealErasure`. */
  async erase(request: ErasureRequest): Promise<ErasureResult> {
    const result = await this.#run(() =>
      sealErasure({ ...this.#options, drops: this.#drops }, request),
    );
    for (const record of result.records) this.#begun.add(record);
    if (result.records.length > 0)
      this.#run(() => this.#eraseOpen()).catch((error: unknown) => this.#failed(error));
    return result;
  }

  /** Sealed erasures whose rows may still be there. */
  async openErasures(): Promise<number[]> {
    const begun = [...this.#begun];
    return [...new Set([...begun, ...openErasures((await this.#drops.history()).open)])];
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running.catch(() => {});
  }

  async #eraseOpen(): Promise<void> {
    if (!(await this.#drops.settled()))
      throw new MeshproofError("UNAVAILABLE", "the store does not have all records yet");
    const history = await this.#drops.history();
    for (const record of await eraseOpen({ ...this.#options, drops: this.#drops }, history))
      this.#begun.delete(record);
  }

  #queuePass(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    this.pass()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => (this.#isQueued = false));
  }

  #run<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#running.then(act, act);
    this.#running = done.catch(() => {});
    return done;
  }

  #failed(error: unknown): void {
    const { signal, logger, intervalMs } = this.#options;
    if (signal.aborted) return;
    logger.error(
      { err: error },
      `expiry or erasure did not come to its end; it is tried again within ${intervalMs / 1000} s`,
    );
  }
}
