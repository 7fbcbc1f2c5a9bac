import { ACCESS, type AccessDraft, SOURCES } from "../records/access-draft.ts";
import { ascii, CHAR, hexValue, isHex, isLowerHex, isZeros, lower } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

/** Hex digits of the IDs. */
const TRACE_ID = 32;
const SPAN_ID = 16;
/** The two hex digits of each byte, the first in the high half. */
const HEX_PAIRS = Uint16Array.from({ length: 256 }, (_, byte) =>
  Buffer.from(byte.toString(16).padStart(2, "0")).readUInt16BE(),
);
const HEX_DIGITS = ascii("0123456789abcdef");
/** Value of each byte as a digit of base64; -1 for other bytes. */
const BASE64_VALUES = Int8Array.from({ length: 256 }, (_, byte) =>
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".indexOf(
    String.fromCharCode(byte),
  ),
);
const SAMPLED = 1;
const UNKNOWN = -1;

/** Length of a traceparent of version 00, and where its parts begin. Source: W3C Trace Context, section 3.2. */
const TRACEPARENT = { length: 55, traceId: 3, spanId: 36, flags: 53 } as const;

/**
 * TraceId, SpanId, ParentSpanId, TraceFlags, TraceSource and SampledHint: from the record's own fields, else traceparent, else B3, else attributes that hold IDs.
 * IDs stand on unsampled requests too; SampledHint says what is known of that.
 */
export function mapTrace(reading: Reading): void {
  const { draft, view } = reading;
  let sampled = UNKNOWN;
  const hasTrace = setBinaryId(draft, ACCESS.TraceId, view.buffer, view.traceIdOffset, TRACE_ID);
  const hasSpan = setBinaryId(draft, ACCESS.SpanId, view.buffer, view.spanIdOffset, SPAN_ID);
  if (hasTrace) {
    reading.say(ACCESS.TraceSource, WORD.field);
    draft.low[ACCESS.TraceFlags] = view.flags & 0xff;
    // Zero may mean that nobody set the flags.
    if ((view.flags & SAMPLED) !== 0) sampled = 1;
  } else if (
    !readTraceparent(reading, hasSpan) &&
    !readB3(reading, hasSpan) &&
    !readIds(reading, hasSpan)
  ) {
    reading.say(ACCESS.TraceSource, WORD.none);
  }
  if (reading.has(FIELD.traceparent) && isTraceparent(reading)) {
    sampled = Math.max(sampled, traceparentFlags(reading) & SAMPLED);
    takeRepeatedTraceparent(reading);
  } else if (sampled === UNKNOWN) sampled = sampledByB3(reading);
  if (sampled === UNKNOWN) sampled = sampledByRequestId(reading);
  draft.low[ACCESS.SampledHint] = sampled;
  if (hasTrace) takeRepeatedIds(reading);
}

/** A traceparent that only repeats what the columns hold is not kept twice. */
function takeRepeatedTraceparent(reading: Reading): void {
  const { draft, buffer } = reading;
  const start = traceparentStart(reading);
  if (!isVersion0(reading, start) || draft.low[ACCESS.TraceFlags] !== traceparentFlags(reading))
    return;
  if (!holdsText(draft, ACCESS.TraceId, buffer, start + TRACEPARENT.traceId, TRACE_ID)) return;
  if (holdsText(draft, ACCESS.SpanId, buffer, start + TRACEPARENT.spanId, SPAN_ID))
    reading.take(FIELD.traceparent);
}

/** IDs that stand in attributes as well as in the record's own fields are not kept twice. */
function takeRepeatedIds(reading: Reading): void {
  takeRepeated(reading, FIELD.trace_id, ACCESS.TraceId);
  takeRepeated(reading, FIELD.span_id, ACCESS.SpanId);
  setId(reading, ACCESS.ParentSpanId, FIELD.parent_span_id, SPAN_ID);
}

function takeRepeated(reading: Reading, field: number, column: number): void {
  const { draft, buffer, start, end } = reading;
  if (
    reading.has(field) &&
    holdsText(draft, column, buffer, start[field]!, end[field]! - start[field]!)
  )
    reading.take(field);
}

/** A binary ID as hex in scratch. False when it is absent or all zeros, which is invalid. */
function setBinaryId(
  draft: AccessDraft,
  column: number,
  from: Uint8Array,
  offset: number,
  digits: number,
): boolean {
  if (offset < 0) return false;
  const start = draft.scratchEnd;
  draft.reserve(digits);
  const to = draft.views[SOURCES.scratch]!;
  let any = 0;
  let at = start;
  for (let i = offset; i < offset + digits / 2; i++) {
    const byte = from[i]!;
    any |= byte;
    to.setUint16(at, HEX_PAIRS[byte]!);
    at += 2;
  }
  if (any === 0) return false;
  draft.scratchEnd = at;
  draft.setScratch(column, start, at);
  return true;
}

/** A field's hex digits as an ID, in lower case, filled with zeros from the left when there are half as many; or its base64. False when the field is no ID. */
function setId(reading: Reading, column: number, field: number, digits: number): boolean {
  if (!reading.has(field)) return false;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  if (
    !setHexId(reading, column, start, end, digits) &&
    !setBase64Id(reading, column, start, end, digits)
  )
    return false;
  reading.take(field);
  return true;
}

