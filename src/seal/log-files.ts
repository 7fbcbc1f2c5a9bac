import { inStep } from "../core/durable-steps.ts";
import { tilesFilled } from "../tlog/tiles.ts";
import type { LogStore, TileBuffer, TileFiles } from "./tile-store.ts";

/** How far the files of a log are durable, and how far partial ones are deleted; both stand in the commit record. */
export interface FilesProgress {
  readonly durableThrough: number;
  readonly prunedThrough: number;
}

/**
 * Writes a log's tiles and bundles, makes them durable in the background, and deletes the partial ones that are
 * superseded. It keeps the three sizes that this takes, each at most the one before it:
 * synced (files are durable), recorded (the commit record says so), pruned (partial files below are gone).
 */
export class LogFiles {
  readonly #store: LogStore;
  /** Taken but not written yet: more than one only while the disk is full. */
  readonly #unwritten: TileFiles[] = [];
  #syncedThrough: number;
  #durableThrough: number;
  #prunedThrough: number;
  #syncing: Promise<void> | null = null;

  constructor(store: LogStore, progress: FilesProgress) {
    this.#store = store;
    this.#syncedThrough = this.#durableThrough = progress.durableThrough;
    this.#prunedThrough = progress.prunedThrough;
  }

  /** Durable, and on record as such: what a start relies on. */
  get durableThrough(): number {
    return this.#durableThrough;
  }

  /** What the next commit record may say. */
  get progress(): FilesProgress {
    return { durableThrough: this.#syncedThrough, prunedThrough: this.#prunedThrough };
  }

  /** Is something durable that the commit record does not say yet? */
  get isRecordBehind(): boolean {
    return this.#syncedThrough > this.#durableThrough;
  }

  /** The commit record holds `progress` now. */
  recorded(progress: FilesProgress): void {
    this.#durableThrough = progress.durableThrough;
  }

  /** Writes what `files` collected. When the disk is full it stays collected: writing a file twice is allowed. */
  async write(files: TileBuffer): Promise<void> {
    if (files.length > 0) this.#unwritten.push(files.take());
    while (this.#unwritten.length > 0) {
      await inStep("write_tiles", () => this.#store.write(this.#unwritten[0]!));
      files.recycle(this.#unwritten.shift()!);
    }
  }

  /** Begins to make the files of the tree of `size` durable; they are written. Does nothing while that is under way. */
  startSync(size: number, onError: (error: unknown) => void): void {
    if (this.#syncing !== null || size <= this.#syncedThrough) return;
    this.#syncing = inStep("sync_tiles", () => this.#store.sync())
      .then(() => {
        this.#syncedThrough = size;
      }, onError)
      .finally(() => {
        this.#syncing = null;
      });
  }

  /** Resolves when nothing is being synced. */
  async idle(): Promise<void> {
    await this.#syncing;
  }

  /**
   * Deletes the partial forms of what is full in the tree of `readSize`, as far as the full ones are durable and on record
   * as such: recovery begins at `durableThrough`, and needs the partial tiles of that very size.
   */
  async prune(readSize: number): Promise<void> {
    const through = Math.min(this.#durableThrough, readSize);
    if (through <= this.#prunedThrough) return;
    const paths = [...tilesFilled(this.#prunedThrough, through)];
    if (paths.length > 0) await inStep("prune_tiles", () => this.#store.removePartials(paths));
    this.#prunedThrough = through;
  }
}
