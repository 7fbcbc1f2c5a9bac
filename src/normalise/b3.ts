import { ACCESS } from "../records/access-draft.ts";
import { ascii, CHAR, isHex, isZeros } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import { holdsId, setHexId, setId, SPAN_ID, TRACE_ID } from "./trace-ids.ts";
import { WORD } from "./words.ts";

const SAMPLED = 1;
const UNKNOWN = -1;
const DEBUG = ascii("1");
const TRUE = ascii("true");
const FALSE = ascii("false");

/** B3 in one header, `{trace}-{span}[-{sampled}][-{parent}]`, or in several. Source: openzipkin/b3-propagation. */
export function readB3(reading: Reading, hasSpan: boolean): boolean {
  const { draft } = reading;
  if (readSingleB3(reading, hasSpan)) reading.take(FIELD.b3);
  else if (setId(reading, ACCESS.TraceId, FIELD.x_b3_traceid, TRACE_ID)) {
    if (!hasSpan) setId(reading, ACCESS.SpanId, FIELD.x_b3_spanid, SPAN_ID);
    setId(reading, ACCESS.ParentSpanId, FIELD.x_b3_parentspanid, SPAN_ID);
  } else return false;
  if (sampledByB3(reading) === 1) draft.low[ACCESS.TraceFlags] = SAMPLED;
  reading.say(ACCESS.TraceSource, WORD.b3);
  return true;
}

function readSingleB3(reading: Reading, hasSpan: boolean): boolean {
  if (!reading.has(FIELD.b3)) return false;
  const { buffer } = reading;
  const start = reading.start[FIELD.b3]!;
  const end = reading.end[FIELD.b3]!;
  const span = start + traceLength(buffer, start, end) + 1;
  const spanEnd = span + SPAN_ID;
  if (spanEnd > end || !isHex(buffer, span, spanEnd) || isZeros(buffer, span, spanEnd))
    return false;
  const state = stateAt(buffer, spanEnd, end);
  const parent = spanEnd + (state === UNKNOWN ? 1 : 3);
  const hasParent =
    parent + SPAN_ID === end && buffer[parent - 1] === CHAR.minus && isHex(buffer, parent, end);
  // Whatever else follows, such as a second header that a proxy joined to the first, makes it none.
  if (!hasParent && parent - 1 !== end) return false;
  if (!setHexId(reading, ACCESS.TraceId, start, span - 1, TRACE_ID)) return false;
  if (!hasSpan) setHexId(reading, ACCESS.SpanId, span, spanEnd, SPAN_ID);
  if (hasParent) setHexId(reading, ACCESS.ParentSpanId, parent, end, SPAN_ID);
  return true;
}

/** SpanId from B3 headers that have the trace ID which is known already. */
export function readB3Span(reading: Reading): boolean {
  if (hasTraceId(reading, FIELD.b3) && readSingleB3(reading, false)) return true;
  return (
    hasTraceId(reading, FIELD.x_b3_traceid) &&
    setId(reading, ACCESS.SpanId, FIELD.x_b3_spanid, SPAN_ID)
  );
}

/** Are the digits in front of the field's first dash the trace ID that is known already? */
function hasTraceId(reading: Reading, field: number): boolean {
  if (!reading.has(field)) return false;
  const { draft, buffer } = reading;
  const start = reading.start[field]!;
  const length = traceLength(buffer, start, reading.end[field]!);
  return holdsId(draft, ACCESS.TraceId, buffer, start, length);
}

/** Digits in front of the first dash. */
function traceLength(from: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && from[p] !== CHAR.minus) p++;
  return p - start;
}

/** The sampling decision of B3 headers: 1 also for debug. */
export function sampledByB3(reading: Reading): number {
  const { buffer } = reading;
  if (reading.has(FIELD.b3)) {
    const start = reading.start[FIELD.b3]!;
    const end = reading.end[FIELD.b3]!;
    // The state alone (`b3: 0`), or behind trace and span.
    if (end - start === 1) return stateOf(buffer[start]!);
    const state = stateAt(buffer, start + traceLength(buffer, start, end) + 1 + SPAN_ID, end);
    if (state !== UNKNOWN) return state;
  }
  if (reading.is(FIELD.x_b3_flags, DEBUG)) return 1;
  const sampled = FIELD.x_b3_sampled;
  if (!reading.has(sampled)) return UNKNOWN;
  // Older senders write words.
  if (reading.isIgnoringCase(sampled, TRUE)) return 1;
  if (reading.isIgnoringCase(sampled, FALSE)) return 0;
  const start = reading.start[sampled]!;
  return start + 1 === reading.end[sampled] ? stateOf(buffer[start]!) : UNKNOWN;
}

/** The state that stands behind a dash at `p`, alone or in front of another dash. */
function stateAt(from: Uint8Array, p: number, end: number): number {
  if (p + 1 >= end || from[p] !== CHAR.minus) return UNKNOWN;
  return p + 2 === end || from[p + 2] === CHAR.minus ? stateOf(from[p + 1]!) : UNKNOWN;
}

/** 0, 1, d (debug). */
function stateOf(c: number): number {
  if (c === CHAR.one || (c | 0x20) === 0x64) return 1;
  return c === CHAR.zero ? 0 : UNKNOWN;
}
