import { strict as assert } from "node:assert";
import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { PlacedBatch } from "../core/rows.ts";
import { formatCheckpoint, openCheckpoint } from "../tlog/checkpoint.ts";
import { type VerifierKey, parseVerifierKey, signNote } from "../tlog/note.ts";
import type { LogProof } from "../tlog/proof.ts";
import { proveInclusion } from "../tlog/prove.ts";
import { type TilePath, formatTilePath, tileHashReader } from "../tlog/tiles.ts";
import { makeDirectory } from "./durable.ts";
import type { GrowingLog } from "./growing-log.ts";
import { type DirectoryLock, lockDirectory } from "./lock.ts";
import { LogFiles } from "./log-files.ts";
import { checkOrigin } from "./open-signer.ts";
import { type FoundLog, type SignedCheckpoint, findLog } from "./recovery.ts";
import type { Signer } from "./signers/define.ts";
import { FileLogStore, type LogStore } from "./tile-store.ts";

const DEFAULT_CHECKPOINT_INTERVAL_MS = 1_000;
const DEFAULT_CHECKPOINT_RECORDS = 10_000;
/** A signer that does not answer in this time is asked again at the next checkpoint. */
const SIGN_TIMEOUT_MS = 10_000;
/** Bytes of tiles and bundles that recovery collects before it writes them. */
const RECOVERY_BUFFER_BYTES = 4 * 1024 * 1024;

export interface SealerOptions {
  /** The data directory: the log is in `log/`, the commit record in `state/`. */
  readonly directory: string;
  readonly origin: string;
  readonly signer: Signer;
  readonly checkpointIntervalMs?: number;
  /** Records after which a checkpoint is made before the interval is over. */
  readonly checkpointRecords?: number;
  readonly logger: Logger;
  /** The log on disk can no longer be relied on: end the process. Nothing is sealed any more. */
  onFatal(error: MeshproofError): void;
  onPublished?(checkpoint: SignedCheckpoint): void;
  /** `durableThrough` has grown: the journal may release what is below, as far as the log goes. */
  onDurable?(durableThrough: number): void;
  /** Where the log is kept: in files below `directory`, unless a test says otherwise. */
  readonly store?: LogStore;
}

/**
 * The Merkle log as a process: folds records into the tree, and at each checkpoint writes tiles, signs, commits and publishes.
 *
 * The order of a checkpoint; docs/design/sealing.md says why a crash between any two steps does no harm:
 *  1. write the tiles and entry bundles that are new (readable, not yet durable);
 *  2. sign, and verify the signature;
 *  3. commit: record the signed checkpoint in state/, durably. From here on no other tree of this size is ever signed;
 *  4. publish log/checkpoint;
 *  5. begin to fsync what step 1 wrote; delete partial tiles whose full tile is durable.
 * 20,000 records/s make about 160 files a second, so nothing waits for their fsyncs: until those are done, the journal
 * holds durably all that they are made from. `durableThrough` says how far they are done.
 */
export class Sealer {
  readonly #options: SealerOptions;
  readonly #store: LogStore;
  readonly #lock: DirectoryLock;
  readonly #key: VerifierKey;
  readonly #log: GrowingLog;
  readonly #files: LogFiles;
  readonly #checkpointRecords: number;

  #signed: SignedCheckpoint | null;
  #published: SignedCheckpoint | null;
  /** Size of the checkpoint published before the newest: its readers may still be fetching partial tiles. */
  #previousPublishedSize: number;
  /** Sizes above `durableThrough` that a checkpoint was signed for, ascending. */
  #checkpointSizes: readonly number[];
  /** Size at which the newest checkpoint was begun. */
  #begunSize: number;

  /** One step at a time: each waits for the one before it. */
  #steps: Promise<void> = Promise.resolve();
  #isStepQueued = false;
  #timer: NodeJS.Timeout | undefined;
  #phase: "recovering" | "running" | "closing" = "recovering";
  #failure: MeshproofError | null = null;

  private constructor(
    options: SealerOptions,
    key: VerifierKey,
    lock: DirectoryLock,
    store: LogStore,
    found: FoundLog,
  ) {
    this.#options = options;
    this.#key = key;
    this.#lock = lock;
    this.#store = store;
    this.#log = found.log;
    this.#files = new LogFiles(store, found);
    this.#checkpointRecords = options.checkpointRecords ?? DEFAULT_CHECKPOINT_RECORDS;
    this.#signed = found.signed;
    this.#published = found.published;
    this.#previousPublishedSize = this.publishedSize;
    this.#checkpointSizes = found.checkpointSizes;
    this.#begunSize = this.signedSize;
  }

