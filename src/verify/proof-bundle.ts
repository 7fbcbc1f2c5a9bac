import { MeshproofError } from "../core/errors.ts";
import { parseCheckpoint } from "../tlog/checkpoint-body.ts";
import { parseNote } from "../tlog/note.ts";
import { formatProof } from "../tlog/proof.ts";
import { parseProofBundle, type ProofBundle, proofOf } from "../tlog/proof-bundle.ts";
import { checkMany } from "../tlog/prove-many.ts";
import { type CheckedCheckpoint, checkedCheckpoint, leafOf } from "./proof.ts";
import { openSigned, type TrustOptions } from "./signed.ts";

/** Rows that their log's signature covers. */
export interface CheckedBundle extends CheckedCheckpoint {
  /** The sealed rows, ascending by index. `decodeSealed` reads one. */
  readonly rows: readonly { readonly leafIndex: number; readonly row: Uint8Array }[];
}

/**
 * The rows of a proof bundle, when a log that is trusted has sealed every one of them, and the policy's quorum saw it. No file, clock or
 * network is used, and no row is decoded: rows are hashed into leaves, the leaves led to the signed root, all or none.
 * Cost:   three hashes a record.
 * Throws: as `checkRecordProof`, ROW_INVALID excepted.
 */
export function checkProofBundle(
  file: Uint8Array | ProofBundle,
  trust: TrustOptions,
): CheckedBundle {
  const bundle = "records" in file ? file : parseProofBundle(file);
  const { records, hashes, checkpoint: note } = bundle;
  const signed = openSigned(note, trust);
  const { size, root } = signed.checkpoint;
  const indexes = records.map(({ index }) => index);
  const leaves = records.map(({ extra }) => leafOf(extra));
  try {
    checkMany(hashes, indexes, size, leaves, root);
  } catch (error) {
    if (!(error instanceof MeshproofError) || error.code !== "PROOF_INVALID") throw error;
    throw new MeshproofError(
      "PROOF_INVALID",
      `these rows are not the records ${indexes[0]} to ${indexes.at(-1)} of the ${size} that were signed: a row, an index or a hash was changed (${error.message})`,
      { cause: error },
    );
  }
  const rows = records.map(({ index, extra }) => ({ leafIndex: index, row: extra }));
  return { ...checkedCheckpoint(signed), rows };
}

/**
 * The tlog-proof of one record of a bundle, for programs that know nothing of bundles. Nothing is verified.
 * Throws: PROOF_INVALID when the bytes are no bundle; NOTE_INVALID when there is no checkpoint in it; PROOF_RANGE when the record is not.
 */
export function extractProof(bytes: Uint8Array, index: number): string {
  const bundle = parseProofBundle(bytes);
  const { size } = parseCheckpoint(parseNote(bundle.checkpoint).text);
  return formatProof(proofOf(bundle, index, size, leafOf));
}
