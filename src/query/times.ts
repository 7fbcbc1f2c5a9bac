import { MAX_TIMESTAMP_NS } from "../records/timestamps.ts";

const NS_PER_SECOND = 1_000_000_000n;
const UNIT_SECONDS: Readonly<Record<string, bigint>> = { s: 1n, m: 60n, h: 3600n, d: 86_400n };

/** RFC 3339, section 5.6; a blank may stand for the T. */
const RFC_3339 =
  /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;
/** Ten digits of seconds reach to the year 2286; 17 digits of nanoseconds begin in 1973. What lies between could be milliseconds, and is no guess of ours. */
const UNIX_SECONDS = /^\d{1,10}$/;
const UNIX_NANOSECONDS = /^\d{17,19}$/;
const AGO = /^-(\d{1,9})([smhd])$/;

/** What `parseTime` takes, for messages. */
export const TIME_FORMS =
  "RFC 3339 (2026-09-21T14:00:00Z; in a URL the + of an offset is %2B), Unix seconds or nanoseconds, or how long ago (-90s, -15m, -1h, -7d)";

/**
 * Nanoseconds since the epoch, undefined when `text` is no time.
 * Shape: from 0 to END_OF_TIME_NS; times beyond either end mean that end.
 */
export function parseTime(text: string, nowNs: bigint): bigint | undefined {
  const time = parseAny(text, nowNs);
  return time === undefined ? undefined : clampTime(time);
}

/** The end of all times that a record's Timestamp can hold. */
export const END_OF_TIME_NS = MAX_TIMESTAMP_NS + 1n;

/** `time`, or the end that it lies beyond: statements and their indexes are sure of no other times. */
export function clampTime(time: bigint): bigint {
  if (time < 0n) return 0n;
  return time > END_OF_TIME_NS ? END_OF_TIME_NS : time;
}

function parseAny(text: string, nowNs: bigint): bigint | undefined {
  if (UNIX_NANOSECONDS.test(text)) return BigInt(text);
  if (UNIX_SECONDS.test(text)) return BigInt(text) * NS_PER_SECOND;
  const [, count, unit] = AGO.exec(text) ?? [];
  if (count !== undefined)
    return nowNs - BigInt(count) * (UNIT_SECONDS[unit as string] as bigint) * NS_PER_SECOND;
  return parseRfc3339(text);
}

function parseRfc3339(text: string): bigint | undefined {
  const [, day, clock, fraction = "", sign, hours = "0", minutes = "0"] = RFC_3339.exec(text) ?? [];
  if (day === undefined) return undefined;
  const ms = Date.parse(`${day}T${clock}Z`);
  // Date takes the 30th of February for the 1st of March, and 24:00:00 for midnight.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== `${day}T${clock}`)
    return undefined;
  const offsetMinutes = (Number(hours) * 60 + Number(minutes)) * (sign === "-" ? -1 : 1);
  const seconds = BigInt(ms / 1000 - offsetMinutes * 60);
  return seconds * NS_PER_SECOND + BigInt(fraction.padEnd(9, "0"));
}