  /**
   * Locks the data directory and opens its log, or begins one. Nothing is written to the log before `recover`.
   * Throws: CONFIG_INVALID for the origin, DIRECTORY_LOCKED, KEY_INVALID when another key signed the log,
   * LOG_INCONSISTENT when commit record, tiles and published checkpoint contradict one another.
   */
  static async open(options: SealerOptions): Promise<Sealer> {
    const { directory, origin, signer, logger } = options;
    checkOrigin(origin);
    const key = parseVerifierKey(signer.verifierKey);
    assert.equal(key.name, origin, "a signer bears the name of the log");
    await makeDirectory(directory, 0o700);
    const lock = lockDirectory(directory);
    let store: LogStore | undefined;
    try {
      store = options.store ?? (await FileLogStore.open(directory));
      return new Sealer(options, key, lock, store, await findLog(store, origin, key, logger));
    } catch (error) {
      await store?.close();
      lock.release();
      throw error;
    }
  }

  /** Records folded into the tree. The next batch begins here. */
  get size(): number {
    return this.#log.size;
  }

  /** Size of the newest signed checkpoint, 0 before the first. */
  get signedSize(): number {
    return this.#signed?.size ?? 0;
  }

  /** Size of the checkpoint that everyone can read, 0 before the first. */
  get publishedSize(): number {
    return this.#published?.size ?? 0;
  }

  /** The checkpoint that everyone can read, null before the first. */
  get published(): SignedCheckpoint | null {
    return this.#published;
  }

  /** The journal must be replayed from this index on. */
  get replayFrom(): number {
    return this.#files.durableThrough;
  }

  /** Below this index the log needs the journal no more, whatever crashes: its files are durable, and on record as such. */
  get durableThrough(): number {
    return this.#files.durableThrough;
  }

  get verifierKey(): string {
    return this.#options.signer.verifierKey;
  }

