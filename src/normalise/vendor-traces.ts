import { ACCESS, type AccessDraft } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import {
  ascii,
  CHAR,
  equalsIgnoringCase,
  hexValue,
  indexOf,
  isDigits,
  isHex,
  isZeros,
  lower,
  startsWith,
} from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import {
  appendBase64,
  setDecimalId,
  setHexId,
  setHexPieces,
  setIntId,
  setShortHexId,
  SPAN_ID,
  TRACE_ID,
} from "./trace-ids.ts";
import { varintLow } from "./varint.ts";
import { WORD } from "./words.ts";

/** There is no trace ID of this kind. Anything else that the readers return says whether the trace is sampled: -1 unknown, 0 or 1. */
export const NOT_THERE = -2;
const UNKNOWN = -1;

/** The high half of a Datadog trace ID, among the tags that go along. Source: Datadog, "Trace Context Propagation"; dd-trace, `_dd.p.tid`. */
const HIGH_HALF = ascii("_dd.p.tid=");
/** Source: AWS X-Ray Developer Guide, "Tracing header". */
const ROOT = ascii("root");
const PARENT = ascii("parent");
const SAMPLED = ascii("sampled");
/** `1-`, 8 digits of the time, `-`, 24 digits. */
const XRAY = { version: ascii("1-"), time: 2, timeEnd: 10, rest: 11, length: 35 } as const;
/** Source: Google Cloud, "Trace context", "Legacy header". */
const OPTIONS = ascii("o=");
/** A colon in percent-encoding. */
const COLON = ascii("%3A");
const LOWER_COLON = ascii("%3a");
/** Length of a UUID, and where its hyphens stand. */
const UUID = { length: 36, hyphens: [8, 13, 18, 23] } as const;

/** TraceId and SpanId from a header of a vendor. */
export function readVendorTrace(reading: Reading, hasSpan: boolean): number {
  let sampled = NOT_THERE;
  if (reading.has(FIELD.datadog_trace_id)) sampled = readDatadog(reading, hasSpan);
  if (sampled === NOT_THERE && reading.has(FIELD.b3_or_datadog_trace_id))
    sampled = readEither(reading);
  if (sampled === NOT_THERE && reading.has(FIELD.uber_trace_id))
    sampled = readJaeger(reading, hasSpan);
  if (sampled === NOT_THERE && reading.has(FIELD.x_amzn_trace_id))
    sampled = readXray(reading, hasSpan);
  if (sampled === NOT_THERE && reading.has(FIELD.x_cloud_trace_context))
    sampled = readCloudTrace(reading, hasSpan);
  if (sampled === NOT_THERE && reading.has(FIELD.sw8)) sampled = readSkyWalking(reading);
  if (sampled === 1) reading.draft.low[ACCESS.TraceFlags] = 1;
  return sampled;
}

/** Datadog's headers: decimal numbers of 64 bits, as text or as such, the high half of the trace ID in a tag. Its logs may write a whole ID in hex. */
function readDatadog(reading: Reading, hasSpan: boolean): number {
  const field = FIELD.datadog_trace_id;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  if (
    !setDatadogId(reading, ACCESS.TraceId, field, TRACE_ID, highHalf(reading)) &&
    !(
      reading.type[field] === VALUE_TYPES.string &&
      isTooLongForDecimal(reading, start, end) &&
      setHexId(reading, ACCESS.TraceId, start, end, TRACE_ID)
    )
  )
    return NOT_THERE;
  reading.take(field);
  reading.say(ACCESS.TraceSource, WORD.datadog);
  const parent = FIELD.datadog_parent_id;
  if (!hasSpan && reading.has(parent) && setDatadogId(reading, ACCESS.SpanId, parent, SPAN_ID))
    reading.take(parent);
  const priority = FIELD.datadog_sampling_priority;
  if (!reading.has(priority)) return UNKNOWN;
  // -1 and 0 reject, 1 and 2 keep.
  const at = reading.start[priority]!;
  if (reading.type[priority] === VALUE_TYPES.int) {
    const value = varintLow(reading.buffer, at) | 0;
    return value <= 0 ? 0 : value <= 2 ? 1 : UNKNOWN;
  }
  const first = reading.buffer[at]!;
  if (first === CHAR.minus || first === CHAR.zero) return 0;
  return first === CHAR.one || first === CHAR.one + 1 ? 1 : UNKNOWN;
}

