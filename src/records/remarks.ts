/** Keys of LogAttributes under which we say something of an access record that no column holds. */
export const REMARKS = {
  /** Sources that named another peer or user than the columns do: what they said stands in LogAttributes too. Each such record is part of a finding. */
  identityConflict: "meshproof.identity_conflict",
  /** Columns that hold a SPIFFE ID which breaks a rule of the standard, as it was received. */
  lenientSpiffeId: "meshproof.lenient_spiffe_id",
} as const;