  /**
   * Brings the tree to where the journal ends, makes up for what a crash cut off, and starts the checkpoints.
   * Call it once, before `append`. `frames` are the journal's batches from `replayFrom` on, in order; rows below are passed over.
   * Throws: LOG_INCONSISTENT when they do not reproduce the signed tree: rows are missing, or others than those that were signed.
   */
  async recover(frames: AsyncIterable<PlacedBatch> | Iterable<PlacedBatch>): Promise<void> {
    assert.equal(this.#phase, "recovering", "recover is called once");
    for await (const frame of frames) {
      this.#replay(frame);
      if (this.#log.files.length > RECOVERY_BUFFER_BYTES)
        await this.#step(() => this.#writeFiles());
    }
    const { size, signedSize } = this;
    if (size < signedSize) {
      throw inconsistent(
        `a checkpoint of ${signedSize} records was signed, tiles and journal end at ${size}: the journal was cut or is of another copy. ` +
          "Restore it; to go on without it would sign a second history",
      );
    }
    await this.#step(async () => {
      await this.#writeFiles();
      if (this.#signed !== null && this.publishedSize < signedSize)
        await this.#publish(this.#signed);
    });
    this.#phase = "running";
    const intervalMs = this.#options.checkpointIntervalMs ?? DEFAULT_CHECKPOINT_INTERVAL_MS;
    this.#timer = setInterval(() => this.#queueStep(), intervalMs);
    this.#timer.unref();
    await this.checkpoint().catch((error: MeshproofError) => this.#putOff(error));
  }

  /**
   * Folds a batch into the tree: its entries, leaf hashes and nodes, in memory. About 1 µs a record; the rest happens at checkpoints.
   * Batches come in order and without a gap, and are durable in the journal already.
   * Throws: the fatal error, when there was one.
   */
  append(batch: PlacedBatch): void {
    if (this.#failure !== null) throw this.#failure;
    assert.equal(this.#phase, "running", "append after recover and before close");
    assert.equal(batch.firstIndex, this.size, "batches come in order, without a gap");
    this.#log.fold(batch, batch.firstIndex, batch.firstIndex + batch.count);
    if (this.size - this.#begunSize >= this.#checkpointRecords) this.#queueStep();
  }

  /**
   * Signs and publishes the tree as it stands when the step begins, now and not at the next interval.
   * Throws: UNAVAILABLE when the signer does not answer, STORAGE_FULL when the disk is full; both are tried again at the
   * next interval. Any other error is fatal.
   */
  checkpoint(): Promise<void> {
    return this.#step(() => this.#checkpoint());
  }

  /** A tile or entry bundle, null when there is none; a partial one also after it was deleted in favour of the full one. */
  read(path: TilePath): Promise<Uint8Array | null> {
    return this.#store.read(path);
  }

  /**
   * Proof that record `index` stands in the published checkpoint; `extra` is for the caller to fill in.
   * Throws: PROOF_RANGE when it is not in there (yet), LOG_INCONSISTENT when a tile is missing.
   */
  async prove(index: number): Promise<LogProof> {
    const published = this.#published;
    if (published === null)
      throw new MeshproofError("PROOF_RANGE", `record ${index}: no checkpoint is published yet`);
    const reader = tileHashReader(published.size, async (tile) => {
      const bytes = await this.#store.read(tile);
      if (bytes === null) throw inconsistent(`log/${formatTilePath(tile)} is missing`);
      return bytes;
    });
    const hashes = await proveInclusion(index, published.size, reader);
    return { index, hashes, checkpoint: published.note, extra: null };
  }

  /** Makes the last checkpoint, waits until everything is durable, and releases the directory. */
  async close(): Promise<void> {
    if (this.#phase === "closing") return;
    const wasRunning = this.#phase === "running";
    this.#phase = "closing";
    clearInterval(this.#timer);
    try {
      if (wasRunning && this.#failure === null) {
        await this.checkpoint();
        await this.#step(() => this.#settle());
      }
    } catch (error) {
      // After a fatal error there is nothing to add: it was reported when it happened.
      if (this.#failure === null) this.#putOff(error as MeshproofError);
    } finally {
      await this.#steps;
      await this.#files.idle();
      await this.#store.close();
      this.#lock.release();
    }
  }

  /** Folds in what the tree lacks of `frame`, makes the partial tiles of checkpoints again, and compares the tree with the signed one. */
  #replay(frame: PlacedBatch): void {
    const { signedSize } = this;
    const end = frame.firstIndex + frame.count;
    if (frame.firstIndex > this.size) {
      throw inconsistent(
        `the tiles reach to record ${this.size}, the journal goes on at ${frame.firstIndex}: the records between are in neither. ` +
          "Restore log/, state/ and the journal from one copy",
      );
    }
    for (const size of this.#checkpointSizes) {
      if (size <= this.size || size > end) continue;
      this.#log.fold(frame, this.size, size);
      this.#log.addPartials();
      if (size !== signedSize || equalBytes(this.#log.root(), this.#signed!.root)) continue;
      throw inconsistent(
        `the journal's records up to ${signedSize} have another root hash than the checkpoint that was signed for them: ` +
          "the journal or state/ was changed. Restore both from one copy",
      );
    }
    if (this.size < end) this.#log.fold(frame, this.size, end);
  }

  /** Runs `act` behind the steps before it. An error that does not pass ends the sealer. */
  #step(act: () => Promise<void>): Promise<void> {
    const step = this.#steps.then(async () => {
      if (this.#failure !== null) throw this.#failure;
      await act().catch((error: unknown) => {
        throw this.#classify(error);
      });
    });
    this.#steps = step.catch(() => {});
    return step;
  }

  /** At an interval, or when enough records have come. One step at most waits. */
  #queueStep(): void {
    if (this.#isStepQueued || this.#phase !== "running") return;
    this.#isStepQueued = true;
    this.#step(() => {
      this.#isStepQueued = false;
      return this.size > this.signedSize ? this.#checkpoint() : this.#recordDurable();
    }).catch((error: MeshproofError) => {
      this.#isStepQueued = false;
      if (this.#failure === null) this.#putOff(error);
    });
  }

  async #checkpoint(): Promise<void> {
    const { size } = this;
    if (size === this.signedSize) return;
    this.#begunSize = size;
    const root = this.#log.root();
    this.#log.addPartials();
    await this.#writeFiles();
    const note = await this.#sign(formatCheckpoint({ origin: this.#options.origin, size, root }));
    await this.#commit({ size, root, note });
    await this.#publish(this.#signed!);
    this.#startSync();
    await this.#files.prune(this.#previousPublishedSize);
  }

  #writeFiles(): Promise<void> {
    return this.#files.write(this.#log.files);
  }

  /** The signed note. Its signature is verified: what is committed must open again. */
  async #sign(text: string): Promise<string> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(`no answer within ${SIGN_TIMEOUT_MS} ms`)),
      SIGN_TIMEOUT_MS,
    );
    let note: string;
    try {
      note = await Promise.race([signNote(text, [this.#options.signer]), late]);
    } catch (cause) {
      throw new MeshproofError(
        "UNAVAILABLE",
        `the signer did not sign: ${(cause as Error).message}`,
        { cause },
      );
    } finally {
      clearTimeout(timer);
    }
    try {
      openCheckpoint(note, this.#options.origin, [this.#key]);
    } catch (cause) {
      throw new MeshproofError(
        "KEY_INVALID",
        "the signer made a signature that its own verifier key does not accept",
        { cause },
      );
    }
    return note;
  }

  /** Writes the commit record, with how far the files are durable by now. */
  async #commit(checkpoint: SignedCheckpoint): Promise<void> {
    const { progress } = this.#files;
    const before = this.durableThrough;
    const sizes = this.#checkpointSizes.filter(
      (size) => size > progress.durableThrough && size < checkpoint.size,
    );
    if (checkpoint.size > progress.durableThrough) sizes.push(checkpoint.size);
    await this.#store.writeState({
      checkpoint: checkpoint.note,
      checkpointSizes: sizes,
      ...progress,
    });
    this.#signed = checkpoint;
    this.#checkpointSizes = sizes;
    this.#files.recorded(progress);
    if (this.durableThrough > before) this.#options.onDurable?.(this.durableThrough);
  }

  async #publish(checkpoint: SignedCheckpoint): Promise<void> {
    await this.#store.publish(checkpoint.note);
    this.#previousPublishedSize = this.publishedSize;
    this.#published = checkpoint;
    this.#options.onPublished?.(checkpoint);
  }

  #startSync(): void {
    this.#files.startSync(this.signedSize, (error) => this.#classify(error));
  }

  /** While nothing new comes: finishes what the checkpoints before left to be done. */
  async #recordDurable(): Promise<void> {
    if (this.#files.isRecordBehind) {
      await this.#commit(this.#signed!);
      await this.#files.prune(this.#previousPublishedSize);
    }
    this.#startSync();
  }

