import { inStep, inStepNow } from "../core/durable-steps.ts";
import { MeshproofError } from "../core/errors.ts";
import { countRows, type PlacedBatch, type RowBatch } from "../core/rows.ts";
import { isStorageFull, nodeFileSystem, writeAll, type FileSystem } from "./files.ts";
import { encodeHead, patchLeafIndexes, sealFrame, type Frame, type FrameMeta } from "./frame.ts";
import { KeyFiles, KeyList, type RecoveredKey } from "./keys.ts";
import {
  DEFAULT_KEY_WINDOW_MS,
  DEFAULT_MAX_KEYS,
  DEFAULT_RESERVE_BYTES,
  DEFAULT_SEGMENT_AGE_MS,
  DEFAULT_SEGMENT_BYTES,
  type JournalOptions,
} from "./options.ts";
import { readFrames } from "./reader.ts";
import { recoverJournal, type ActiveSegment, type RecoveredJournal } from "./recovery.ts";
import { createSegment, SEGMENT_VERSION, segmentPath, type Segment } from "./segment.ts";

export type { Frame, FrameMeta, JournalOptions, RecoveredKey };

/** A small journal is split all the same, so that release can free most of it. */
const MIN_SEGMENTS = 4;
/** One group holds no more, so that the first of many waiting frames does not wait for the last. */
const MAX_GROUP_BYTES = 8 * 1024 * 1024;
const FULL_RETRY_AFTER_SECONDS = 5;
/** Released segments that are kept to be written over, and for how long: what they hold should go when it is released. */
const MAX_SPARES = 2;
const SPARE_AGE_MS = 60_000;

interface WaitingFrame {
  readonly placed: PlacedBatch;
  readonly meta: FrameMeta;
  readonly head: Buffer;
  readonly length: number;
  readonly resolve: () => void;
  readonly reject: (error: MeshproofError) => void;
}

/**
 * The write-ahead log of rows. A batch is appended in memory and becomes durable with others in one write and one fdatasync.
 * docs/design/journal.md says why it is as it is.
 */
export class Journal {
  readonly #options: JournalOptions;
  readonly #files: FileSystem;
  readonly #clock: () => number;
  readonly #reserveBytes: number;
  readonly #segmentBytes: number;
  readonly #segmentAgeMs: number;
  readonly #keyFiles: KeyFiles;
  readonly #segments: Segment[];
  #active: ActiveSegment;
  #activeSinceMs: number;
  #isTurning = false;
  #nextIndex: number;
  #diskBytes = 0;
  /** Released segments that the next ones are written over. */
  readonly #spares: string[] = [];
  #spareTimer: NodeJS.Timeout | undefined;
  /** Frames that are not durable yet, oldest first; the group that is being written stays in it. */
  readonly #waiting: WaitingFrame[] = [];
  #waitingBytes = 0;
  #flushing: Promise<void> | null = null;
  #releasing: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;
  #failure: MeshproofError | null = null;
  #storageFull = false;

