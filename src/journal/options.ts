import type { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { PlacedBatch } from "../core/rows.ts";
import type { FileSystem } from "./files.ts";
import type { FrameMeta } from "./frame.ts";
import type { RecoveredKey } from "./keys.ts";

export const DEFAULT_RESERVE_BYTES = 16 * 1024 * 1024;
export const DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024;
/** Rows must not lie in the journal for months because little traffic never fills a segment: after this time it is full. */
export const DEFAULT_SEGMENT_AGE_MS = 3_600_000;
export const DEFAULT_KEY_WINDOW_MS = 3_600_000;
export const DEFAULT_MAX_KEYS = 1_000_000;

export interface JournalOptions {
  /** Made if absent; nobody else may write here. */
  readonly directory: string;
  /** Bound of the segments on disk and the frames waiting to be written. A frame must fit in three quarters of it. */
  readonly maxBytes: number;
  /** Room beyond `maxBytes` for appends with `reserve`. */
  readonly reserveBytes?: number;
  readonly segmentBytes?: number;
  readonly segmentAgeMs?: number;
  /** First index of a journal that has no segment yet; otherwise the segments know. */
  readonly nextIndex?: number;
  /** How long, and how many, deduplication keys survive the release of their segments. */
  readonly keyWindowMs?: number;
  readonly maxKeys?: number;
  /** Frames may hold the records as they came in (FrameMeta.originals). */
  readonly withOriginals?: boolean;
  readonly logger: Logger;
  /** Called once: the journal takes nothing more, and the process should end. */
  readonly onFatal: (error: MeshproofError) => void;
  /** Called for each batch as it becomes durable, in index order, before its promise resolves. */
  readonly onDurable?: (batch: PlacedBatch, meta: FrameMeta) => void;
  /** Called after each write and sync of a group, with the seconds that they took. */
  readonly onSynced?: (seconds: number) => void;
  /** Called while opening, oldest first, for each deduplication key on disk. */
  readonly onRecoveredKey?: (key: RecoveredKey) => void;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  readonly fileSystem?: FileSystem;
}
