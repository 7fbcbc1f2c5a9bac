/** What is read at each scrape; the server gives it. All of it must be cheap to read. */
export interface Readings {
  /** Bytes of request bodies in memory, and their bound. */
  readonly inFlightBytes: number;
  readonly inFlightCapacityBytes: number;
  readonly deduplicationKeys: number;
  /** Records in the correlation window, and their bound. */
  readonly correlationRecords: number;
  readonly correlationCapacity: number;
  /** Bytes of the journal on disk, and their bound. */
  readonly journalBytes: number;
  readonly journalCapacityBytes: number;
  /** Bytes of rows in memory that wait for the store, and their bound. */
  readonly storeQueueBytes: number;
  readonly storeQueueCapacityBytes: number;
  /** Leaf index below which every record is in the store. */
  readonly storedThrough: number;
  /** Records folded into the tree; in the newest signed and in the newest published checkpoint. */
  readonly treeSize: number;
  readonly signedSize: number;
  readonly publishedSize: number;
  /** Seconds since the newest checkpoint was published. */
  readonly checkpointAgeSeconds: number;
  /** Seconds for which the oldest record without a signed checkpoint has waited. */
  readonly unsignedSeconds: number;
  /** How much further the wall clock went than time did, since the start, and how often it was set. */
  readonly clockOffsetSeconds: number;
  readonly clockJumps: number;
}

/** Name and help of the gauge of each reading. Names of the Collector where it has the same thing. */
export const GAUGES: {
  readonly [Reading in keyof Readings]: readonly [name: string, help: string];
} = {
  inFlightBytes: [
    "meshproof_receiver_in_flight_bytes",
    "Bytes of request bodies in memory, after decompression.",
  ],
  inFlightCapacityBytes: [
    "meshproof_receiver_in_flight_capacity_bytes",
    "Bound of meshproof_receiver_in_flight_bytes (max_in_flight_bytes).",
  ],
  deduplicationKeys: [
    "meshproof_deduplication_keys",
    "Batches that are remembered, so that a second arrival is not stored twice.",
  ],
  correlationRecords: [
    "meshproof_correlation_window_records",
    "Access records and spans that wait for their partners.",
  ],
  correlationCapacity: [
    "meshproof_correlation_window_capacity_records",
    "Bound of meshproof_correlation_window_records (processors.correlate.max_records).",
  ],
  journalBytes: [
    "meshproof_journal_bytes",
    "Bytes of the journal on disk: records that are not yet both sealed and stored, and what shares a segment with them.",
  ],
  journalCapacityBytes: [
    "meshproof_journal_capacity_bytes",
    "Bound of meshproof_journal_bytes (storage.max_size).",
  ],
  storeQueueBytes: [
    "otelcol_exporter_queue_size",
    "Current size of the sending queue, in bytes of rows (not in batches).",
  ],
  storeQueueCapacityBytes: [
    "otelcol_exporter_queue_capacity",
    "Fixed capacity of the sending queue, in bytes of rows (max_pending_bytes).",
  ],
  storedThrough: [
    "meshproof_stored_through",
    "Leaf index below which every record is in ClickHouse.",
  ],
  treeSize: ["meshproof_tree_size", "Records in the Merkle tree."],
  signedSize: ["meshproof_signed_tree_size", "Records under the newest signed checkpoint."],
  publishedSize: [
    "meshproof_published_tree_size",
    "Records under the newest published checkpoint.",
  ],
  checkpointAgeSeconds: [
    "meshproof_checkpoint_age_seconds",
    "Seconds since the newest checkpoint was published.",
  ],
  unsignedSeconds: [
    "meshproof_unsigned_seconds",
    "Seconds for which the oldest record that no signed checkpoint covers has waited; 0 when there is none.",
  ],
  clockOffsetSeconds: [
    "meshproof_clock_offset_seconds",
    "How much further the wall clock went than the monotonic clock since the start, sleep not counted.",
  ],
  clockJumps: ["meshproof_clock_jumps", "How often the wall clock was set since the start."],
};

/** The last scheduled verification of one mode. */
export interface VerificationReading {
  readonly mode: string;
  readonly endedAtSeconds: number;
  readonly durationSeconds: number;
  readonly records: number;
  readonly faults: number;
  /** 1 or 0; null before the first verdict. */
  readonly integrityOk: number | null;
}

/** The same for scheduled verification, with the label `mode`: full or incremental. */
export const VERIFICATION_GAUGES: {
  readonly [Reading in Exclude<keyof VerificationReading, "mode">]: readonly [
    name: string,
    help: string,
  ];
} = {
  endedAtSeconds: [
    "meshproof_verification_last_run_timestamp_seconds",
    "When the last scheduled verification ended, in seconds since the epoch.",
  ],
  durationSeconds: ["meshproof_verification_duration_seconds", "How long it took."],
  records: ["meshproof_verification_records", "Rows that it checked."],
  faults: ["meshproof_verification_faults", "Faults that it found."],
  integrityOk: [
    "meshproof_verification_integrity_ok",
    "1 when the last verdict was that nothing was changed, 0 when something was; a run that failed changes nothing here.",
  ],
};
