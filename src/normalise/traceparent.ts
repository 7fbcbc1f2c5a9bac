import { ACCESS } from "../records/access-draft.ts";
import { CHAR, hexValue, isLowerHex, isZeros } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import { holdsId, SPAN_ID, TRACE_ID } from "./trace-ids.ts";
import { WORD } from "./words.ts";

/** Length of a traceparent of version 00, and where its parts begin. Source: W3C Trace Context, section 3.2. */
const TRACEPARENT = { length: 55, traceId: 3, spanId: 36, flags: 53 } as const;

/** Source: W3C Trace Context, sections 3.2.2 (format) and 4.3 (higher versions are read as far as version 00 goes). */
export function isTraceparent(reading: Reading): boolean {
  if (!reading.has(FIELD.traceparent)) return false;
  const { buffer } = reading;
  const start = traceparentStart(reading);
  const end = trimmedEnd(buffer, start, reading.end[FIELD.traceparent]!);
  const length = end - start;
  if (length < TRACEPARENT.length || !isLowerHex(buffer, start, start + 2)) return false;
  if (buffer[start] === 0x66 && buffer[start + 1] === 0x66) return false; // ff
  if (
    length > TRACEPARENT.length &&
    (isVersion0(reading, start) || buffer[start + TRACEPARENT.length] !== CHAR.minus)
  )
    return false;
  const traceId = start + TRACEPARENT.traceId;
  const spanId = start + TRACEPARENT.spanId;
  const flags = start + TRACEPARENT.flags;
  return (
    buffer[traceId - 1] === CHAR.minus &&
    buffer[spanId - 1] === CHAR.minus &&
    buffer[flags - 1] === CHAR.minus &&
    isLowerHex(buffer, traceId, traceId + TRACE_ID) &&
    isLowerHex(buffer, spanId, spanId + SPAN_ID) &&
    isLowerHex(buffer, flags, flags + 2) &&
    !isZeros(buffer, traceId, traceId + TRACE_ID) &&
    !isZeros(buffer, spanId, spanId + SPAN_ID)
  );
}

export function traceparentFlags(reading: Reading): number {
  const { buffer } = reading;
  const at = traceparentStart(reading) + TRACEPARENT.flags;
  return hexValue(buffer[at]!) * 16 + hexValue(buffer[at + 1]!);
}

export function readTraceparent(reading: Reading, hasSpan: boolean): boolean {
  if (!isTraceparent(reading)) return false;
  const { draft } = reading;
  const start = traceparentStart(reading);
  draft.setText(
    ACCESS.TraceId,
    start + TRACEPARENT.traceId,
    start + TRACEPARENT.traceId + TRACE_ID,
  );
  if (!hasSpan)
    draft.setText(ACCESS.SpanId, start + TRACEPARENT.spanId, start + TRACEPARENT.spanId + SPAN_ID);
  draft.low[ACCESS.TraceFlags] = traceparentFlags(reading);
  reading.say(ACCESS.TraceSource, WORD.traceparent);
  return true;
}

/** SpanId from a traceparent that has the trace ID which is known already. */
export function readTraceparentSpan(reading: Reading): boolean {
  if (!isTraceparent(reading)) return false;
  const { draft, buffer } = reading;
  const start = traceparentStart(reading);
  const spanId = start + TRACEPARENT.spanId;
  if (!holdsId(draft, ACCESS.TraceId, buffer, start + TRACEPARENT.traceId, TRACE_ID)) return false;
  draft.setText(ACCESS.SpanId, spanId, spanId + SPAN_ID);
  return true;
}

/** A traceparent that only repeats what the columns hold is not kept twice. */
export function takeRepeatedTraceparent(reading: Reading): void {
  const { draft, buffer } = reading;
  const start = traceparentStart(reading);
  if (!isVersion0(reading, start) || draft.low[ACCESS.TraceFlags] !== traceparentFlags(reading))
    return;
  if (!holdsId(draft, ACCESS.TraceId, buffer, start + TRACEPARENT.traceId, TRACE_ID)) return;
  if (holdsId(draft, ACCESS.SpanId, buffer, start + TRACEPARENT.spanId, SPAN_ID))
    reading.take(FIELD.traceparent);
}

function isVersion0(reading: Reading, start: number): boolean {
  return isZeros(reading.buffer, start, start + 2);
}

/** Optional white space around a header's value is not part of it (RFC 9110, section 5.5). */
function traceparentStart(reading: Reading): number {
  const { buffer } = reading;
  const end = reading.end[FIELD.traceparent]!;
  let p = reading.start[FIELD.traceparent]!;
  while (p < end && isWhiteSpace(buffer[p]!)) p++;
  return p;
}

function trimmedEnd(from: Uint8Array, start: number, end: number): number {
  let p = end;
  while (p > start && isWhiteSpace(from[p - 1]!)) p--;
  return p;
}

function isWhiteSpace(c: number): boolean {
  return c === CHAR.space || c === 0x09;
}
