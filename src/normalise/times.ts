import { ACCESS } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import { isBeyondMax, lowAt, MAX_TIMESTAMP_NS } from "../records/timestamps.ts";
import { ascii, equalsText, startsWith } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import { NO_NUMBER, readDouble, readDuration } from "./numbers.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

const MAX_LOW = Number(MAX_TIMESTAMP_NS & 0xffff_ffffn);
const MAX_HIGH = Number(MAX_TIMESTAMP_NS >> 32n);
const TWO_32 = 0x1_0000_0000;
/** Envoy's clock for time_unix_nano counts microseconds. */
const ENVOY_DIGITS = 6;

/**
 * Timestamp, ObservedTimestamp and how sure they are.
 *
 * Envoy sends the start of the stream as time_unix_nano, in microseconds; a start_time beside it says the same with fewer digits. What a collector took apart
 * has the time of the line or of the reading there, so the record's own words outrank it; so does the start where a dialect says that the record's time is another. A record without any time has the time when it was observed,
 * else when it arrived (Timestamp stays 0, and the row writer fills it in).
 */
export function mapTimes(reading: Reading): void {
  const { view, draft, buffer, time, plan, dialect } = reading;
  const sentLow = view.timeOffset < 0 ? 0 : lowAt(buffer, view.timeOffset);
  const sentHigh = view.timeOffset < 0 ? 0 : lowAt(buffer, view.timeOffset + 4);
  const isSent = sentLow !== 0 || sentHigh !== 0;
  const observedLow = view.observedOffset < 0 ? 0 : lowAt(buffer, view.observedOffset);
  const observedHigh = view.observedOffset < 0 ? 0 : lowAt(buffer, view.observedOffset + 4);
  const isObserved = observedLow !== 0 || observedHigh !== 0;
  setTime(reading, ACCESS.ObservedTimestamp, observedLow, observedHigh);

  const saysStart = reading.has(FIELD.start_time);
  const field = saysStart ? FIELD.start_time : FIELD.end_time;
  const hasText = reading.has(field);
  const isRead = hasText && readTime(reading, field);
  const isLine = hasText && reading.bodyIsRead;
  if (isLine && !isRead) reading.partial = true;
  const knowsStart = isRead && saysStart && dialect.saysStart === true;

  // What a file's reader sends agrees with whole seconds by chance.
  if (isRead && isSent && !knowsStart && !plan.fromFile && time.agreesWith(sentLow, sentHigh)) {
    setTimestamp(reading, sentLow, sentHigh);
    sayTime(
      reading,
      WORD.stream_start,
      Math.max(time.digits, digitsOf((sentHigh - time.high) * TWO_32 + sentLow - time.low)),
    );
    reading.take(field);
  } else if (isRead && (isLine || knowsStart || reading.isTakenApart || !isSent)) {
    setTimestamp(reading, time.low, time.high);
    sayTime(reading, WORD.stream_start, time.digits);
    reading.take(field);
    if (isSent && !isObserved) setTime(reading, ACCESS.ObservedTimestamp, sentLow, sentHigh);
  } else if (isSent) {
    setTimestamp(reading, sentLow, sentHigh);
    const digits = Math.max(ENVOY_DIGITS, digitsOf(nanosOf(sentLow, sentHigh)));
    sayTime(reading, plan.fromFile || isLine ? WORD.line : WORD.stream_start, digits);
  } else {
    if (isObserved) setTimestamp(reading, observedLow, observedHigh);
    sayTime(reading, WORD.read, 3);
  }
  const durationNs = readDurations(reading);
  draft.setNumber(ACCESS.DurationNs, durationNs);
  if (knowsStart) reading.take(FIELD.end_time);
  else if (dialect.timeIsEnd === true && (isRead || isSent)) moveToStart(reading);
  else if (dialect.timeIsLine === true && (isRead || isSent))
    reading.say(ACCESS.TimeBasis, WORD.line);
  if (reading.has(FIELD.upstream_service_time)) {
    const duration = readDuration(reading, FIELD.upstream_service_time, 1e6);
    draft.setNumber(ACCESS.UpstreamDurationNs, duration);
    if (duration !== NO_NUMBER) reading.take(FIELD.upstream_service_time);
  } else if (reading.has(FIELD.upstream_duration_ns)) {
    const duration = readDuration(reading, FIELD.upstream_duration_ns, 1);
    draft.setNumber(ACCESS.UpstreamDurationNs, duration);
    if (duration !== NO_NUMBER) reading.take(FIELD.upstream_duration_ns);
  }
  mapPhase(reading);
}

/** Reads a time into `reading.time`: a text, or a number since the epoch. */
function readTime({ buffer, time, start, end, type }: Reading, field: number): boolean {
  switch (type[field]) {
    case VALUE_TYPES.int:
      return time.parseVarint(buffer, start[field]!);
    case VALUE_TYPES.double:
      return time.parseNumber(readDouble(buffer, start[field]!));
    default:
      return time.parse(buffer, start[field]!, end[field]!);
  }
}

