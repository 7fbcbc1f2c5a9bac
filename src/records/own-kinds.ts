/**
 * The kinds of control records, and what stands in their column Detail. What seals one names its kind from here; docs/design/format.md has this as a table.
 */

interface OwnKind {
  /** When it is sealed. */
  readonly comment: string;
  /** Keys of Detail with what they say. All values are text; numbers are decimal. */
  readonly detail: Readonly<Record<string, string>>;
}

const TOTALS = {
  records: "records in the journal, this one not counted",
  signed: "size of the newest signed tree",
  stored: "all records below this index are in the tables",
  uptime_ms: "milliseconds since the start",
  clock_ns: "wall clock, nanoseconds since the epoch",
} as const;

export const CONTROL_KINDS = {
  log_created: {
    comment: "Row 0 of every log",
    detail: { origin: "origin of the log", verifier_key: "its first verifier key" },
  },
  start: {
    comment: "The server starts",
    detail: {
      version: "version of meshproof",
      config_sha256: "hash of the configuration",
      node: "version of Node",
      origin: "origin of the log",
    },
  },
  stop: { comment: "The server ends as it should", detail: TOTALS },
  heartbeat: { comment: "A minute passed without a record", detail: TOTALS },
  deduplicated_batches: {
    comment: "Batches came again and were not sealed twice",
    detail: { count: "how many since the last such record" },
  },
  quarantined: {
    comment: "ClickHouse refused a row; it is kept in quarantine.jsonl",
    detail: {
      table: "table of the row",
      leaf_index: "its index",
      reason: "what ClickHouse said",
    },
  },
  records_read: {
    comment: "Somebody read records through the API",
    detail: {
      caller: "name of the token or certificate",
      auth: "how the caller proved it: token, mtls, none",
      role: "role of the caller",
      address: "address that the request came from",
      query: "name of the route",
      parameters: "its parameters, as JSON",
      rows: "records that were given out",
      error: "code of the answer, where it was none",
    },
  },
  key_rotated: {
    comment: "Another key signs from the next checkpoint on",
    detail: {
      old_key: "verifier keys that signed before and still do, separated by spaces",
      new_key: "the new verifier key",
      size: "size of the newest tree that was signed without it",
    },
  },
  key_retired: {
    comment: "A key signs no more",
    detail: {
      key: "its verifier key",
      signed_by: "verifier keys that sign from now on, separated by spaces",
      size: "size of the newest tree that it signed",
    },
  },
} as const satisfies Readonly<Record<string, OwnKind>>;

export type ControlKind = keyof typeof CONTROL_KINDS;

/** Keys of Detail in findings, whatever their kind. */
export const FINDING_DETAIL = {
  count: "how often within the minute",
  first: "the first time, nanoseconds since the epoch",
  last: "the last time",
  reason: "why, in words, of the first time",
  checkpoint: "witness_conflict: the checkpoint that the witness has, a signed note",
} as const;
