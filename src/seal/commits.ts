import { inStep } from "../core/durable-steps.ts";
import type { FilesProgress } from "./log-files.ts";
import {
  type KeyChange,
  type KeyPeriod,
  extendPeriods,
  keyChange,
  verifierKeysOf,
} from "./key-periods.ts";
import type { FoundLog, SignedCheckpoint } from "./recovery.ts";
import type { LogStore } from "./tile-store.ts";
import type { LogVerifierKey } from "../tlog/checkpoint.ts";

/** What this log has signed, as the commit record in state/ holds it, and whose keys signed which part. */
export class Commits {
  readonly #store: LogStore;
  readonly #signers: readonly string[];
  /** Leaf indexes of the records that name new keys. */
  readonly #keyRecords = new Map<string, number>();
  /** What other keys sign than before, until the next checkpoint. */
  readonly keyChange: KeyChange;
  #signed: SignedCheckpoint | null;
  #previousSize: number;
  #sizes: readonly number[];
  #keys: readonly KeyPeriod[];

  /** Throws: KEY_INVALID when one of the signers was replaced before. */
  constructor(store: LogStore, found: FoundLog, signers: readonly string[]) {
    this.#store = store;
    this.#signers = signers;
    this.#signed = found.signed;
    this.#previousSize = this.signedSize;
    this.#sizes = found.checkpointSizes;
    this.#keys = found.keys;
    this.keyChange = keyChange(found.keys, signers);
  }

  /** The newest signed checkpoint, null before the first. */
  get signed(): SignedCheckpoint | null {
    return this.#signed;
  }

  get signedSize(): number {
    return this.#signed?.size ?? 0;
  }

  /** Size of the checkpoint before the newest: its readers may still be fetching partial tiles. */
  get previousSize(): number {
    return this.#previousSize;
  }

  /** Sizes above what is durable that a checkpoint was signed for, ascending. */
  get sizes(): readonly number[] {
    return this.#sizes;
  }

  get keys(): readonly KeyPeriod[] {
    return this.#keys;
  }

  /** Keys that this log has signed with, as those who verify know them. */
  get verifierKeys(): readonly LogVerifierKey[] {
    return verifierKeysOf(this.#keys);
  }

  /** The record at `leafIndex`, not signed yet, names this key as a successor. */
  announced(verifierKey: string, leafIndex: number): void {
    this.#keyRecords.set(verifierKey, leafIndex);
  }

  /** Commits a checkpoint that all signers have signed: from here on no other tree of its size is ever signed. */
  async commit(checkpoint: SignedCheckpoint, progress: FilesProgress): Promise<void> {
    const previousSize = this.signedSize;
    const { size } = checkpoint;
    const sizes = { size, previousSize };
    const keys = extendPeriods(this.#keys, this.#signers, sizes, this.#keyRecords);
    await inStep("commit", () => this.#write(checkpoint, progress, keys));
    this.#previousSize = previousSize;
  }

  /** Writes the record again with how far the files are durable by now. */
  async recordProgress(progress: FilesProgress): Promise<void> {
    await inStep("record_durable", () => this.#write(this.#signed!, progress, this.#keys));
  }

  async #write(
    checkpoint: SignedCheckpoint,
    progress: FilesProgress,
    keys: readonly KeyPeriod[],
  ): Promise<void> {
    const sizes = this.#sizes.filter(
      (size) => size > progress.durableThrough && size < checkpoint.size,
    );
    if (checkpoint.size > progress.durableThrough) sizes.push(checkpoint.size);
    await this.#store.writeState({
      checkpoint: checkpoint.note,
      checkpointSizes: sizes,
      ...progress,
      keys,
    });
    this.#signed = checkpoint;
    this.#sizes = sizes;
    this.#keys = keys;
  }
}
