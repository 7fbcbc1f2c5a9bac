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
  published: "size of the newest tree that everybody can see",
  stored: "all records below this index are in the tables",
  from: "first index of the rows that are counted here: since the start",
  through: "index behind the last of them",
  rows_access: "access records among them",
  rows_span: "spans",
  rows_log: "logs",
  rows_link: "links",
  rows_finding: "findings",
  rows_control: "control records",
  accepted: "records of senders in requests that were answered with 200",
  rejected: "records that were refused alone",
  refused: "requests that were refused whole",
  deduplicated: "batches that had come before",
  uptime_ms: "milliseconds since the start, on the monotonic clock",
  clock_ns: "wall clock, nanoseconds since the epoch",
  clock_offset_ms: "how much further the wall clock went than the monotonic one since the start",
  clock_drift_ms: "the part of it that came without a jump",
  clock_jumps: "how often it was set",
  clock_suspended_ms: "how long the machine slept",
  clock_source: "what the kernel counts with, where it says so",
  ntp: "synchronized, disciplined, unsynchronized or unknown",
  ntp_source: "who says so",
  ntp_at: "when that was, RFC 3339, or empty",
} as const;

/** Rows that a record about a drop names. */
const NAMED_ROWS = {
  table: "table of the rows",
  leaves:
    "leaf indexes as ascending runs, such as 0-99 105; of the leaves in them those of the table's kind are meant",
  count: "how many rows that are",
  sha256:
    "SHA-256 over LeafIndex (UInt64, little endian) and SHA-256(row) of each, ascending; lower-case hex",
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
      ...TOTALS,
    },
  },
  stop: { comment: "The server ends as it should", detail: TOTALS },
  heartbeat: {
    comment: "A minute passed without a record; or ten minutes, whatever was recorded",
    detail: TOTALS,
  },
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
  verified: {
    comment: "The result of a scheduled verification",
    detail: {
      mode: "full or incremental",
      outcome: "how it ended",
      duration_ms: "milliseconds that it took",
      reason: "why it could not run",
      integrity: "ok or broken",
      completeness: "ok or gaps",
      tree_size: "records of the log that was verified",
      records: "rows that were checked",
      tiles: "tiles and bundles that were checked",
      checkpoints: "checkpoints that were checked",
      faults: "how many there were",
      fault_kinds: "and of which kinds",
      first_faults: "the first of them, a line each",
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
  retention_changed: {
    comment: "The retention periods are others than those that were sealed last",
    detail: {
      "period.CLASS": "how long records of the class are kept from now on",
      "days.CLASS": "the same in days",
      "before.CLASS": "how long they were kept before",
      shortened: "true where one became shorter, or is new",
    },
  },
  expired: {
    comment: "Rows whose period is over are about to be dropped",
    detail: {
      ...NAMED_ROWS,
      partition: "their partition: yyyymm or yyyymmdd",
      partition_id: "what ClickHouse calls it",
      class: "their retention class; empty for links and findings",
      period: "how long it is kept",
    },
  },
  expiry_finished: {
    comment: "They were dropped",
    detail: {
      table: "table of the rows",
      partition_id: "as in the records that name them",
      records: "leaf indexes of these records",
    },
  },
  erased: {
    comment: "Rows are about to be erased, because somebody had it done",
    detail: {
      ...NAMED_ROWS,
      reason: "why, in the words of who had it done",
      selected_by: "principal or leaf indexes",
      caller: "name of the token or certificate",
      auth: "how the caller proved it: token, mtls, none",
      role: "role of the caller",
      address: "address that the request came from",
    },
  },
  erasure_finished: {
    comment: "They are gone, from the disk too",
    detail: {
      table: "table of the rows",
      records: "leaf indexes of the records that name them",
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
  direction: "clock_jump: forward or back",
  by_ms: "clock_jump: by how many milliseconds",
  before: "clock_jump: what the clock would have shown, RFC 3339",
  after: "clock_jump: what it showed",
  when: "clock_jump: running or restart",
  mode: "integrity_broken: full or incremental",
  tree_size: "integrity_broken: records of the log that was verified",
  fault_kinds: "integrity_broken: kinds of the faults",
  checkpoint: "witness_conflict: the checkpoint that the witness has, a signed note",
} as const;