/** The time that the record gives is the end: the request began as much earlier as it took, if it says so. */
export function moveToStart(reading: Reading): void {
  const { low, high } = reading.draft;
  reading.say(ACCESS.TimeBasis, WORD.stream_end);
  if (high[ACCESS.DurationNs]! < 0) return; // unknown
  const lowDuration = low[ACCESS.DurationNs]! >>> 0;
  const lowEnd = low[ACCESS.Timestamp]! >>> 0;
  const highStart =
    (high[ACCESS.Timestamp]! >>> 0) - high[ACCESS.DurationNs]! - (lowEnd < lowDuration ? 1 : 0);
  if (highStart < 0) return; // longer than the time since 1970
  low[ACCESS.Timestamp] = lowEnd - lowDuration;
  high[ACCESS.Timestamp] = highStart;
}

/** Nanoseconds behind the last whole microsecond. */
function nanosOf(low: number, high: number): number {
  return ((high % 1000) * (TWO_32 % 1000) + (low % 1000)) % 1000;
}

/** Fractional digits of a second that are used up to the last that is not zero, in threes: 3, 6 or 9; 0 for zero. */
function digitsOf(nanos: number): number {
  const whole = nanos | 0; // less than 10^9
  if (whole === 0) return 0;
  return whole % 1000 !== 0 ? 9 : whole % 1_000_000 !== 0 ? 6 : 3;
}

function sayTime(reading: Reading, basis: number, digits: number): void {
  reading.say(ACCESS.TimeBasis, basis);
  reading.say(
    ACCESS.TimePrecision,
    digits === 0 ? WORD.s : digits <= 3 ? WORD.ms : digits <= 6 ? WORD.us : WORD.ns,
  );
}

/** Sets Timestamp; one that had to be clamped keeps what was received in TimestampRaw. */
function setTimestamp(reading: Reading, low: number, high: number): void {
  if (setTime(reading, ACCESS.Timestamp, low, high)) return;
  reading.draft.low[ACCESS.TimestampRaw] = low;
  reading.draft.high[ACCESS.TimestampRaw] = high;
}

/** Sets a DateTime64(9); false when it had to be clamped. */
function setTime(reading: Reading, column: number, low: number, high: number): boolean {
  const isBeyond = isBeyondMax(low, high);
  reading.draft.low[column] = isBeyond ? MAX_LOW : low;
  reading.draft.high[column] = isBeyond ? MAX_HIGH : high;
  return !isBeyond;
}

/** The duration in the finest unit that there is; the others stay in LogAttributes. */
function readDurations(reading: Reading): number {
  const field = reading.has(FIELD.duration_ns)
    ? FIELD.duration_ns
    : reading.has(FIELD.duration_us)
      ? FIELD.duration_us
      : reading.has(FIELD.duration_seconds) && !reading.has(FIELD.duration)
        ? FIELD.duration_seconds
        : FIELD.duration;
  if (!reading.has(field)) return NO_NUMBER;
  const unitNs =
    field === FIELD.duration_ns
      ? 1
      : field === FIELD.duration_us
        ? 1e3
        : field === FIELD.duration
          ? 1e6
          : 1e9;
  const duration = readDuration(reading, field, unitNs);
  if (duration !== NO_NUMBER) reading.take(field);
  return duration;
}

const DOWNSTREAM = ascii("Downstream");

/**
 * Phase from `%ACCESS_LOG_TYPE%` by the end of its name; a record that does not say was written at the end of its stream.
 * Source: Envoy, data/accesslog/v3/accesslog.proto, AccessLogType.
 */
function mapPhase(reading: Reading): void {
  const field = FIELD.access_log_type;
  if (!reading.has(field)) return reading.say(ACCESS.Phase, WORD.end);
  const { buffer } = reading;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  if (endsWith(buffer, start, end, PERIODIC)) reading.say(ACCESS.Phase, WORD.periodic);
  else if (
    endsWith(buffer, start, end, START) ||
    endsWith(buffer, start, end, CONNECTED) ||
    endsWith(buffer, start, end, READY) ||
    endsWith(buffer, start, end, ESTABLISHED)
  )
    reading.say(ACCESS.Phase, WORD.start);
  else reading.say(ACCESS.Phase, WORD.end);
  // Downstream start, periodic and end are the phases themselves; the other types say more than the column.
  if (startsWith(buffer, start, end, DOWNSTREAM) && !endsWith(buffer, start, end, ESTABLISHED))
    reading.take(field);
}

const PERIODIC = ascii("Periodic");
const START = ascii("Start");
const CONNECTED = ascii("Connected");
const READY = ascii("Ready");
const ESTABLISHED = ascii("Established");

function endsWith(from: Uint8Array, start: number, end: number, suffix: Uint8Array): boolean {
  return end - start >= suffix.length && equalsText(from, end - suffix.length, end, suffix);
}