/** An ID in base64, with its padding: what protobuf's general JSON mapping makes of bytes. Source: RFC 4648, section 4. */
function setBase64Id(
  reading: Reading,
  column: number,
  start: number,
  end: number,
  digits: number,
): boolean {
  const { buffer, draft } = reading;
  if (end - start !== Math.ceil(digits / 6) * 4) return false;
  const from = draft.scratchEnd;
  draft.reserve(digits);
  let at = from;
  let any = 0;
  let bits = 0;
  let count = 0;
  let p = start;
  for (; at < from + digits; p++) {
    const value = BASE64_VALUES[buffer[p]!]!;
    if (value < 0) return false;
    any |= value;
    bits = (bits << 6) | value;
    for (count += 6; count >= 4 && at < from + digits; count -= 4)
      draft.scratch[at++] = HEX_DIGITS[(bits >>> (count - 4)) & 0xf]!;
    bits &= (1 << count) - 1;
  }
  // Bits left over are zero, and the rest is padding.
  if (bits !== 0 || any === 0) return false;
  for (; p < end; p++) if (buffer[p] !== CHAR.equals) return false;
  draft.scratchEnd = at;
  draft.setScratch(column, from, at);
  return true;
}

function setHexId(
  reading: Reading,
  column: number,
  start: number,
  end: number,
  digits: number,
): boolean {
  const { buffer, draft } = reading;
  const length = end - start;
  if (
    (length !== digits && !(digits === TRACE_ID && length === SPAN_ID)) ||
    !isHex(buffer, start, end) ||
    isZeros(buffer, start, end)
  )
    return false;
  if (length === digits && isLowerHex(buffer, start, end)) {
    draft.setText(column, start, end);
    return true;
  }
  const from = draft.scratchEnd;
  draft.reserve(digits);
  let at = from;
  while (at < from + digits - length) draft.scratch[at++] = CHAR.zero;
  for (let i = start; i < end; i++) draft.scratch[at++] = lower(buffer[i]!);
  draft.scratchEnd = at;
  draft.setScratch(column, from, at);
  return true;
}

function holdsText(
  draft: AccessDraft,
  column: number,
  from: Uint8Array,
  start: number,
  length: number,
): boolean {
  if (draft.isEmpty(column) || draft.end[column]! - draft.start[column]! !== length) return false;
  const bytes = draft.bytesOf(column);
  for (let i = 0, j = draft.start[column]!; i < length; i++, j++)
    if (bytes[j] !== lower(from[start + i]!)) return false;
  return true;
}

/** Optional white space around a header's value is not part of it (RFC 9110, section 5.5). */
function trimmedStart(from: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && (from[p] === CHAR.space || from[p] === 0x09)) p++;
  return p;
}

function trimmedEnd(from: Uint8Array, start: number, end: number): number {
  let p = end;
  while (p > start && (from[p - 1] === CHAR.space || from[p - 1] === 0x09)) p--;
  return p;
}

/** Source: W3C Trace Context, sections 3.2.2 (format) and 4.3 (higher versions are read as far as version 00 goes). */
function isTraceparent(reading: Reading): boolean {
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

function isVersion0(reading: Reading, start: number): boolean {
  return isZeros(reading.buffer, start, start + 2);
}

function traceparentStart(reading: Reading): number {
  return trimmedStart(
    reading.buffer,
    reading.start[FIELD.traceparent]!,
    reading.end[FIELD.traceparent]!,
  );
}

function traceparentFlags(reading: Reading): number {
  const { buffer } = reading;
  const at = traceparentStart(reading) + TRACEPARENT.flags;
  return hexValue(buffer[at]!) * 16 + hexValue(buffer[at + 1]!);
}

function readTraceparent(reading: Reading, hasSpan: boolean): boolean {
  if (!reading.has(FIELD.traceparent) || !isTraceparent(reading)) return false;
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

/** B3 in one header, `{trace}-{span}[-{sampled}[-{parent}]]`, or in several. Source: openzipkin/b3-propagation. */
function readB3(reading: Reading, hasSpan: boolean): boolean {
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
function sampledByB3(reading: Reading): number {
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

function readIds(reading: Reading, hasSpan: boolean): boolean {
  if (!setId(reading, ACCESS.TraceId, FIELD.trace_id, TRACE_ID)) return false;
  if (!hasSpan) setId(reading, ACCESS.SpanId, FIELD.span_id, SPAN_ID);
  setId(reading, ACCESS.ParentSpanId, FIELD.parent_span_id, SPAN_ID);
  reading.say(ACCESS.TraceSource, WORD.attribute);
  return true;
}

/** Length of a UUID, and the position of the digit in which Envoy packs why a request is traced: 9 sampled, a forced by the server, b by the client. */
const UUID = 36;
const TRACE_REASON = 14;

/** Source: Envoy, extensions/request_id/uuid/v3/uuid.proto, pack_trace_reason. Any other digit says nothing: packing may be off. */
function sampledByRequestId(reading: Reading): number {
  if (!reading.has(FIELD.request_id)) return UNKNOWN;
  const { buffer } = reading;
  const start = reading.start[FIELD.request_id]!;
  if (reading.end[FIELD.request_id]! - start !== UUID) return UNKNOWN;
  if (
    buffer[start + 8] !== CHAR.minus ||
    buffer[start + 13] !== CHAR.minus ||
    buffer[start + 18] !== CHAR.minus ||
    buffer[start + 23] !== CHAR.minus
  )
    return UNKNOWN;
  const reason = buffer[start + TRACE_REASON]! | 0x20;
  return reason === CHAR.nine || reason === 0x61 || reason === 0x62 ? 1 : UNKNOWN;
}
