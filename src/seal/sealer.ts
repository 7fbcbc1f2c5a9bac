import { strict as assert } from "node:assert";
import { equalBytes } from "../core/bytes.ts";
import { inStep } from "../core/durable-steps.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { PlacedBatch } from "../core/rows.ts";
import type { CheckpointSigner } from "../tlog/checkpoint.ts";
import { ED25519_TYPE, parseVerifierKey } from "../tlog/note.ts";
import type { LogProof } from "../tlog/proof.ts";
import type { TilePath } from "../tlog/tiles.ts";
import { Commits } from "./commits.ts";
import { makeDirectory } from "./durable.ts";
import { type Evidence, EvidenceCheck } from "./evidence.ts";
import type { GrowingLog } from "./growing-log.ts";
import type { KeyChange, KeyPeriod } from "./key-periods.ts";
import { type DirectoryLock, lockDirectory } from "./lock.ts";
import { type FilesProgress, LogFiles } from "./log-files.ts";
import { checkOrigin } from "./open-signer.ts";
import { Publication } from "./publication.ts";
import { type FoundLog, type SignedCheckpoint, findLog } from "./recovery.ts";
import type { Signer } from "./signers/define.ts";
import { signInTime } from "./signing.ts";
import { Steps } from "./steps.ts";
import { FileLogStore, type LogStore } from "./tile-store.ts";
import type { WitnessStatus, WitnessesOptions } from "./witness.ts";

const DEFAULT_CHECKPOINT_INTERVAL_MS = 1_000;
const DEFAULT_CHECKPOINT_RECORDS = 10_000;
/** Bytes of tiles and bundles that recovery collects before it writes them. */
const RECOVERY_BUFFER_BYTES = 4 * 1024 * 1024;

export interface SealerOptions {
  /** The data directory: the log is in `log/`, the commit record in `state/`. */
  readonly directory: string;
  readonly origin: string;
  readonly signer: Signer;
  /** Keys that sign beside it: the one that it replaces, while others get to know the new one; one of ML-DSA-44. */
  readonly otherSigners?: readonly CheckpointSigner[];
  /** Who has to cosign a checkpoint before it is published; without them each is published as it is signed. */
  readonly witnesses?: Omit<WitnessesOptions, "origin" | "logKeys" | "logger">;
  /** File outside the directory that gets each published checkpoint, and shows at the next start whether the directory is an older copy. */
  readonly anchor?: string;
  readonly checkpointIntervalMs?: number;
  /** Records after which a checkpoint is made before the interval is over. */
  readonly checkpointRecords?: number;
  readonly logger: Logger;
  /** The log on disk can no longer be relied on: end the process. Nothing is sealed any more. */
  onFatal(error: MeshproofError): void;
  onSigned?(size: number): void;
  /** Everyone can read it now; with witnesses, the same size may come again with more cosignatures. */
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
 *  4. publish log/checkpoint, or hand the checkpoint to the witnesses, who have it published when enough of them cosigned;
 *  5. begin to fsync what step 1 wrote; delete partial tiles whose full tile is durable.
 * 20,000 records/s make about 160 files a second, so nothing waits for their fsyncs: until those are done, the journal
 * holds durably all that they are made from. `durableThrough` says how far they are done.
 */
export class Sealer {
  readonly #options: SealerOptions;
  readonly #signers: readonly CheckpointSigner[];
  readonly #store: LogStore;
  readonly #lock: DirectoryLock;
  readonly #log: GrowingLog;
  readonly #files: LogFiles;
  readonly #commits: Commits;
  readonly #publication: Publication;
  readonly #steps: Steps;
  readonly #checkpointRecords: number;
  readonly #evidence: EvidenceCheck;

  /** Size at which the newest checkpoint was begun. */
  #begunSize: number;
  #isStepQueued = false;
  #isPutOff = false;
  #timer: NodeJS.Timeout | undefined;
  #phase: "recovering" | "running" | "closing" = "recovering";

