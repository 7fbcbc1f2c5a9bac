import { ACCESS } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import { CHAR, isDigits } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import { NO_NUMBER, parseDuration, parseInteger, readDuration, readInteger } from "./numbers.ts";
import type { Reading } from "./reading.ts";

const NANOS_PER_SECOND = 1e9;
const MAX_STATUS = 0xffff;
const MAX_TRIES = 0xffff;

/**
 * UpstreamAddress, UpstreamDurationNs and Attempts from lists with an item for each server that nginx tried: `, ` stands between servers of a group, ` : ` in front of another
 * group to which an internal redirect led, `-` for what a server did not say. The server tried last is the one that answered; the duration is that of all tries.
 * Lists of several stay in LogAttributes too.
 * Source: nginx, ngx_http_upstream_module, $upstream_addr.
 */
export function mapTries(reading: Reading): void {
  const { draft } = reading;
  const hosts = FIELD.upstream_addr;
  if (reading.has(hosts)) {
    const end = reading.end[hosts]!;
    // What else may stand there is not taken apart: a part of a secret looks like none.
    const isList = areAddresses(reading, hosts);
    const last = isList ? startOfLast(reading, hosts) : reading.start[hosts]!;
    draft.setText(ACCESS.UpstreamAddress, last, end);
    if (isList) draft.setNumber(ACCESS.Attempts, Math.min(countItems(reading, hosts), MAX_TRIES));
    if (last === reading.start[hosts]) reading.take(hosts);
  }
  const durations = FIELD.upstream_response_time;
  if (!reading.has(durations)) return;
  const isText = reading.type[durations] === VALUE_TYPES.string;
  const duration = isText
    ? sumSeconds(reading, durations)
    : readDuration(reading, durations, NANOS_PER_SECOND);
  if (duration === NO_NUMBER) return;
  draft.setNumber(ACCESS.UpstreamDurationNs, duration);
  if (!isText || startOfLast(reading, durations) === reading.start[durations])
    reading.take(durations);
}

/** The status that the last server of the list gave; 0 for none. */
export function lastStatus(reading: Reading): number {
  const field = FIELD.upstream_status;
  if (!reading.has(field)) return 0;
  if (reading.type[field] !== VALUE_TYPES.string) {
    reading.take(field);
    return Math.max(0, readInteger(reading, field, MAX_STATUS));
  }
  const start = startOfLast(reading, field);
  const end = reading.end[field]!;
  if (!isDigits(reading.buffer, start, end)) return 0;
  if (start === reading.start[field]) reading.take(field);
  return Math.max(0, parseInteger(reading.buffer, start, end));
}

/** Bytes of addresses, of paths of sockets, of names of groups, and of what separates them. */
const IN_ADDRESSES = Uint8Array.from({ length: 256 }, (_, c) =>
  /[A-Za-z0-9.:_/[\], -]/.test(String.fromCharCode(c)) ? 1 : 0,
);

function areAddresses({ buffer, start, end }: Reading, field: number): boolean {
  for (let p = start[field]!; p < end[field]!; p++)
    if (IN_ADDRESSES[buffer[p]!] === 0) return false;
  return true;
}

/** Is a separator at `p`, and how long is it? 0 for none. */
function separatorAt(from: Uint8Array, p: number, end: number): number {
  if (from[p] === CHAR.comma) return p + 1 < end && from[p + 1] === CHAR.space ? 2 : 1;
  if (from[p] === CHAR.space && p + 2 < end && from[p + 1] === CHAR.colon)
    return from[p + 2] === CHAR.space ? 3 : 0;
  return 0;
}

function startOfLast({ buffer, start, end }: Reading, field: number): number {
  let last = start[field]!;
  for (let p = last; p < end[field]!; p++) {
    const length = separatorAt(buffer, p, end[field]!);
    if (length > 0) last = p + length;
  }
  return last;
}

function countItems({ buffer, start, end }: Reading, field: number): number {
  let count = 1;
  for (let p = start[field]!; p < end[field]!; p++)
    if (separatorAt(buffer, p, end[field]!) > 0) count++;
  return count;
}

/** All items that say something, in nanoseconds; NO_NUMBER when none does, or one is no number of seconds. */
function sumSeconds({ buffer, start, end }: Reading, field: number): number {
  let sum = NO_NUMBER;
  let item = start[field]!;
  for (let p = item; p <= end[field]!; p++) {
    const length = p === end[field]! ? 1 : separatorAt(buffer, p, end[field]!);
    if (length === 0) continue;
    if (p - item !== 1 || buffer[item] !== CHAR.minus) {
      const duration = parseDuration(buffer, item, p, NANOS_PER_SECOND);
      if (duration === NO_NUMBER) return NO_NUMBER;
      sum = Math.max(sum, 0) + duration;
    }
    item = p + length;
    p = item - 1;
  }
  return sum;
}
