import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { type LogVerifierKey, openCheckpoint } from "../tlog/checkpoint.ts";
import type { SignedCheckpoint } from "./recovery.ts";

/** A checkpoint that was kept outside of the log's own files. */
export interface Evidence {
  /** As it stands in messages: "the anchor /mnt/audit/checkpoint", "witness north". */
  readonly source: string;
  readonly note: string;
}

/** Evidence that a key of this log has signed, so it can be held against the log. */
export interface SignedEvidence {
  readonly source: string;
  readonly checkpoint: SignedCheckpoint;
}

/** What `note` says, when one of `keys` signed it for `origin`; null when it proves nothing about this log. */
export function openEvidence(
  { source, note }: Evidence,
  origin: string,
  keys: readonly LogVerifierKey[],
): SignedEvidence | null {
  try {
    const { size, root } = openCheckpoint(note, origin, keys);
    return { source, checkpoint: { size, root, note } };
  } catch (error) {
    if (error instanceof MeshproofError) return null;
    throw error;
  }
}

/** Throws: LOG_INCONSISTENT when the evidence is newer than all that was signed in `directory`. */
export function refuseRollback(
  { source, checkpoint: { size } }: SignedEvidence,
  directory: string,
  signedSize: number,
): void {
  if (size <= signedSize) return;
  throw new MeshproofError(
    "LOG_INCONSISTENT",
    `${source} has a checkpoint of ${size} records that this log's key signed, ${directory} knows of ${signedSize}: this directory is an older copy, or another one is in use. ` +
      "Restore the newest copy of the whole directory and start again; to go on from here would sign a second history",
  );
}

/** Throws: LOG_INCONSISTENT when `root`, that of the log's own tree at the size of the evidence, is another one. */
export function refuseFork(
  { source, checkpoint }: SignedEvidence,
  directory: string,
  root: Uint8Array,
): void {
  if (equalBytes(root, checkpoint.root)) return;
  throw new MeshproofError(
    "LOG_INCONSISTENT",
    `${source} has a checkpoint of ${checkpoint.size} records that this log's key signed, the first ${checkpoint.size} records in ${directory} are another tree: the log was forked or changed. ` +
      "Keep both as evidence, find out who else has the key, and go on from the copy that continues the checkpoint",
  );
}
