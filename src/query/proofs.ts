import { MeshproofError } from "../core/errors.ts";
import type { Kind } from "../core/kinds.ts";
import { sha256Into } from "../core/sha256.ts";
import { TABLE_OF_KIND } from "../records/columns.ts";
import { parseCheckpoint } from "../tlog/checkpoint.ts";
import { decodeEntry, encodeEntry } from "../tlog/entry.ts";
import { HASH_LENGTH, leafHash } from "../tlog/merkle.ts";
import { parseNote } from "../tlog/note.ts";
import { formatProof, type LogProof } from "../tlog/proof.ts";
import type { ProofBundle } from "../tlog/proof-bundle.ts";
import { checkInclusion } from "../tlog/prove.ts";
import { decodeBundle, TILE_WIDTH, type TilePath, tileWidth } from "../tlog/tiles.ts";
import type { FoundRecord } from "./record-reader.ts";

/** The log of this server, as far as it makes proofs. */
export interface ProvableLog {
  /** First 16 hex digits of the SHA-256 of row 0. */
  readonly id: string;
  readonly origin: string;
  sizes(): LogSizes;
  /** The inclusion proof of a record under the published checkpoint. */
  prove(index: number): Promise<LogProof>;
  /** What leads from these records, ascending, to the published checkpoint. */
  proveMany(indexes: readonly number[]): Promise<Pick<ProofBundle, "hashes" | "checkpoint">>;
  /** A tile or entry bundle, null when there is none. */
  read(path: TilePath): Promise<Uint8Array | null>;
}

export interface LogSizes {
  /** Records that have a leaf index. */
  readonly recorded: number;
  /** Below this all are in the store. */
  readonly stored: number;
  /** Below this all are under the published checkpoint. */
  readonly published: number;
}

/**
 * Which kind of record was sealed at `index`; undefined while that is not published, or cannot be read. Good for a guess where to look: nothing is verified.
 * Cost: reads one entry bundle.
 */
export async function sealedKind(log: ProvableLog, index: number): Promise<Kind | undefined> {
  const { published } = log.sizes();
  if (index >= published) return undefined;
  const bundle = Math.floor(index / TILE_WIDTH);
  const width = tileWidth(published, 0, bundle);
  try {
    const bytes = await log.read({ level: "entries", index: bundle, width });
    if (bytes === null) return undefined;
    const { kind } = decodeEntry(decodeBundle(bytes, width)[index % TILE_WIDTH]!);
    return TABLE_OF_KIND.has(kind as Kind) ? (kind as Kind) : undefined;
  } catch {
    return undefined; // a damaged log is no reason not to show what the store has
  }
}

/**
 * The proof of a record as text: tlog-proof@v1, whose `extra` is the row. It was checked: the row hashes to a leaf that leads to the root of the
 * published checkpoint, which the sealer has signed and verified.
 * Cost:   reads at most two tiles for each eight levels of the tree.
 * Throws: ROW_TAMPERED when the row is not the one that was sealed; what `prove` throws.
 * Source: C2SP tlog-proof.
 */
export async function makeProof(log: ProvableLog, found: FoundRecord): Promise<string> {
  const { row, kind } = found;
  const proof = await log.prove(Number(found.leafIndex));
  const rowHash = Buffer.alloc(HASH_LENGTH);
  sha256Into(row, rowHash, 0);
  const { size, root } = parseCheckpoint(parseNote(proof.checkpoint).text);
  try {
    checkInclusion(proof.hashes, proof.index, size, leafHash(encodeEntry(kind, rowHash)), root);
  } catch (cause) {
    if (!(cause instanceof MeshproofError) || cause.code !== "PROOF_INVALID") throw cause;
    throw new MeshproofError(
      "ROW_TAMPERED",
      `record ${found.leafIndex}: expected the row that was sealed, found another: it was changed in the store after it was sealed; meshproof verify names all such rows`,
      { cause },
    );
  }
  return formatProof({ ...proof, extra: row });
}
