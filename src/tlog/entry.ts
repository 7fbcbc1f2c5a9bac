import { MeshproofError } from "../core/errors.ts";
import type { Kind } from "../core/kinds.ts";
import { HASH_LENGTH } from "./merkle.ts";

/** What the log holds of a record, version 1: 0x01 ‖ kind ‖ SHA-256(row). */
export const ENTRY_VERSION = 0x01;
/** Bytes of an entry, version 1. */
export const ENTRY_LENGTH = 2 + HASH_LENGTH;

/** Writes the entry of a record to `out` at `at`; its row's hash stands in `rowHashes` at `rowHashAt`. The hot path. */
export function writeEntry(
  out: Buffer,
  at: number,
  kind: number,
  rowHashes: Buffer,
  rowHashAt: number,
): void {
  out[at] = ENTRY_VERSION;
  out[at + 1] = kind;
  rowHashes.copy(out, at + 2, rowHashAt, rowHashAt + HASH_LENGTH);
}

/** The entry of a record with this kind and row hash. */
export function encodeEntry(kind: Kind, rowHash: Uint8Array): Uint8Array {
  const out = new Uint8Array(ENTRY_LENGTH);
  out[0] = ENTRY_VERSION;
  out[1] = kind;
  out.set(rowHash, 2);
  return out;
}

/**
 * Kind and row hash of an entry.
 * Throws: LOG_INCONSISTENT when the bytes are no entry of version 1. The kind is not looked at: the caller compares it with the row's.
 */
export function decodeEntry(entry: Uint8Array): { kind: number; rowHash: Uint8Array } {
  if (entry.length !== ENTRY_LENGTH || entry[0] !== ENTRY_VERSION) {
    throw new MeshproofError(
      "LOG_INCONSISTENT",
      `expected an entry of ${ENTRY_LENGTH} bytes and version ${ENTRY_VERSION}, got ${entry.length} bytes and version ${entry[0] ?? "none"}`,
    );
  }
  return { kind: entry[1]!, rowHash: entry.subarray(2) };
}
