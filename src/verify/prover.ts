import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { openCheckpoint } from "../tlog/checkpoint.ts";
import type { VerifierKey } from "../tlog/note.ts";
import { formatProof } from "../tlog/proof.ts";
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

/** Makes proofs under one checkpoint of a log, and checks each before it is given away. */
export class Prover {
  readonly #options: ProverOptions;
  readonly #note: string;
  /** Records that the checkpoint covers. */
  readonly size: number;

  private constructor(options: ProverOptions, note: string, size: number) {
    this.#options = options;
    this.#note = note;
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
    return new Prover(options, note, openCheckpoint(note, options.origin, options.keys).size);
  }

  /**
   * The proof, tlog-proof@v1 with the row in `extra`, that this row is record `index` of the log.
   * Cost:   reads at most two tiles for each eight levels of the tree, so six below 16 million records.
   * Throws: PROOF_RANGE when the checkpoint does not cover the index; ROW_INVALID when the row was sealed, but cannot be read.
   */
  async prove(index: number, row: Uint8Array): Promise<Proved> {
    const { size } = this;
    if (index >= size)
      throw new MeshproofError(
        "PROOF_RANGE",
        `record ${index} is not sealed: the newest checkpoint covers ${size} records`,
      );
    const { log } = this.#options;
    let missing: string | undefined;
    const reader = tileHashReader(size, async (tile) => {
      const bytes = await log.tile(tile);
      if (bytes === null) missing = formatTilePath(tile);
      return bytes ?? new Uint8Array(0);
    });
    try {
      const [leaf] = await reader.readHashes([{ level: 0, index }]);
      if (!equalBytes(leaf!, leafOf(row)))
        return {
          fault: "row_changed",
          detail: "the row does not hash to what was sealed at this index",
        };
      const hashes = await proveInclusion(index, size, reader);
      const proof = formatProof({ index, hashes, checkpoint: this.#note, extra: row });
      checkRecordProof(proof, this.#options);
      return { proof };
    } catch (error) {
      if (!(error instanceof MeshproofError) || error.code !== "PROOF_INVALID") throw error;
      // The checkpoint was verified when it was opened, and the row is the leaf's: what is wrong is a tile.
      return missing === undefined
        ? { fault: "tile_changed", detail: error.message }
        : { fault: "tile_missing", detail: `${missing} is missing` };
    }
  }
}