  private constructor(
    options: SealerOptions,
    signers: readonly CheckpointSigner[],
    lock: DirectoryLock,
    store: LogStore,
    found: FoundLog,
  ) {
    const verifierKeys = signers.map(({ verifierKey }) => verifierKey);
    const { origin, witnesses, anchor, logger } = options;
    this.#options = options;
    this.#signers = signers;
    this.#lock = lock;
    this.#store = store;
    this.#log = found.log;
    this.#files = new LogFiles(store, found);
    this.#steps = new Steps((error) => {
      clearInterval(this.#timer);
      options.onFatal(error);
    });
    this.#commits = new Commits(store, found, verifierKeys);
    this.#publication = new Publication({
      origin,
      store,
      published: found.published,
      logKeys: verifierKeys.map(parseVerifierKey),
      witnesses,
      anchor,
      logger,
      step: (act) => this.#steps.run(act),
      onPublished: (checkpoint) => options.onPublished?.(checkpoint),
    });
    const publication = this.#publication;
    const commits = this.#commits;
    this.#evidence = new EvidenceCheck({
      directory: options.directory,
      origin,
      keys: [...verifierKeys.map(parseVerifierKey), ...commits.verifierKeys],
      get signedSize() {
        return commits.signedSize;
      },
      rootAt: (size) => publication.rootAt(size, commits.signedSize),
    });
    this.#checkpointRecords = options.checkpointRecords ?? DEFAULT_CHECKPOINT_RECORDS;
    this.#begunSize = this.signedSize;
  }

  /**
   * Locks the data directory and opens its log, or begins one. Nothing is written to the log before `recover`.
   * Throws: CONFIG_INVALID for the origin, DIRECTORY_LOCKED, KEY_INVALID when another key signed the log, POLICY_INVALID for the witnesses,
   * LOG_INCONSISTENT when commit record, tiles and published checkpoint contradict one another, or a witness or the anchor shows a newer log.
   */
  static async open(options: SealerOptions): Promise<Sealer> {
    const { directory, origin, signer, otherSigners = [], logger } = options;
    checkOrigin(origin);
    // The old key first, while it is replaced: who takes the first line of a name for the only one goes on reading.
    const signers = [...otherSigners, signer].toSorted(
      (a, b) => Number(!isEd25519(a)) - Number(!isEd25519(b)),
    );
    for (const { name } of signers)
      assert.equal(name, origin, "a signer bears the name of the log");
    const keys = signers.map(({ verifierKey }) => parseVerifierKey(verifierKey));
    await makeDirectory(directory, 0o700);
    const lock = lockDirectory(directory);
    let store: LogStore | undefined;
    let sealer: Sealer;
    try {
      store = options.store ?? (await FileLogStore.open(directory));
      const found = await findLog(store, origin, keys, logger);
      sealer = new Sealer(options, signers, lock, store, found);
    } catch (error) {
      await store?.close();
      lock.release();
      throw error;
    }
    try {
      await sealer.#compareWithOutside();
      return sealer;
    } catch (error) {
      await sealer.close();
      throw error;
    }
  }

  /** Records folded into the tree. The next batch begins here. */
  get size(): number {
    return this.#log.size;
  }

  /** Size of the newest signed checkpoint, 0 before the first. */
  get signedSize(): number {
    return this.#commits.signedSize;
  }

  /** Size of the checkpoint that everyone can read, 0 before the first. */
  get publishedSize(): number {
    return this.published?.size ?? 0;
  }

  /** The checkpoint that everyone can read, null before the first. */
  get published(): SignedCheckpoint | null {
    return this.#publication.published;
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

  /** Keys that sign or have signed, with the sizes of their first and last checkpoint. */
  get keys(): readonly KeyPeriod[] {
    return this.#commits.keys;
  }

  /** Keys that begin or cease to sign with the next checkpoint: records of it belong into the log before `recover`. */
  get keyChange(): KeyChange {
    return this.#commits.keyChange;
  }

  /** The record at `leafIndex`, which `recover` brings, names this key as a successor. */
  announced(verifierKey: string, leafIndex: number): void {
    this.#commits.announced(verifierKey, leafIndex);
  }

  get witnesses(): readonly WitnessStatus[] {
    return this.#publication.witnessStatus();
  }

  /**
   * Holds a checkpoint that was kept elsewhere against this log. Before `recover` is done its tree may be compared only then.
   * Returns: whether a key of this log signed it; when none did it says nothing about this log.
   * Throws: LOG_INCONSISTENT when it is newer than what was signed here, or of another tree: to go on would sign a second history.
   */
  async compare(evidence: Evidence): Promise<boolean> {
    const isOurs = this.#evidence.take(evidence);
    if (this.#phase !== "recovering") await this.#evidence.compareTrees();
    return isOurs;
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
        await this.#steps.run(() => this.#writeFiles());
    }
    const { size, signedSize } = this;
    if (size < signedSize) {
      throw inconsistent(
        `a checkpoint of ${signedSize} records was signed, tiles and journal end at ${size}: the journal was cut or is of another copy. ` +
          "Restore it; to go on without it would sign a second history",
      );
    }
    await this.#steps.run(() => this.#writeFiles());
    await this.#evidence.compareTrees();
    await this.#steps.run(async () => {
      const { signed } = this.#commits;
      if (signed !== null) await this.#publication.take(signed);
    });
    this.#phase = "running";
    await this.#evidence.compareTrees(); // what came meanwhile
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
    if (this.#steps.failure !== null) throw this.#steps.failure;
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
    return this.#steps.run(() => this.#checkpoint());
  }

  /** Resolves when everything that is signed is durable, and on record as such. */
  settle(): Promise<void> {
    return this.#steps.run(() => this.#settle());
  }

  /** A tile or entry bundle, null when there is none; a partial one also after it was deleted in favour of the full one. */
  read(path: TilePath): Promise<Uint8Array | null> {
    return this.#store.read(path);
  }

  /**
   * Proof that record `index` stands in the published checkpoint; `extra` is for the caller to fill in.
   * Throws: PROOF_RANGE when it is not in there (yet), LOG_INCONSISTENT when a tile is missing.
   */
  prove(index: number): Promise<LogProof> {
    return this.#publication.prove(index);
  }

  /** What leads from the records `indexes`, ascending, to the published checkpoint, and that checkpoint. Throws: as `prove`. */
  proveMany(
    indexes: readonly number[],
  ): Promise<{ readonly hashes: readonly Uint8Array[]; readonly checkpoint: string }> {
    return this.#publication.proveMany(indexes);
  }

  /** Takes the newest checkpoint to the witnesses now and not at their next round. Those that did not answer the last time are not waited for. */
  askWitnesses(): Promise<void> {
    return this.#publication.askWitnesses();
  }

  /** Makes the last checkpoint, waits until everything is durable, and releases the directory. */
  async close(): Promise<void> {
    if (this.#phase === "closing") return;
    const wasRunning = this.#phase === "running";
    this.#phase = "closing";
    clearInterval(this.#timer);
    try {
      if (wasRunning && this.#steps.failure === null) {
        await this.checkpoint();
        await this.#publication.askWitnesses();
        await this.settle();
      }
    } catch (error) {
      // After a fatal error there is nothing to add: it was reported when it happened.
      if (this.#steps.failure === null) this.#putOff(error as MeshproofError);
    } finally {
      await this.#publication.close();
      await this.#steps.idle();
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
    for (const size of this.#commits.sizes) {
      if (size <= this.size || size > end) continue;
      this.#log.fold(frame, this.size, size);
      this.#log.addPartials();
      if (size !== signedSize || equalBytes(this.#log.root(), this.#commits.signed!.root)) continue;
      throw inconsistent(
        `the journal's records up to ${signedSize} have another root hash than the checkpoint that was signed for them: ` +
          "the journal or state/ was changed. Restore both from one copy",
      );
    }
    if (this.size < end) this.#log.fold(frame, this.size, end);
  }

  /** At an interval, or when enough records have come. One step at most waits. */
  #queueStep(): void {
    if (this.#isStepQueued || this.#phase !== "running") return;
    this.#isStepQueued = true;
    this.#steps
      .run(() => {
        this.#isStepQueued = false;
        return this.size > this.signedSize ? this.#checkpoint() : this.#recordDurable();
      })
      .catch((error: MeshproofError) => {
        this.#isStepQueued = false;
        if (this.#steps.failure === null) this.#putOff(error);
      });
  }

  async #checkpoint(): Promise<void> {
    const { size } = this;
    if (size === this.signedSize) return;
    this.#begunSize = size;
    const root = this.#log.root();
    this.#log.addPartials();
    await this.#writeFiles();
    const { origin } = this.#options;
    const note = await inStep("sign", () => signInTime({ origin, size, root }, this.#signers));
    await this.#commit((progress) => this.#commits.commit({ size, root, note }, progress));
    this.#options.onSigned?.(size);
    if (this.#isPutOff) this.#options.logger.info({ size }, "checkpoints are made again");
    this.#isPutOff = false;
    await this.#publication.take(this.#commits.signed!);
    this.#startSync();
    // Also of sizes that wait for witnesses: who asks for a partial tile that is gone gets it from the full one (tlog-tiles, "Partial Tiles").
    await this.#files.prune(this.#commits.previousSize);
  }

  #writeFiles(): Promise<void> {
    return this.#files.write(this.#log.files);
  }

  /** Writes the commit record, with how far the files are durable by now. */
  async #commit(write: (progress: FilesProgress) => Promise<void>): Promise<void> {
    const { progress } = this.#files;
    const before = this.durableThrough;
    await write(progress);
    this.#files.recorded(progress);
    if (this.durableThrough > before) this.#options.onDurable?.(this.durableThrough);
  }

  /** Whoever keeps checkpoints of this log outside its directory is asked before anything is signed. */
  async #compareWithOutside(): Promise<void> {
    const anchor = await this.#publication.readAnchor();
    if (anchor !== null && !(await this.compare(anchor)))
      throw inconsistent(
        `${anchor.source} is no checkpoint of ${this.#options.origin} that a key of this log signed: it belongs to another log, or this directory is a copy from before the key was replaced. ` +
          "Configure the file of this log, or restore the newest copy of the directory; it is never overwritten",
      );
    const seen = await this.#publication.readWitnesses();
    if (seen !== null) await this.compare(seen);
  }

  #startSync(): void {
    this.#files.startSync(this.signedSize, (error) => this.#steps.failed(error));
  }

  /** While nothing new comes: finishes what the checkpoints before left to be done, also when a full disk kept one from being published. */
  async #recordDurable(): Promise<void> {
    if (this.publishedSize < this.signedSize) await this.#publication.take(this.#commits.signed!);
    if (this.#files.isRecordBehind) {
      await this.#commit((progress) => this.#commits.recordProgress(progress));
      await this.#files.prune(this.#commits.previousSize);
    }
    this.#startSync();
  }

  async #settle(): Promise<void> {
    while (this.durableThrough < this.signedSize && this.#steps.failure === null) {
      await this.#recordDurable();
      await this.#files.idle();
    }
  }

  #putOff(error: MeshproofError): void {
    if (this.#steps.failure !== null) throw error;
    // Once, not at each interval for as long as it lasts.
    if (this.#isPutOff) return;
    this.#isPutOff = true;
    this.#options.logger.warn(
      { err: error, unsigned: this.size - this.signedSize },
      "checkpoint put off: the journal keeps what is not sealed",
    );
  }
}

function isEd25519({ verifierKey }: CheckpointSigner): boolean {
  return parseVerifierKey(verifierKey).type === ED25519_TYPE;
}

function inconsistent(message: string): MeshproofError {
  return new MeshproofError("LOG_INCONSISTENT", message);
}
