import clockJump from "./clock-jump.ts";
import correlationOverflow from "./correlation-overflow.ts";
import type { FindingDefinition } from "./define.ts";
import expiryRefused from "./expiry-refused.ts";
import identityConflict from "./identity-conflict.ts";
import integrityBroken from "./integrity-broken.ts";
import notForwarded from "./not-forwarded.ts";
import quarantined from "./quarantined.ts";
import refusedBatch from "./refused-batch.ts";
import rejectedRecord from "./rejected-record.ts";
import spanWithoutAccess from "./span-without-access.ts";
import truncated from "./truncated.ts";
import unwitnessed from "./unwitnessed.ts";
import witnessConflict from "./witness-conflict.ts";

/** All kinds of findings, by the name that stands in the column FindingKind. */
export const FINDINGS = {
  clock_jump: clockJump,
  correlation_overflow: correlationOverflow,
  expiry_refused: expiryRefused,
  identity_conflict: identityConflict,
  integrity_broken: integrityBroken,
  not_forwarded: notForwarded,
  quarantined,
  refused_batch: refusedBatch,
  rejected_record: rejectedRecord,
  span_without_access: spanWithoutAccess,
  truncated,
  unwitnessed,
  witness_conflict: witnessConflict,
} as const satisfies Readonly<Record<string, FindingDefinition>>;

export type FindingKind = keyof typeof FINDINGS;
