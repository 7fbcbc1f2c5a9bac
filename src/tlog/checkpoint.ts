import { MeshproofError } from "../core/errors.ts";
import {
  type Checkpoint,
  formatCheckpoint,
  invalidCheckpoint,
  parseCheckpoint,
} from "./checkpoint-body.ts";
import { ED25519_COSIGNATURE_TYPE, ML_DSA_44_TYPE } from "./cosignature.ts";
import {
  type NoteSigner,
  type VerifiedSignature,
  type VerifierKey,
  parseNote,
  parseVerifierKey,
  signNote,
  verifyNote,
} from "./note.ts";

import type { SignatureCheck } from "./signature-check.ts";

export { type Checkpoint, formatCheckpoint, parseCheckpoint } from "./checkpoint-body.ts";

/** A signer with the public half of its key. */
export interface CheckpointSigner extends NoteSigner {
  readonly verifierKey: string;
}

/** A key of a log, as those who verify know it. */
export interface LogVerifierKey extends VerifierKey {
  /** Size of the largest tree that it may have signed, when it was replaced since; absent when any. */
  readonly through?: number;
}

/**
 * The checkpoint as a note with a signature by each of `signers`, in their order: one, two while the key is rotated, and an
 * ML-DSA-44 one where that is wanted. Whoever knows one of the keys passes over the signatures of the others.
 * Throws: KEY_INVALID when a signer's own verifier key does not accept what it signed, NOTE_INVALID when the origin cannot stand in a note.
 * Rejects: with what a signer rejects with.
 */
export async function signCheckpoint(
  checkpoint: Pick<Checkpoint, "origin" | "size" | "root">,
  signers: readonly CheckpointSigner[],
): Promise<string> {
  const note = await signNote(formatCheckpoint(checkpoint), signers);
  for (const { verifierKey } of signers) {
    try {
      openCheckpoint(note, checkpoint.origin, [parseVerifierKey(verifierKey)]);
    } catch (cause) {
      throw new MeshproofError(
        "KEY_INVALID",
        "the signer made a signature that its own verifier key does not accept",
        { cause },
      );
    }
  }
  return note;
}

/**
 * The checkpoint in a signed note, after its signatures.
 * Throws: NOTE_INVALID when the note or the checkpoint does not parse, names another origin than `origin`, or is not
 * signed by one of `keys` that bears the origin as its name ("The log's key name SHOULD match the origin line") and that
 * was not replaced before the tree had this size.
 */
export function openCheckpoint(
  note: string | Uint8Array,
  origin: string,
  keys: readonly LogVerifierKey[],
  isValid?: SignatureCheck,
): Checkpoint {
  const parsed = parseNote(note);
  const checkpoint = parseCheckpoint(parsed.text);
  if (checkpoint.origin !== origin)
    throw invalidCheckpoint(`the origin ${origin}`, checkpoint.origin);
  return signedByLog(checkpoint, verifyNote(parsed, keysAt(keys, checkpoint.size), isValid));
}

/** Those of `keys` that may have signed a tree of `size` leaves. */
export function keysAt(keys: readonly LogVerifierKey[], size: number): readonly LogVerifierKey[] {
  return keys.filter(({ through = Infinity }) => size <= through);
}

/**
 * The checkpoint, when its log is among those who signed it. Extension lines are left out when no signature of the log covers them.
 * Throws: NOTE_INVALID when it is not.
 */
export function signedByLog(
  checkpoint: Checkpoint,
  signatures: readonly VerifiedSignature[],
): Checkpoint {
  // A cosignature/v1 says what a witness saw; it is no signature of a log, whatever the name of its key.
  const byLog = signatures.filter(
    ({ key }) => key.name === checkpoint.origin && key.type !== ED25519_COSIGNATURE_TYPE,
  );
  if (byLog.length === 0)
    throw invalidCheckpoint(`a signature by ${checkpoint.origin}`, "signatures by others alone");
  // tlog-cosignature, "ML-DSA-44 signed message": no statement is made about extension lines.
  const isWhole = byLog.some(({ key }) => key.type !== ML_DSA_44_TYPE);
  return isWhole ? checkpoint : { ...checkpoint, extensions: [] };
}
