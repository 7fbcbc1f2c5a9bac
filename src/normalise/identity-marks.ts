import type { AccessDraft } from "../records/access-draft.ts";
import { REMARKS } from "../records/remarks.ts";
import type { Reading } from "./reading.ts";

/**
 * Who contradicts the columns: the policy engine's principal or a trusted hop's certificate names another peer, exchanged metadata another namespace
 * than the principal has, or the request principal another user than the claims. Bits of a set.
 */
export const CONFLICTS = {
  policy_engine: 1,
  forwarded_certificate: 2,
  source_namespace: 4,
  request_principal: 8,
} as const;

/** Columns with a SPIFFE ID that is read although it breaks a rule. Bits of a set. */
export const LENIENT = { PeerPrincipal: 1, LocalPrincipal: 2 } as const;

/** What was noticed about the identities of one record, and goes into LogAttributes. */
export class IdentityMarks {
  conflicts = 0;
  lenient = 0;
  readonly #conflictKey: number;
  readonly #lenientKey: number;
  /** Constants that name each set. */
  readonly #conflictTexts: Int32Array;
  readonly #lenientTexts: Int32Array;

  constructor(draft: AccessDraft) {
    this.#conflictKey = draft.constant(REMARKS.identityConflict);
    this.#lenientKey = draft.constant(REMARKS.lenientSpiffeId);
    this.#conflictTexts = nameSets(CONFLICTS, draft);
    this.#lenientTexts = nameSets(LENIENT, draft);
  }

  clear(): void {
    this.conflicts = this.lenient = 0;
  }

  /** A record that already says of itself what we would say (it was exported from here) keeps that, and counts again. */
  write(reading: Reading): void {
    const { draft } = reading;
    if (this.conflicts !== 0)
      draft.addRemark(this.#conflictKey, this.#conflictTexts[this.conflicts]!);
    if (this.lenient !== 0) draft.addRemark(this.#lenientKey, this.#lenientTexts[this.lenient]!);
    draft.mayHaveConflict = this.conflicts !== 0 || reading.plan.remarksConflict;
  }
}

/** The names of each set of bits, separated by commas. */
function nameSets(bits: Readonly<Record<string, number>>, draft: AccessDraft): Int32Array {
  const names = Object.entries(bits);
  return Int32Array.from({ length: 2 ** names.length }, (_, set) =>
    draft.constant(
      names
        .filter(([, bit]) => (set & bit) !== 0)
        .map(([name]) => name)
        .join(","),
    ),
  );
}