  private constructor(
    options: JournalOptions,
    keyFiles: KeyFiles,
    { segments, active }: RecoveredJournal,
  ) {
    this.#options = options;
    this.#files = options.fileSystem ?? nodeFileSystem;
    this.#clock = options.clock ?? Date.now;
    this.#reserveBytes = options.reserveBytes ?? DEFAULT_RESERVE_BYTES;
    this.#segmentBytes = Math.min(
      options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
      Math.floor(options.maxBytes / MIN_SEGMENTS),
    );
    this.#segmentAgeMs = options.segmentAgeMs ?? DEFAULT_SEGMENT_AGE_MS;
    this.#keyFiles = keyFiles;
    this.#segments = segments;
    this.#active = active;
    this.#activeSinceMs = this.#clock();
    // What was begun without originals gets none.
    this.#isTurning = options.withOriginals === true;
    this.#nextIndex = active.segment.endIndex;
    for (const segment of segments) this.#diskBytes += segment.size;
  }

  /**
   * The journal in `directory`, recovered.
   * Throws: JOURNAL_CORRUPT for damage that no crash explains; STORAGE_FULL and JOURNAL_FAILED when the directory cannot be read or written.
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const { directory, logger, clock = Date.now, fileSystem: files = nodeFileSystem } = options;
    const keyFiles = new KeyFiles({
      files,
      directory,
      windowMs: options.keyWindowMs ?? DEFAULT_KEY_WINDOW_MS,
      maxKeys: options.maxKeys ?? DEFAULT_MAX_KEYS,
      logger,
      clock,
    });
    const onRecoveredKey = options.onRecoveredKey ?? (() => {});
    try {
      const recovered = await recoverJournal({
        files,
        directory,
        segmentVersion: segmentVersion(options),
        nextIndex: options.nextIndex ?? 0,
        keyFiles,
        onRecoveredKey,
        logger,
      });
      return new Journal(options, keyFiles, recovered);
    } catch (cause) {
      if (cause instanceof MeshproofError) throw cause;
      const code = isStorageFull(cause) ? "STORAGE_FULL" : "JOURNAL_FAILED";
      throw new MeshproofError(
        code,
        `${directory}: the journal cannot be opened: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  /** Index of the first row that is still on disk. */
  get firstIndex(): number {
    return this.#segments[0]!.firstIndex;
  }

  /** The index behind the last durable row. */
  get durableIndex(): number {
    return this.#active.segment.endIndex;
  }

  /** The index that the next row gets. */
  get nextIndex(): number {
    return this.#nextIndex;
  }

  /** Did the last write find no room on the disk? */
  get storageFull(): boolean {
    return this.#storageFull;
  }

  /** Bytes of the segments on disk and of the frames that wait to be written; bounded by `maxBytes` and the reserve. */
  get bytes(): number {
    return this.#diskBytes + this.#waitingBytes;
  }

  /**
   * Places a batch behind all others: its rows get their leaf indexes, which are written into their prefixes.
   * The batch's buffers belong to the journal until `durable` settles; no row is copied.
   *
   * `durable` rejects with STORAGE_FULL when the disk has no room (nothing was kept; the same batch can be appended again later)
   * and with JOURNAL_FAILED when a write or sync failed.
   * Throws: JOURNAL_FULL, JOURNAL_FAILED, SHUTTING_DOWN.
   */
  append(
    batch: RowBatch,
    meta: FrameMeta,
    { reserve = false }: { reserve?: boolean } = {},
  ): { placed: PlacedBatch; durable: Promise<void> } {
    if (this.#failure !== null) throw this.#failure;
    if (this.#closing !== null) throw new MeshproofError("SHUTTING_DOWN", "the journal is closed");
    const firstIndex = this.#nextIndex;
    const count = countRows(batch);
    const { head, length } = encodeHead(batch, meta, firstIndex, count);
    const limit = this.#options.maxBytes + (reserve ? this.#reserveBytes : 0);
    if (this.bytes + length > limit) {
      throw new MeshproofError(
        "JOURNAL_FULL",
        `the journal holds ${this.bytes} bytes of at most ${limit}; a frame of ${length} does not fit`,
        {
          retryAfterSeconds: FULL_RETRY_AFTER_SECONDS,
        },
      );
    }
    patchLeafIndexes(batch, firstIndex);
    const placed: PlacedBatch = { sections: batch.sections, firstIndex, count };
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ placed, meta, head, length, resolve, reject });
    this.#waitingBytes += length;
    this.#nextIndex += count;
    // A microtask later, so that what is appended in one go is one group.
    this.#flushing ??= Promise.resolve().then(() => this.#flush());
    return { placed, durable: promise };
  }

  /** The next frame begins a segment, so that `release` can free all before it. */
  beginSegment(): void {
    this.#isTurning = true;
  }

  /**
   * Durable frames in order, from the one that holds `fromIndex` to the last one there is when the reader gets that far.
   * A frame without rows, kept for its deduplication key and for what findings say of it, is passed over but for `rowless`.
   * A frame's bytes hold for as long as it is referenced.
   * Memory: one chunk of 4 MiB, or one frame where that is more.
   * Throws: JOURNAL_CORRUPT, also when `fromIndex` was released.
   */
  frames(
    fromIndex: number,
    options?: { readonly rowless?: boolean },
  ): AsyncGenerator<Frame, void, void> {
    return readFrames(this.#files, this.#segments, fromIndex, options);
  }

  /**
   * Deletes the segments whose rows all have an index below `belowIndex`, oldest first, or keeps one or two for a minute to be written over;
   * the active one stays, since it says which index comes next. When it resolves, this is durable. After `close` nothing goes any more.
   */
  release(belowIndex: number): Promise<void> {
    if (this.#closing !== null) return this.#releasing;
    this.#releasing = this.#releasing.then(async () => {
      if (this.#failure !== null) throw this.#failure;
      try {
        const oldest = this.#segments[0]!;
        if (oldest !== this.#active.segment && oldest.endIndex <= belowIndex)
          await inStep("release_segments", () => this.#release(belowIndex));
      } catch (cause) {
        throw this.#fail(cause);
      }
    });
    return this.#releasing;
  }

  /** Writes what waits, then takes no more. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#flushing;
      await this.#releasing.catch(() => {}); // whoever released knows
      clearTimeout(this.#spareTimer);
      const { fd, segment } = this.#active;
      try {
        if (this.#failure !== null) return;
        await this.#removeSpares();
        if ((await this.#files.size(fd)) > segment.size)
          await this.#files.truncate(fd, segment.size);
      } catch (cause) {
        throw this.#fail(cause);
      } finally {
        await this.#files.close(fd);
      }
    })();
    return this.#closing;
  }

  async #release(belowIndex: number): Promise<void> {
    for (
      let oldest = this.#segments[0]!;
      oldest !== this.#active.segment && oldest.endIndex <= belowIndex;
      oldest = this.#segments[0]!
    ) {
      if (!(await this.#keyFiles.writeOver(oldest.firstIndex, oldest.path)))
        await this.#putAway(oldest);
      // One by one: a crash must not leave a gap between segments.
      await this.#files.syncDirectory(this.#options.directory);
      this.#segments.shift();
      this.#diskBytes -= oldest.size;
    }
  }

  /** Takes a released segment out of the journal: its name goes, its blocks may stay for the next segment. */
  async #putAway({ path, firstIndex, size }: Segment): Promise<void> {
    if (this.#spares.length === MAX_SPARES || size * 2 < this.#segmentBytes)
      return this.#files.remove(path);
    const spare = segmentPath(this.#options.directory, firstIndex, "spare");
    await this.#files.rename(path, spare);
    this.#spares.push(spare);
    clearTimeout(this.#spareTimer);
    this.#spareTimer = setTimeout(() => {
      this.#releasing = this.#releasing
        .then(() => this.#removeSpares())
        .catch((cause: unknown) => void this.#fail(cause));
    }, SPARE_AGE_MS);
    this.#spareTimer.unref();
  }

  async #removeSpares(): Promise<void> {
    for (let spare = this.#spares.pop(); spare !== undefined; spare = this.#spares.pop())
      await this.#files.remove(spare);
  }

  async #flush(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && this.#failure === null) {
        let group: WaitingFrame[];
        const started = performance.now();
        try {
          if (this.#isFullFor(this.#waiting[0]!))
            await this.#rotate(this.#waiting[0]!.placed.firstIndex);
          group = this.#nextGroup();
          await inStep("write_frames", () => this.#write(group));
        } catch (error) {
          if (!isStorageFull(error)) throw error;
          await this.#refuseWaiting(error);
          continue;
        }
        await inStep("sync_frames", () => this.#files.datasync(this.#active.fd));
        this.#options.onSynced?.((performance.now() - started) / 1000);
        // Else a release failed meanwhile, and the group was refused.
        if (this.#failure === null) inStepNow("acknowledge", () => this.#commit(group));
      }
    } catch (cause) {
      this.#fail(cause);
    }
    this.#flushing = null;
  }

  #isFullFor({ length }: WaitingFrame): boolean {
    const { size, firstIndex, endIndex } = this.#active.segment;
    if (endIndex === firstIndex) return false; // a segment after it would have the same name
    return (
      this.#isTurning ||
      size + length > this.#segmentBytes ||
      this.#clock() - this.#activeSinceMs >= this.#segmentAgeMs
    );
  }

  async #rotate(firstIndex: number): Promise<void> {
    const full = this.#active;
    const { directory } = this.#options;
    const created = await createSegment(
      this.#files,
      directory,
      firstIndex,
      segmentVersion(this.#options),
      this.#spares.pop(),
    );
    this.#active = { ...created, keys: new KeyList() };
    this.#activeSinceMs = this.#clock();
    this.#isTurning = false;
    this.#segments.push(created.segment);
    this.#diskBytes += created.segment.size;
    await this.#files.close(full.fd);
    await this.#keyFiles.write(full.segment.firstIndex, full.keys);
  }

  #nextGroup(): WaitingFrame[] {
    const room = Math.min(MAX_GROUP_BYTES, this.#segmentBytes - this.#active.segment.size);
    let bytes = this.#waiting[0]!.length;
    let frames = 1;
    while (frames < this.#waiting.length && bytes + this.#waiting[frames]!.length <= room)
      bytes += this.#waiting[frames++]!.length;
    return this.#waiting.slice(0, frames);
  }

  #write(group: readonly WaitingFrame[]): Promise<void> {
    const { fd, segment } = this.#active;
    return writeAll(this.#files, fd, this.#pieces(group), segment.size);
  }

  #pieces(group: readonly WaitingFrame[]): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (const { head, placed } of group) {
      sealFrame(head, placed, this.#active.mark, this.#active.segment.size);
      pieces.push(head);
      for (const section of placed.sections) pieces.push(section.bytes);
    }
    return pieces;
  }

  #commit(group: readonly WaitingFrame[]): void {
    this.#waiting.splice(0, group.length);
    const { segment, keys } = this.#active;
    if (this.#storageFull) {
      this.#options.logger.info({ path: segment.path }, "the disk has room for the journal again");
    }
    this.#storageFull = false;
    for (const { placed, meta, length, resolve } of group) {
      segment.size += length;
      segment.endIndex += placed.count;
      this.#diskBytes += length;
      this.#waitingBytes -= length;
      keys.add(meta);
      resolve(); // whoever awaits it goes on after the loop below
    }
    for (const { placed, meta } of group) this.#options.onDurable?.(placed, meta);
  }

  /** No room on the disk: takes the file back to its durable end and refuses all that waits, so that the indexes have no gap. */
  async #refuseWaiting(cause: unknown): Promise<void> {
    const { fd, segment } = this.#active;
    await this.#files.truncate(fd, segment.size);
    await this.#files.datasync(fd);
    const refused = this.#waiting.splice(0);
    this.#waitingBytes = 0;
    this.#nextIndex = segment.endIndex;
    const { path } = segment;
    if (!this.#storageFull) {
      this.#options.logger.error(
        { path, err: cause },
        "the disk has no room for the journal; batches are refused",
      );
    }
    this.#storageFull = true;
    const error = new MeshproofError("STORAGE_FULL", `${path}: ${(cause as Error).message}`, {
      cause,
      retryAfterSeconds: FULL_RETRY_AFTER_SECONDS,
    });
    for (const { reject } of refused) reject(error);
  }

  #fail(cause: unknown): MeshproofError {
    if (this.#failure !== null) return this.#failure;
    const { path } = this.#active.segment;
    this.#failure =
      cause instanceof MeshproofError && cause.code === "JOURNAL_FAILED"
        ? cause
        : new MeshproofError("JOURNAL_FAILED", `${path}: ${(cause as Error).message}`, { cause });
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
    this.#options.onFatal(this.#failure);
    return this.#failure;
  }
}

function segmentVersion({ withOriginals = false }: JournalOptions): number {
  return withOriginals ? SEGMENT_VERSION.withOriginals : SEGMENT_VERSION.plain;
}