/** A field as an ID: a number, or its decimal digits. `high`: as in setDecimalId. */
function setDatadogId(
  reading: Reading,
  column: number,
  field: number,
  digits: number,
  high = -1,
): boolean {
  const { start, end, type } = reading;
  return type[field] === VALUE_TYPES.int
    ? setIntId(reading, column, start[field]!, digits, high)
    : setDecimalId(reading, column, start[field]!, end[field]!, digits, high);
}

/** Hex that no decimal number can be: a whole ID, or half of one with a letter in it. */
function isTooLongForDecimal(reading: Reading, start: number, end: number): boolean {
  return end - start === TRACE_ID || !isDigits(reading.buffer, start, end);
}

/** Where the high half of the trace ID begins among the tags, or -1. */
function highHalf(reading: Reading): number {
  const field = FIELD.datadog_tags;
  if (!reading.has(field)) return -1;
  const { buffer } = reading;
  const end = reading.end[field]!;
  for (let p = reading.start[field]!; p < end;) {
    const comma = indexOf(buffer, CHAR.comma, p, end);
    const stop = comma < 0 ? end : comma;
    const value = p + HIGH_HALF.length;
    if (
      startsWith(buffer, p, stop, HIGH_HALF) &&
      stop - value === SPAN_ID &&
      isHex(buffer, value, stop)
    )
      return value;
    p = stop + 1;
  }
  return -1;
}

/** Kuma logs `X-B3-TRACEID?X-DATADOG-TRACEID` in one place. Exactly 16 or 32 hex digits are B3's, which has no other lengths; any other number is Datadog's. */
function readEither(reading: Reading): number {
  const field = FIELD.b3_or_datadog_trace_id;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  if (setHexId(reading, ACCESS.TraceId, start, end, TRACE_ID))
    reading.say(ACCESS.TraceSource, WORD.b3);
  else if (setDecimalId(reading, ACCESS.TraceId, start, end, TRACE_ID))
    reading.say(ACCESS.TraceSource, WORD.datadog);
  else return NOT_THERE;
  reading.take(field);
  return UNKNOWN;
}

/**
 * `<trace>:<span>:<parent>:<flags>` in hex without zeros in front; some senders write `%3A` for the colons. The parent is out of use, and 0.
 * Source: Jaeger, "Client Libraries", "Propagation Format".
 */
function readJaeger(reading: Reading, hasSpan: boolean): number {
  const { buffer } = reading;
  const field = FIELD.uber_trace_id;
  const end = reading.end[field]!;
  const trace = reading.start[field]!;
  const traceEnd = endOfHex(buffer, trace, end);
  const span = behindColon(buffer, traceEnd, end);
  const spanEnd = endOfHex(buffer, span, end);
  const parent = behindColon(buffer, spanEnd, end);
  const parentEnd = endOfHex(buffer, parent, end);
  const flags = behindColon(buffer, parentEnd, end);
  const flagsEnd = endOfHex(buffer, flags, end);
  if (flags === flagsEnd || flagsEnd !== end || flagsEnd - flags > 2) return NOT_THERE;
  if (isZeros(buffer, span, spanEnd)) return NOT_THERE;
  if (!setShortHexId(reading, ACCESS.TraceId, trace, traceEnd, TRACE_ID)) return NOT_THERE;
  if (!hasSpan) setShortHexId(reading, ACCESS.SpanId, span, spanEnd, SPAN_ID);
  setShortHexId(reading, ACCESS.ParentSpanId, parent, parentEnd, SPAN_ID);
  reading.say(ACCESS.TraceSource, WORD.jaeger);
  return hexValue(buffer[end - 1]!) & 1;
}

function endOfHex(from: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && hexValue(from[p]!) >= 0) p++;
  return p;
}

/** Behind the colon at `p`, or `end` where there is none. */
function behindColon(from: Uint8Array, p: number, end: number): number {
  if (p < end && from[p] === CHAR.colon) return p + 1;
  return startsWith(from, p, end, COLON) || startsWith(from, p, end, LOWER_COLON) ? p + 3 : end;
}

