import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { type Checkpoint, openCheckpoint } from "../tlog/checkpoint.ts";
import type { VerifierKey } from "../tlog/note.ts";
import type { HashReader } from "../tlog/merkle.ts";
import { formatProof } from "../tlog/proof.ts";
import type { BundledRecord, ProofBundle } from "../tlog/proof-bundle.ts";
import { checkMany, proveMany } from "../tlog/prove-many.ts";
import { proveInclusion } from "../tlog/prove.ts";
import { formatTilePath, tileHashReader } from "../tlog/tiles.ts";
import type { LogReader } from "./log-reader.ts";
import { checkRecordProof, leafOf } from "./proof.ts";
import type { FaultKind } from "./report.ts";

export interface ProverOptions {
  readonly log: LogReader;
  readonly origin: string;
  readonly keys: readonly VerifierKey[];
}

/** A proof that holds, or why there is none. */
export type Proved =
  | { readonly proof: string }
  | { readonly fault: FaultKind; readonly detail: string };

/** Why a record cannot be proved. */
export interface RecordFault {
  readonly index: number;
  readonly fault: FaultKind;
  readonly detail: string;
}

/** A bundle that holds, without those records that cannot be proved. */
export interface ProvedMany {
  readonly bundle: ProofBundle | null;
  readonly faults: readonly RecordFault[];
}

const ROW_CHANGED = {
  fault: "row_changed",
  detail: "the row does not hash to what was sealed at this index",
} as const;
/** Leaves that are read at a time: bounds the tiles in memory, and the files that are open. */
const LEAVES_PER_READ = 128;

/** Makes proofs under one checkpoint of a log, and checks each before it is given away. */
export class Prover {
  readonly #options: ProverOptions;
  readonly #note: string;
  /** Records that the checkpoint covers. */
  readonly size: number;

  readonly #root: Uint8Array;

  private constructor(options: ProverOptions, note: string, { size, root }: Checkpoint) {
    this.#options = options;
    this.#note = note;
    this.#root = root;
    this.size = size;
  }

  /**
   * A prover under the newest checkpoint of the log.
   * Throws: LOG_INCONSISTENT when there is none, NOTE_INVALID when it is not the log's.
   */
  static async open(options: ProverOptions): Promise<Prover> {
    const note = await options.log.checkpoint();
    if (note === null)
      throw new MeshproofError(
        "LOG_INCONSISTENT",
        `expected a signed checkpoint of ${options.origin}, found none: nothing was sealed yet`,
      );
    return new Prover(options, note, openCheckpoint(note, options.origin, options.keys));
  }

