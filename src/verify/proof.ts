import { decodeTextStrictly } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { type Kind, type KindName, LEAF_VERSION } from "../core/kinds.ts";
import { sha256 } from "../core/sha256.ts";
import { TABLES } from "../records/columns.ts";
import { type RecordJson, rowToJson } from "../records/row-json.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { encodeEntry } from "../tlog/entry.ts";
import { leafHash } from "../tlog/merkle.ts";
import type { Cosignature } from "../tlog/policy.ts";
import { type LogProof, parseProof } from "../tlog/proof.ts";
import { checkInclusion } from "../tlog/prove.ts";
import {
  type CheckedSignature,
  openSigned,
  type SignedCheckpoint,
  type TrustOptions,
} from "./signed.ts";

/** LeafVersion, Kind and Salt: what every row begins with. */
const MIN_ROW_BYTES = 1 + 1 + 16;
/** Where a row's kind stands. */
export const KIND_OFFSET = 1;

/** What is said of all that one checkpoint proves. */
export interface CheckedCheckpoint {
  /** The log that sealed it. */
  readonly origin: string;
  /** Records in the log when the checkpoint of the proof was signed. */
  readonly treeSize: number;
  /** The log's signatures, and those of witnesses whose keys were given. */
  readonly signatures: readonly CheckedSignature[];
  /** The policy's witnesses that cosigned, its quorum among them; null without a policy. */
  readonly cosignatures: readonly Cosignature[] | null;
}

/** A sealed row, read. */
export interface SealedRecord {
  readonly leafIndex: number;
  readonly kind: KindName;
  /** Table that holds records of this kind. */
  readonly table: string;
  /** The sealed bytes. */
  readonly row: Uint8Array;
  /** The row's columns, as the API gives them. */
  readonly record: RecordJson;
}

/** A record that its log's signature covers. */
export type CheckedRecord = CheckedCheckpoint & SealedRecord;

/**
 * The record that a proof file holds, when a log that is trusted has sealed it, and the policy's quorum saw it. No file, clock or network is used.
 *
 * The row stands in the proof's `extra`, which no signature covers by itself: it is hashed into the leaf, the leaf led to the signed
 * root, and only then is the row decoded. An error says nothing of it.
 * Throws: PROOF_INVALID when it is no proof, holds no row, or its row, index and hashes do not lead to the signed root; NOTE_INVALID when the
 * checkpoint is no checkpoint, of another log, or not signed by those who have to; PROOF_RANGE when the index lies beyond the checkpoint;
 * ROW_INVALID when the row was sealed, but cannot be read; KEY_INVALID when a given key cannot be used here.
 */
export function checkRecordProof(
  proofFile: string | Uint8Array,
  trust: TrustOptions,
): CheckedRecord {
  const proof = parseProof(typeof proofFile === "string" ? proofFile : proofText(proofFile));
  const { extra: row } = proof;
  if (row === null)
    throw new MeshproofError(
      "PROOF_INVALID",
      'tlog-proof: expected the record\'s row on a line "extra", got none',
    );
  const signed = openSigned(proof.checkpoint, trust);
  checkRowIncluded(row, proof, signed.checkpoint);
  return { ...checkedCheckpoint(signed), ...decodeSealed(proof.index, row) };
}

/** What is told of a signed checkpoint. */
export function checkedCheckpoint(signed: SignedCheckpoint): CheckedCheckpoint {
  const { checkpoint, signatures, cosignatures } = signed;
  return { origin: checkpoint.origin, treeSize: checkpoint.size, signatures, cosignatures };
}

function checkRowIncluded(row: Uint8Array, proof: LogProof, { size, root }: Checkpoint): void {
  try {
    checkInclusion(proof.hashes, proof.index, size, leafOf(row), root);
  } catch (error) {
    if (!(error instanceof MeshproofError) || error.code !== "PROOF_INVALID") throw error;
    throw new MeshproofError(
      "PROOF_INVALID",
      `this row is not record ${proof.index} of the ${size} that were signed: row, index or hashes were changed (${error.message})`,
      { cause: error },
    );
  }
}

/**
 * The columns of a row that was led to a signature.
 * Throws: ROW_INVALID when it cannot be read.
 */
export function decodeSealed(leafIndex: number, row: Uint8Array): SealedRecord {
  const [version, kind] = row;
  if (version !== LEAF_VERSION)
    throw new MeshproofError(
      "ROW_INVALID",
      `expected a row of version ${LEAF_VERSION}, got version ${version}: it was sealed, but a newer meshproof has to read it`,
    );
  const record = rowToJson(kind as Kind, row);
  const [name, table] = Object.entries(TABLES).find(([, declared]) => declared.kind === kind)!;
  return { leafIndex, kind: name as KindName, table: table.name, row, record };
}

/**
 * Leaf hash of the record whose row this is. The entry takes its kind from the row.
 * Throws: PROOF_INVALID when the bytes are too few for any row.
 */
export function leafOf(row: Uint8Array): Uint8Array {
  if (row.length < MIN_ROW_BYTES)
    throw new MeshproofError(
      "PROOF_INVALID",
      `expected a row of at least ${MIN_ROW_BYTES} bytes, got ${row.length}`,
    );
  return leafHash(encodeEntry(row[KIND_OFFSET] as Kind, sha256(row)));
}

/** The text of a proof file. Throws: PROOF_INVALID when it is not UTF-8. */
export function proofText(bytes: Uint8Array): string {
  const text = decodeTextStrictly(bytes);
  if (text === null) throw new MeshproofError("PROOF_INVALID", "tlog-proof: expected UTF-8");
  return text;
}
