import {
  type Checkpoint,
  keysAt,
  type LogVerifierKey,
  openCheckpoint,
} from "../tlog/checkpoint.ts";
import { invalidCheckpoint, parseCheckpoint } from "../tlog/checkpoint-body.ts";
import { parseNote, type VerifierKey, verifyNote } from "../tlog/note.ts";
import { type Cosignature, openWitnessed, type Policy } from "../tlog/policy.ts";
import type { SignatureCheck } from "../tlog/signature-check.ts";

/** Whom to trust. */
export interface TrustOptions {
  /** Keys of logs whose word counts. Not asked where the policy names logs. */
  readonly keys?: readonly LogVerifierKey[];
  /** The log that it has to be; without it, any log whose key is known. */
  readonly origin?: string;
  /** Which witnesses have to have cosigned; without it, none has to. */
  readonly policy?: Policy;
  /** Decides on signatures; without it, Node does. */
  readonly isValid?: SignatureCheck;
}

/** A signature on the checkpoint that one of the given keys vouches for. */
export interface CheckedSignature {
  readonly key: VerifierKey;
  /** Seconds since the epoch, where the signature has them: when a witness says that it saw the checkpoint. */
  readonly timestamp: bigint | null;
}

/** A checkpoint that its log signed, and whoever else had to. */
export interface SignedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** The log's signatures, and those of witnesses whose keys are known. */
  readonly signatures: readonly CheckedSignature[];
  /** The policy's witnesses that cosigned; null without a policy. The quorum is among them. */
  readonly cosignatures: readonly Cosignature[] | null;
}

/** The keys of logs that count. */
export function logKeysOf({ keys = [], policy }: TrustOptions): readonly LogVerifierKey[] {
  if (policy === undefined || policy.logs.length === 0) return keys;
  return policy.logs.map(({ key }) => key);
}

/** All keys that a signature may count for. */
export function allKeysOf(trust: TrustOptions): readonly LogVerifierKey[] {
  return [...logKeysOf(trust), ...(trust.policy?.witnesses ?? []).map(({ key }) => key)];
}

/**
 * The checkpoint of a proof, when those signed it who had to.
 * Throws: NOTE_INVALID when it is no checkpoint, of another log, not signed by a known key of its log, not cosigned by the quorum, or a
 * signature of a known key does not hold; KEY_INVALID when a known key's signature cannot be verified here.
 */
export function openSigned(note: string, trust: TrustOptions): SignedCheckpoint {
  const { origin, policy, isValid } = trust;
  const parsed = parseNote(note);
  // Which key has to have signed follows from the origin; whatever else the note says is looked at after its signature.
  const claimed = parseCheckpoint(parsed.text).origin;
  if (origin !== undefined && claimed !== origin)
    throw invalidCheckpoint(`the origin ${origin}`, claimed);
  const logKeys = logKeysOf(trust);
  const opened =
    policy === undefined
      ? { ...openCheckpoint(note, claimed, logKeys, isValid), cosignatures: null }
      : openWitnessed(note, policy, logKeys, isValid);
  const { cosignatures, ...checkpoint } = opened;
  const signatures = verifyNote(parsed, keysAt(allKeysOf(trust), checkpoint.size), isValid);
  return {
    checkpoint,
    signatures: signatures.map(({ key, timestamp }) => ({ key, timestamp })),
    cosignatures,
  };
}