  /**
   * The proof, tlog-proof@v1 with the row in `extra`, that this row is record `index` of the log.
   * Cost:   reads at most two tiles for each eight levels of the tree, so six below 16 million records.
   * Throws: PROOF_RANGE when the checkpoint does not cover the index; ROW_INVALID when the row was sealed, but cannot be read.
   */
  async prove(index: number, row: Uint8Array): Promise<Proved> {
    this.#checkCovered(index);
    const { reader, missing } = this.#tiles();
    try {
      const [leaf] = await reader.readHashes([{ level: 0, index }]);
      if (!equalBytes(leaf!, leafOf(row))) return ROW_CHANGED;
      const hashes = await proveInclusion(index, this.size, reader);
      const proof = formatProof({ index, hashes, checkpoint: this.#note, extra: row });
      checkRecordProof(proof, this.#options);
      return { proof };
    } catch (error) {
      if (!(error instanceof MeshproofError) || error.code !== "PROOF_INVALID") throw error;
      // The checkpoint was verified when it was opened, and the row is the leaf's: what is wrong is a tile.
      return missing() === undefined
        ? { fault: "tile_changed", detail: error.message }
        : { fault: "tile_missing", detail: `${missing()} is missing` };
    }
  }

  /**
   * The bundle that proves these records, ascending by index, and why some of them are not in it; null when none is left. Several rows may
   * claim to be one record: those that are not are faults.
   * It was checked: as `checkProofBundle` would, but for the signature, which was verified when the prover was opened.
   * Cost:   the tiles of the records, each read once for about a hundred hashes; where a tile is wrong, six more for each record, to tell whose proofs it breaks.
   * Throws: PROOF_RANGE when the checkpoint does not cover one.
   */
  async proveMany(records: readonly BundledRecord[]): Promise<ProvedMany> {
    const faults: RecordFault[] = [];
    let sound: BundledRecord[] = [];
    for (let at = 0; at < records.length; at += LEAVES_PER_READ)
      sound.push(...(await this.#unchanged(records.slice(at, at + LEAVES_PER_READ), faults)));
    sound = withoutDoubles(sound);
    if (sound.length === 0) return { bundle: null, faults };
    let hashes = await this.#hashesOf(sound);
    if (hashes === null) {
      // One wrong tile breaks the bundle, but not the proof of each record.
      const provable: BundledRecord[] = [];
      for (const record of sound) {
        const proved = await this.prove(record.index, record.extra);
        if ("fault" in proved) faults.push({ index: record.index, ...proved });
        else provable.push(record);
      }
      sound = withoutDoubles(provable);
      hashes = sound.length === 0 ? null : await this.#hashesOf(sound);
    }
    if (hashes === null) return { bundle: null, faults };
    return { bundle: { records: sound, hashes, checkpoint: this.#note }, faults };
  }

  /** Those of the records whose rows hash to what was sealed; for the others, a fault. */
  async #unchanged(
    records: readonly BundledRecord[],
    faults: RecordFault[],
  ): Promise<BundledRecord[]> {
    for (const { index } of records) this.#checkCovered(index);
    try {
      const leaves = await this.#tiles().reader.readHashes(
        records.map(({ index }) => ({ level: 0, index })),
      );
      return records.filter(({ index, extra }, i) => {
        if (equalBytes(leaves[i]!, leafOf(extra))) return true;
        faults.push({ index, ...ROW_CHANGED });
        return false;
      });
    } catch (error) {
      if (!(error instanceof MeshproofError) || error.code !== "PROOF_INVALID") throw error;
      return [...records]; // a tile is missing or short: `prove` tells for each record
    }
  }

  /** What leads from these records to the signed root; null when a tile is not what it was. */
  async #hashesOf(records: readonly BundledRecord[]): Promise<Uint8Array[] | null> {
    const indexes = records.map(({ index }) => index);
    const leaves = records.map(({ extra }) => leafOf(extra));
    try {
      const hashes = await proveMany(indexes, this.size, this.#tiles().reader);
      checkMany(hashes, indexes, this.size, leaves, this.#root);
      return hashes;
    } catch (error) {
      if (!(error instanceof MeshproofError) || error.code !== "PROOF_INVALID") throw error;
      return null;
    }
  }

  #checkCovered(index: number): void {
    if (index < this.size) return;
    throw new MeshproofError(
      "PROOF_RANGE",
      `record ${index} is not sealed: the newest checkpoint covers ${this.size} records`,
    );
  }

  /** The log's hashes, and the path of the tile that was last found to be missing. */
  #tiles(): { readonly reader: HashReader; missing(): string | undefined } {
    const { log } = this.#options;
    let missing: string | undefined;
    const reader = tileHashReader(this.size, async (tile) => {
      const bytes = await log.tile(tile);
      if (bytes === null) missing = formatTilePath(tile);
      return bytes ?? new Uint8Array(0);
    });
    return { reader, missing: () => missing };
  }
}

/** One record for each index. All that are left under one index hash to one leaf, so they are equal. */
function withoutDoubles(records: readonly BundledRecord[]): BundledRecord[] {
  return records.filter(({ index }, i) => index !== records[i - 1]?.index);
}
