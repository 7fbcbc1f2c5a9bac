/** Nanoseconds since the Unix epoch, now. The wall clock gives whole milliseconds; the rest is zero. */
export function nowNanos(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
