import { inStep } from "../core/durable-steps.ts";
import type { Logger } from "../core/logger.ts";
import { MeshproofError } from "../core/errors.ts";
import type { VerifierKey } from "../tlog/note.ts";
import type { LogProof } from "../tlog/proof.ts";
import { proveMany } from "../tlog/prove-many.ts";
import { proveConsistency, proveInclusion, treeRoot } from "../tlog/prove.ts";
import type { HashReader } from "../tlog/merkle.ts";
import { formatTilePath, tileHashReader } from "../tlog/tiles.ts";
import { AnchorFile } from "./anchor.ts";
import type { Evidence } from "./evidence.ts";
import type { SignedCheckpoint } from "./recovery.ts";
import type { LogStore } from "./tile-store.ts";
import { type WitnessStatus, Witnesses, type WitnessesOptions } from "./witness.ts";

export interface PublicationOptions {
  readonly origin: string;
  readonly store: LogStore;
  /** The checkpoint that everyone can read at the start. */
  readonly published: SignedCheckpoint | null;
  /** Keys that the log signs with. */
  readonly logKeys: readonly VerifierKey[];
  readonly witnesses?: Omit<WitnessesOptions, "origin" | "logKeys" | "logger"> | undefined;
  readonly anchor?: string | undefined;
  readonly logger: Logger;
  /** Runs `act` between the steps of the sealer, never beside one. */
  step(act: () => Promise<void>): Promise<void>;
  onPublished?(checkpoint: SignedCheckpoint): void;
}

/** What everyone can see of the log: which of the signed checkpoints are published, who cosigned them, and proofs under them. */
export class Publication {
  readonly #options: PublicationOptions;
  readonly #store: LogStore;
  readonly #anchor: AnchorFile | null;
  readonly #witnesses: Witnesses | null;
  #published: SignedCheckpoint | null;

  /** Throws: POLICY_INVALID for witnesses that cannot be asked. */
  constructor(options: PublicationOptions) {
    const { origin, logKeys, store, witnesses, anchor, logger, step } = options;
    this.#options = options;
    this.#store = store;
    this.#published = options.published;
    this.#anchor = anchor === undefined ? null : new AnchorFile(anchor, logger);
    this.#witnesses =
      witnesses === undefined
        ? null
        : new Witnesses(
            { ...witnesses, origin, logKeys, logger },
            {
              prove: (from, to) => proveConsistency(from, to, this.#hashes(to)),
              publish: (checkpoint) => step(() => this.#publish(checkpoint)),
            },
          );
  }

  /** The checkpoint that everyone can read, null before the first. */
  get published(): SignedCheckpoint | null {
    return this.#published;
  }

  /** Publishes a checkpoint that was committed; with witnesses, as soon as they have cosigned it. Called within a step. */
  async take(signed: SignedCheckpoint): Promise<void> {
    if (this.#witnesses !== null) this.#witnesses.offer(signed);
    else if ((this.#published?.size ?? 0) < signed.size) await this.#publish(signed);
  }

  /**
   * Proof that record `index` stands in the published checkpoint; `extra` is for the caller to fill in.
   * Throws: PROOF_RANGE when it is not in there (yet), LOG_INCONSISTENT when a tile is missing.
   */
  async prove(index: number): Promise<LogProof> {
    const published = this.#published;
    if (published === null)
      throw new MeshproofError("PROOF_RANGE", `record ${index}: no checkpoint is published yet`);
    const hashes = await proveInclusion(index, published.size, this.#hashes(published.size));
    return { index, hashes, checkpoint: published.note, extra: null };
  }

  /**
   * What leads from the records `indexes`, ascending, to the published checkpoint, and that checkpoint.
   * Throws: as `prove`.
   */
  async proveMany(
    indexes: readonly number[],
  ): Promise<{ readonly hashes: readonly Uint8Array[]; readonly checkpoint: string }> {
    const published = this.#published;
    if (published === null)
      throw new MeshproofError("PROOF_RANGE", "no checkpoint is published yet");
    const hashes = await proveMany(indexes, published.size, this.#hashes(published.size));
    return { hashes, checkpoint: published.note };
  }

  /** Root of the first `size` records, from the tiles of the larger tree of `within`. Throws: LOG_INCONSISTENT when a tile is missing. */
  rootAt(size: number, within: number): Promise<Uint8Array> {
    return treeRoot(size, this.#hashes(within));
  }

  /** What the anchor holds, null without one. Throws: CONFIG_INVALID when it cannot be read. */
  async readAnchor(): Promise<Evidence | null> {
    return (await this.#anchor?.read()) ?? null;
  }

  /** The largest checkpoint of this log that a witness shows, null when none does. Cost: one request to each. */
  async readWitnesses(): Promise<Evidence | null> {
    const seen = (await this.#witnesses?.newestSeen()) ?? null;
    return seen === null
      ? null
      : { source: `witness ${seen.witness.name}`, note: seen.checkpoint.note };
  }

  witnessStatus(): readonly WitnessStatus[] {
    return this.#witnesses?.status() ?? [];
  }

  /** Takes the newest checkpoint to the witnesses now. Those that did not answer the last time are not waited for. */
  async askWitnesses(): Promise<void> {
    if (this.#witnesses === null || !this.#witnesses.hasQuorum) return;
    // The first call may be answered by a round that began before the newest checkpoint was there.
    await this.#witnesses.askAll();
    await this.#witnesses.askAll();
  }

  /** Ends what is under way; the anchor has the last published checkpoint then. */
  async close(): Promise<void> {
    await this.#witnesses?.close();
    await this.#anchor?.close();
  }

  async #publish(checkpoint: SignedCheckpoint): Promise<void> {
    await inStep("publish", () => this.#store.publish(checkpoint.note));
    this.#published = checkpoint;
    this.#anchor?.write(checkpoint.note);
    this.#options.onPublished?.(checkpoint);
  }

  #hashes(size: number): HashReader {
    return tileHashReader(size, async (tile) => {
      const bytes = await this.#store.read(tile);
      if (bytes === null)
        throw new MeshproofError("LOG_INCONSISTENT", `log/${formatTilePath(tile)} is missing`);
      return bytes;
    });
  }
}
