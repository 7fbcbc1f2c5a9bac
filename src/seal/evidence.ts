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
interface SignedEvidence {
  readonly source: string;
  readonly checkpoint: SignedCheckpoint;
}

/** What evidence is compared with. */
export interface ComparedLog {
  readonly directory: string;
  readonly origin: string;
  /** Keys that sign or have signed it. */
  readonly keys: readonly LogVerifierKey[];
  readonly signedSize: number;
  /** Root of its first `size` records. */
  rootAt(size: number): Promise<Uint8Array>;
}

/** Holds evidence against a log, in two halves: sizes at once, trees when the log's own tree is whole. */
export class EvidenceCheck {
  readonly #log: ComparedLog;
  readonly #waiting: SignedEvidence[] = [];

  constructor(log: ComparedLog) {
    this.#log = log;
  }

  /**
   * Compares sizes, and keeps the evidence for `compareTrees`.
   * Returns: whether a key of the log signed it; when none did it says nothing about the log.
   * Throws: LOG_INCONSISTENT when it is newer than what the log has signed.
   */
  take(evidence: Evidence): boolean {
    const { origin, keys, directory, signedSize } = this.#log;
    const signed = openEvidence(evidence, origin, keys);
    if (signed === null) return false;
    refuseRollback(signed, directory, signedSize);
    this.#waiting.push(signed);
    return true;
  }

  /** Compares the trees of what was taken. Throws: LOG_INCONSISTENT when one is no beginning of the log. */
  async compareTrees(): Promise<void> {
    for (const evidence of this.#waiting.splice(0))
      refuseFork(evidence, this.#log.directory, await this.#log.rootAt(evidence.checkpoint.size));
  }
}

/** What `note` says, when one of `keys` signed it for `origin`; null when it proves nothing about this log. */
function openEvidence(
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
function refuseRollback(
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
function refuseFork(
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
