import { ACCESS } from "../records/access-draft.ts";
import { CHAR, isHex, isZeros } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import { setHexId, setId, SPAN_ID, TRACE_ID } from "./trace-ids.ts";
import { WORD } from "./words.ts";

const SAMPLED = 1;
const UNKNOWN = -1;

/** B3 in one header, `{trace}-{span}[-{sampled}[-{parent}]]`, or in several. Source: openzipkin/b3-propagation. */
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
  if (
    spanEnd > end ||
    (spanEnd < end && buffer[spanEnd] !== CHAR.minus) ||
    !isHex(buffer, span, spanEnd) ||
    isZeros(buffer, span, spanEnd)
  )
    return false;
  if (!setHexId(reading, ACCESS.TraceId, start, span - 1, TRACE_ID)) return false;
  if (!hasSpan) setHexId(reading, ACCESS.SpanId, span, spanEnd, SPAN_ID);
  const parent = spanEnd + 3;
  if (parent + SPAN_ID === end && buffer[parent - 1] === CHAR.minus)
    setHexId(reading, ACCESS.ParentSpanId, parent, end, SPAN_ID);
  return true;
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
    const at = end - start === 1 ? start : start + traceLength(buffer, start, end) + SPAN_ID + 2;
    if (at < end && (at + 1 === end || buffer[at + 1] === CHAR.minus)) return stateOf(buffer[at]!);
  }
  if (reading.has(FIELD.x_b3_flags) && buffer[reading.start[FIELD.x_b3_flags]!] === CHAR.one)
    return 1;
  if (!reading.has(FIELD.x_b3_sampled)) return UNKNOWN;
  return stateOf(buffer[reading.start[FIELD.x_b3_sampled]!]!);
}

/** 0, 1, d (debug); older senders write true and false. */
function stateOf(c: number): number {
  const letter = c | 0x20;
  if (c === CHAR.one || letter === 0x64 || letter === 0x74) return 1;
  return c === CHAR.zero || letter === 0x66 ? 0 : UNKNOWN;
}
