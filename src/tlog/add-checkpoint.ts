import { MeshproofError } from "../core/errors.ts";
import { type VerifiedSignature, type VerifierKey, parseNote, verifyNote } from "./note.ts";
import { encodeBase64, parseDecimal } from "./spelling.ts";

/** What a log and a witness send each other: C2SP tlog-witness v1.0.0, "add-checkpoint". */

/** Media type of a 409 answer. */
export const TREE_SIZE_TYPE = "text/x.tlog.size";

/**
 * The body of a request to cosign `note`, for a witness whose newest tree of this log has `oldSize` leaves.
 * `proof` leads from there to the checkpoint; from size 0 it is empty. No proof of a tree below 2^53 leaves has more than the 63 hashes allowed.
 */
export function formatAddCheckpoint(
  oldSize: number,
  proof: readonly Uint8Array[],
  note: string,
): string {
  const hashes = proof.map((hash) => `${encodeBase64(hash)}\n`).join("");
  return `old ${oldSize}\n${hashes}\n${note}`;
}

/** The tree size in the body of a 409 answer, or null when it holds no such thing to the letter. */
export function parseTreeSize(body: Uint8Array): number | null {
  const text = Buffer.from(body).toString("latin1");
  return text.endsWith("\n") ? parseDecimal(text.slice(0, -1)) : null;
}

/**
 * The cosignature by `key` among the signature lines that answer a request to cosign `note`. Lines of other keys are passed over.
 * Throws: NOTE_INVALID when the body is anything but signature lines, or holds none by the key that verifies.
 */
export function openCosignature(
  note: string,
  body: Uint8Array,
  key: VerifierKey,
): VerifiedSignature & { readonly timestamp: bigint } {
  const { text } = parseNote(note);
  const answered = parseNote(Buffer.concat([Buffer.from(`${text}\n`), body]));
  // Blank lines in the body would move the end of the text.
  if (answered.text !== text)
    throw new MeshproofError("NOTE_INVALID", "cosignature: expected signature lines alone");
  const [signature] = verifyNote(answered, [key]);
  const timestamp = signature?.timestamp ?? 0n;
  if (timestamp === 0n)
    throw new MeshproofError("NOTE_INVALID", "cosignature: expected a timestamp, got none");
  return { ...signature!, timestamp };
}