/** `Root=1-<time>-<id>;Parent=<span>;Sampled=0|1`, in any order, with other pairs among them; logs may write the root alone. */
function readXray(reading: Reading, hasSpan: boolean): number {
  const { buffer } = reading;
  const field = FIELD.x_amzn_trace_id;
  const end = reading.end[field]!;
  let found = false;
  let sampled = UNKNOWN;
  let parentStart = 0;
  let parentEnd = 0;
  for (let p = reading.start[field]!; p < end;) {
    while (p < end && buffer[p] === CHAR.space) p++;
    const semicolon = indexOf(buffer, CHAR.semicolon, p, end);
    const stop = semicolon < 0 ? end : semicolon;
    const equals = indexOf(buffer, CHAR.equals, p, stop);
    const value = equals + 1;
    if (equals < 0 || equalsIgnoringCase(buffer, p, equals, ROOT))
      found = setXrayRoot(reading, equals < 0 ? p : value, stop) || found;
    else if (equalsIgnoringCase(buffer, p, equals, PARENT)) {
      parentStart = value;
      parentEnd = stop;
    } else if (equalsIgnoringCase(buffer, p, equals, SAMPLED) && stop - value === 1) {
      if (buffer[value] === CHAR.zero) sampled = 0;
      else if (buffer[value] === CHAR.one) sampled = 1;
    }
    p = stop + 1;
  }
  if (!found) return NOT_THERE;
  if (!hasSpan) setHexId(reading, ACCESS.SpanId, parentStart, parentEnd, SPAN_ID);
  reading.say(ACCESS.TraceSource, WORD.xray);
  return sampled;
}

function setXrayRoot(reading: Reading, start: number, end: number): boolean {
  const { buffer } = reading;
  return (
    end - start === XRAY.length &&
    startsWith(buffer, start, end, XRAY.version) &&
    buffer[start + XRAY.timeEnd] === CHAR.minus &&
    setHexPieces(reading, start + XRAY.time, start + XRAY.timeEnd, start + XRAY.rest, end)
  );
}

/** `<trace in hex>[/<span in decimal>][;o=<0|1>]`. */
function readCloudTrace(reading: Reading, hasSpan: boolean): number {
  const { buffer } = reading;
  const field = FIELD.x_cloud_trace_context;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  const semicolon = indexOf(buffer, CHAR.semicolon, start, end);
  const stop = semicolon < 0 ? end : semicolon;
  const slash = indexOf(buffer, CHAR.slash, start, stop);
  const traceEnd = slash < 0 ? stop : slash;
  if (
    traceEnd - start !== TRACE_ID ||
    !setHexId(reading, ACCESS.TraceId, start, traceEnd, TRACE_ID)
  )
    return NOT_THERE;
  reading.say(ACCESS.TraceSource, WORD.cloud_trace);
  if (!hasSpan && slash >= 0) setDecimalId(reading, ACCESS.SpanId, slash + 1, stop, SPAN_ID);
  const options = stop + 1;
  if (!startsWith(buffer, options, end, OPTIONS) || end - options !== OPTIONS.length + 1)
    return UNKNOWN;
  const option = buffer[end - 1];
  return option === CHAR.one ? 1 : option === CHAR.zero ? 0 : UNKNOWN;
}

/**
 * `<sample>-<trace ID>-<segment ID>-…` in base64. SkyWalking's trace IDs are any text; Envoy's are UUIDs, which have the size of ours. The others stay in LogAttributes.
 * Source: Apache SkyWalking, "Cross Process Propagation Headers Protocol v3".
 */
function readSkyWalking(reading: Reading): number {
  const { buffer, draft } = reading;
  const field = FIELD.sw8;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  const trace = start + 2;
  const traceEnd = indexOf(buffer, CHAR.minus, trace, end);
  if (traceEnd < 0 || buffer[start + 1] !== CHAR.minus) return NOT_THERE;
  const id = appendBase64(draft, buffer, trace, traceEnd);
  if (id < 0 || !setUuid(draft, id, draft.scratchEnd)) return NOT_THERE;
  reading.say(ACCESS.TraceSource, WORD.sw8);
  return buffer[start] === CHAR.one ? 1 : buffer[start] === CHAR.zero ? 0 : UNKNOWN;
}

/** TraceId from a UUID in scratch, with or without its hyphens, which is written over. */
function setUuid(draft: AccessDraft, start: number, end: number): boolean {
  const { scratch } = draft;
  const isWhole = end - start === UUID.length;
  if (!isWhole && end - start !== TRACE_ID) return false;
  if (isWhole && UUID.hyphens.some((at) => scratch[start + at] !== CHAR.minus)) return false;
  let to = start;
  for (let p = start; p < end; p++)
    if (!isWhole || scratch[p] !== CHAR.minus) scratch[to++] = lower(scratch[p]!);
  if (to - start !== TRACE_ID || !isHex(scratch, start, to) || isZeros(scratch, start, to))
    return false;
  draft.setScratch(ACCESS.TraceId, start, to);
  return true;
}
