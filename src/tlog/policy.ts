import { invalidCheckpoint, parseCheckpoint } from "./checkpoint-body.ts";
import { type Checkpoint, type LogVerifierKey, keysAt, signedByLog } from "./checkpoint.ts";
import { type VerifierKey, isMadeBy, parseNote, verifyNote } from "./note.ts";
import type { SignatureCheck } from "./signature-check.ts";

/** Whom a verifier trusts: the logs, the witnesses, and which of these have to have seen a checkpoint (C2SP tlog-policy). */
export interface Policy {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  /** What has to have witnessed a checkpoint; null when nothing has to ("quorum none"). */
  readonly quorum: PolicyRule | null;
}

export interface PolicyLog {
  readonly key: VerifierKey;
  /** As the policy has it: its meaning is the application's. */
  readonly url: string | null;
}

export interface PolicyWitness {
  /** Its name within the policy. The cosigner's own name is that of its key. */
  readonly name: string;
  readonly key: VerifierKey;
  /** Where it takes checkpoints: the submission prefix of C2SP tlog-witness. */
  readonly url: string | null;
}

/** A group has witnessed what at least `threshold` of its members have. */
export interface PolicyGroup {
  readonly name: string;
  readonly threshold: number;
  readonly members: readonly PolicyRule[];
}

export type PolicyRule = PolicyWitness | PolicyGroup;

/** A cosignature that was verified. */
export interface Cosignature {
  readonly witness: PolicyWitness;
  /** Seconds since the epoch: when the witness says that it saw this as the largest tree; zero when it does not say. */
  readonly timestamp: bigint;
}

/** A checkpoint that its log signed, with those of the policy's witnesses that cosigned it. */
export interface WitnessedCheckpoint extends Checkpoint {
  readonly cosignatures: readonly Cosignature[];
}

/** Is the rule met when exactly the witnesses in `cosigned` have witnessed? Cost: one visit of each witness and group. */
export function isMet(rule: PolicyRule | null, cosigned: ReadonlySet<PolicyWitness>): boolean {
  if (rule === null) return true;
  if (!("members" in rule)) return cosigned.has(rule);
  return rule.members.filter((member) => isMet(member, cosigned)).length >= rule.threshold;
}

/**
 * The checkpoint in a signed note, when one of the policy's logs signed it under its origin and the quorum cosigned it.
 * `logKeys` stand in for the logs of a policy that names none ("known from other context").
 * Throws: NOTE_INVALID when the note or the checkpoint does not parse, a signature by one of these keys does not verify, or log or quorum are missing.
 */
export function openWitnessed(
  note: string | Uint8Array,
  policy: Policy,
  logKeys: readonly LogVerifierKey[] = policy.logs.map(({ key }) => key),
  isValid?: SignatureCheck,
): WitnessedCheckpoint {
  const parsed = parseNote(note);
  const checkpoint = parseCheckpoint(parsed.text);
  const named = logKeys.filter(({ name }) => name === checkpoint.origin);
  if (named.length === 0) {
    const known = [...new Set(logKeys.map(({ name }) => name))].join(" or ");
    throw invalidCheckpoint(`the origin ${known || "of a known log"}`, checkpoint.origin);
  }
  const logs = keysAt(named, checkpoint.size);
  const witnessKeys = policy.witnesses.map(({ key }) => key);
  const signatures = verifyNote(parsed, [...logs, ...witnessKeys], isValid);
  const signed = signedByLog(
    checkpoint,
    signatures.filter(({ key }) => logs.includes(key)),
  );
  const cosignatures = policy.witnesses.flatMap((witness) => {
    const made = signatures.find((signature) => isMadeBy(signature, witness.key));
    return made === undefined ? [] : [{ witness, timestamp: made.timestamp ?? 0n }];
  });
  const cosigned = new Set(cosignatures.map(({ witness }) => witness));
  if (!isMet(policy.quorum, cosigned)) {
    const names = [...cosigned].map(({ name }) => name).join(", ");
    throw invalidCheckpoint(
      `cosignatures by the quorum ${policy.quorum!.name}`,
      names === "" ? "none of a witness of the policy" : `those of ${names}`,
    );
  }
  return { ...signed, cosignatures };
}