  /** Waits until everything that is signed is durable, and on record as such. */
  async #settle(): Promise<void> {
    while (this.durableThrough < this.signedSize && this.#failure === null) {
      await this.#recordDurable();
      await this.#files.idle();
    }
  }

  #putOff(error: MeshproofError): void {
    if (this.#failure !== null) throw error;
    this.#options.logger.warn(
      { err: error, unsigned: this.size - this.signedSize },
      "checkpoint put off: the journal keeps what is not sealed",
    );
  }

  /** Errors that pass leave the log as it was. After any other it is uncertain what is on disk, and the sealer stops for good. */
  #classify(error: unknown): MeshproofError {
    if (isDiskFull(error)) {
      return new MeshproofError(
        "STORAGE_FULL",
        `the disk that holds the log has no room: ${(error as Error).message}`,
        { cause: error },
      );
    }
    if (error instanceof MeshproofError && error.code === "UNAVAILABLE") return error;
    if (this.#failure === null) {
      this.#failure =
        error instanceof MeshproofError
          ? error
          : new MeshproofError(
              "LOG_FAILED",
              `the log cannot be written: ${(error as Error).message}`,
              { cause: error },
            );
      clearInterval(this.#timer);
      this.#options.onFatal(this.#failure);
    }
    return this.#failure;
  }
}

/** A full disk that a write noticed. Noticed by an fsync it is fatal: nobody knows what was kept. */
function isDiskFull(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return (code === "ENOSPC" || code === "EDQUOT") && syscall !== "fsync" && syscall !== "fdatasync";
}

function inconsistent(message: string): MeshproofError {
  return new MeshproofError("LOG_INCONSISTENT", message);
}
