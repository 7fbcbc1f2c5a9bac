import type { RowBuffer } from "./row-buffer.ts";

/** Last instant that Timestamp may hold, 2105-12-31T23:59:59.999999999Z: ClickHouse's DateTime, which the sort keys use, ends in 2106. */
export const MAX_TIMESTAMP_NS = 4_291_747_199_999_999_999n;
const MAX_LOW = Number(MAX_TIMESTAMP_NS & 0xffff_ffffn);
const MAX_HIGH = Number(MAX_TIMESTAMP_NS >> 32n);

/** Little-endian low 32 bits at `offset`. */
export function lowAt(from: Uint8Array, offset: number): number {
  return (
    (from[offset]! |
      (from[offset + 1]! << 8) |
      (from[offset + 2]! << 16) |
      (from[offset + 3]! << 24)) >>>
    0
  );
}

/** Does the time of `low` and `high` 32 bits, unsigned, lie behind MAX_TIMESTAMP_NS? */
export function isBeyondMax(low: number, high: number): boolean {
  return high > MAX_HIGH || (high === MAX_HIGH && low > MAX_LOW);
}

/** Writes a DateTime64(9), clamped to MAX_TIMESTAMP_NS. */
export function writeClamped(out: RowBuffer, low: number, high: number): void {
  if (isBeyondMax(low, high)) out.writeEight(MAX_LOW, MAX_HIGH);
  else out.writeEight(low, high);
}

/** Writes the time at `offset` of `from` as a DateTime64(9), clamped; the epoch when the offset is negative. */
export function writeTimeAt(out: RowBuffer, from: Uint8Array, offset: number): void {
  if (offset < 0) out.writeEight(0, 0);
  else writeClamped(out, lowAt(from, offset), lowAt(from, offset + 4));
}
