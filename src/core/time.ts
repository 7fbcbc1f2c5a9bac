/** Nanoseconds since the Unix epoch, now. The wall clock gives whole milliseconds; the rest is zero. */
export function nowNanos(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

const NANOS_PER_SECOND = 1_000_000_000n;

/** RFC 3339 in UTC with nine fractional digits: `2026-11-22T20:20:28.000000001Z`. */
export function formatNanos(nanos: bigint): string {
  let seconds = nanos / NANOS_PER_SECOND;
  let fraction = nanos % NANOS_PER_SECOND;
  if (fraction < 0n) {
    fraction += NANOS_PER_SECOND;
    seconds -= 1n;
  }
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}.${fraction.toString().padStart(9, "0")}Z`;
}
