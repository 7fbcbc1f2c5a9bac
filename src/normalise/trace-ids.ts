import { ACCESS, type AccessDraft, SOURCES } from "../records/access-draft.ts";
import { ascii, CHAR, isDigit, isHex, isLowerHex, isZeros, lower } from "./ascii.ts";
import type { Reading } from "./reading.ts";
import { varintHigh, varintLow } from "./varint.ts";

/** Hex digits of the IDs. */
export const TRACE_ID = 32;
export const SPAN_ID = 16;
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
/** Decimal digits of 2^64. */
const MAX_DECIMAL = 20;

/** A binary ID of the record as hex in scratch. False when it is absent or all zeros, which is invalid. */
export function setBinaryId(
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
export function setId(reading: Reading, column: number, field: number, digits: number): boolean {
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

/** Hex digits of either case, as many as an ID has or half of a trace ID's. */
export function setHexId(
  reading: Reading,
  column: number,
  start: number,
  end: number,
  digits: number,
): boolean {
  const { buffer, draft } = reading;
  const length = end - start;
  if (length !== digits && !(digits === TRACE_ID && length === SPAN_ID)) return false;
  if (length !== digits || !isLowerHex(buffer, start, end))
    return setShortHexId(reading, column, start, end, digits);
  if (isZeros(buffer, start, end)) return false;
  draft.setText(column, start, end);
  return true;
}

/** Hex digits of either case, at most as many as an ID has: zeros in front may be left away. */
export function setShortHexId(
  reading: Reading,
  column: number,
  start: number,
  end: number,
  digits: number,
): boolean {
  const { buffer, draft } = reading;
  const length = end - start;
  if (length > digits || !isHex(buffer, start, end) || isZeros(buffer, start, end)) return false;
  const from = beginHex(draft, digits);
  appendZeros(draft, digits - length);
  appendLower(draft, buffer, start, end);
  draft.setScratch(column, from, draft.scratchEnd);
  return true;
}

/** A trace ID whose digits stand in pieces of hex: two ranges side by side. */
export function setHexPieces(
  reading: Reading,
  start: number,
  end: number,
  nextStart: number,
  nextEnd: number,
): boolean {
  const { buffer, draft } = reading;
  if (
    !isHex(buffer, start, end) ||
    !isHex(buffer, nextStart, nextEnd) ||
    (isZeros(buffer, start, end) && isZeros(buffer, nextStart, nextEnd))
  )
    return false;
  const from = beginHex(draft, TRACE_ID);
  appendLower(draft, buffer, start, end);
  appendLower(draft, buffer, nextStart, nextEnd);
  draft.setScratch(ACCESS.TraceId, from, draft.scratchEnd);
  return true;
}

/**
 * An unsigned number of 64 bits in decimal as an ID, filled with zeros from the left, or with the 16 hex digits at `high` where that is not negative.
 * False when it is none, or zero.
 */
export function setDecimalId(
  reading: Reading,
  column: number,
  start: number,
  end: number,
  digits: number,
  high = -1,
): boolean {
  const { buffer } = reading;
  if (start >= end || end - start > MAX_DECIMAL) return false;
  let upper = 0;
  let below = 0;
  for (let p = start; p < end; p++) {
    const c = buffer[p]!;
    if (!isDigit(c)) return false;
    below = below * 10 + (c - CHAR.zero);
    upper = upper * 10 + Math.floor(below / 2 ** 32);
    below %= 2 ** 32;
    if (upper >= 2 ** 32) return false;
  }
  return setWords(reading, column, upper, below, digits, high);
}

/** The same of an int attribute, whose varint is at `start`; above 2^63 - 1 it was sent as a negative number. */
export function setIntId(
  reading: Reading,
  column: number,
  start: number,
  digits: number,
  high = -1,
): boolean {
  const { buffer } = reading;
  const upper = varintHigh(buffer, start);
  return setWords(reading, column, upper, varintLow(buffer, start), digits, high);
}

/** Two words of 32 bits as an ID, behind zeros or the 16 hex digits at `high`. False when both are zero. */
function setWords(
  { buffer, draft }: Reading,
  column: number,
  upper: number,
  below: number,
  digits: number,
  high: number,
): boolean {
  if (upper === 0 && below === 0) return false;
  const from = beginHex(draft, digits);
  if (digits === TRACE_ID && high >= 0) appendLower(draft, buffer, high, high + SPAN_ID);
  else appendZeros(draft, digits - SPAN_ID);
  appendWord(draft, upper);
  appendWord(draft, below);
  draft.setScratch(column, from, draft.scratchEnd);
  return true;
}

/** An ID in base64, with its padding: what protobuf's general JSON mapping makes of bytes. */
function setBase64Id(
  reading: Reading,
  column: number,
  start: number,
  end: number,
  digits: number,
): boolean {
  const { buffer, draft } = reading;
  if (end - start !== Math.ceil(digits / 6) * 4) return false;
  const bytes = appendBase64(draft, buffer, start, end);
  if (bytes < 0 || draft.scratchEnd - bytes !== digits / 2) return false;
  draft.reserve(digits);
  return setBinaryId(draft, column, draft.scratch, bytes, digits);
}

/** Appends what [start, end) says in base64 to scratch, and returns where it begins there; -1 for what is not base64. Source: RFC 4648, section 4. */
export function appendBase64(
  draft: AccessDraft,
  from: Uint8Array,
  start: number,
  end: number,
): number {
  let stop = end;
  while (stop > start && end - stop < 2 && from[stop - 1] === CHAR.equals) stop--;
  if ((end - start) % 4 !== 0) return -1;
  draft.reserve(end - start);
  let at = draft.scratchEnd;
  let bits = 0;
  let count = 0;
  for (let p = start; p < stop; p++) {
    const value = BASE64_VALUES[from[p]!]!;
    if (value < 0) return -1;
    bits = (bits << 6) | value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    draft.scratch[at++] = bits >>> count;
    bits &= (1 << count) - 1;
  }
  // Bits left over are zero, and as many as the padding says.
  if (bits !== 0 || count !== 2 * (end - stop)) return -1;
  const begin = draft.scratchEnd;
  draft.scratchEnd = at;
  return begin;
}

/** Does the column hold these digits, in whatever case they are? */
export function holdsId(
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

/** Makes room for the digits, and returns where they begin. */
function beginHex(draft: AccessDraft, digits: number): number {
  draft.reserve(digits);
  return draft.scratchEnd;
}

function appendZeros(draft: AccessDraft, count: number): void {
  draft.scratch.fill(CHAR.zero, draft.scratchEnd, draft.scratchEnd + count);
  draft.scratchEnd += count;
}

/** Eight hex digits. */
function appendWord(draft: AccessDraft, word: number): void {
  for (let shift = 28; shift >= 0; shift -= 4)
    draft.scratch[draft.scratchEnd++] = HEX_DIGITS[(word >>> shift) & 0xf]!;
}

function appendLower(draft: AccessDraft, from: Uint8Array, start: number, end: number): void {
  for (let p = start; p < end; p++) draft.scratch[draft.scratchEnd++] = lower(from[p]!);
}
