import { VALUE_TYPES } from "../records/attributes.ts";
import { CHAR, isDigit } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";

/** What the readers below answer for what is not a number, or none that fits: absent in every column that can be zero. */
export const NO_NUMBER = -1;
/** Decimal digits that a double holds exactly. */
const MAX_DIGITS = 15;
/** Durations end here: Int64. Whole milliseconds stay exact up to it, since 10^6 has six factors of two. */
const MAX_DURATION_NS = 2 ** 63 - 1024;

/** The field as a whole number of at most `max`, or NO_NUMBER and the record is read in part. */
export function readInteger(reading: Reading, field: number, max: number): number {
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  const type = reading.type[field]!;
  const value =
    type === VALUE_TYPES.string
      ? parseInteger(reading.buffer, start, end)
      : typedNumber(reading.buffer, type, start);
  if (value >= 0 && value <= max && Number.isInteger(value)) return value;
  reading.partial = true;
  return NO_NUMBER;
}

/**
 * The field in nanoseconds, or NO_NUMBER and the record is read in part. A number without unit counts `unitNs`;
 * units are Go's (`15ms`, `0.5s`, `250us`).
 */
export function readDuration(reading: Reading, field: number, unitNs: number): number {
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  const type = reading.type[field]!;
  const value =
    type === VALUE_TYPES.string
      ? parseDuration(reading.buffer, start, end, unitNs)
      : Math.round(typedNumber(reading.buffer, type, start) * unitNs);
  if (value >= 0 && value <= MAX_DURATION_NS) return value;
  reading.partial = true;
  return NO_NUMBER;
}

/** gRPC status codes by the letters of their names, in order of the numbers (grpc, doc/statuscodes.md). */
const GRPC_CODES = [
  "ok",
  "canceled",
  "unknown",
  "invalidargument",
  "deadlineexceeded",
  "notfound",
  "alreadyexists",
  "permissiondenied",
  "resourceexhausted",
  "failedprecondition",
  "aborted",
  "outofrange",
  "unimplemented",
  "internal",
  "unavailable",
  "dataloss",
  "unauthenticated",
].map((name) => Uint8Array.from(Buffer.from(name)));
const MAX_INT16 = 0x7fff;

/** The field as a gRPC status: a number, or a name as `%GRPC_STATUS%` writes it (`DeadlineExceeded`, `DEADLINE_EXCEEDED`). */
export function readGrpcStatus(reading: Reading): number {
  const start = reading.start[FIELD.grpc_status]!;
  const end = reading.end[FIELD.grpc_status]!;
  if (reading.type[FIELD.grpc_status] === VALUE_TYPES.string && !isDigit(reading.buffer[start]!)) {
    for (let code = 0; code < GRPC_CODES.length; code++)
      if (hasLetters(reading.buffer, start, end, GRPC_CODES[code]!)) return code;
    // Envoy's spelling of code 1 has one l, gRPC's own has two.
    if (hasLetters(reading.buffer, start, end, CANCELLED)) return 1;
  }
  return readInteger(reading, FIELD.grpc_status, MAX_INT16);
}

const CANCELLED = Uint8Array.from(Buffer.from("cancelled"));

/** Is the range `letters`, without regard to case and underscores? */
function hasLetters(from: Uint8Array, start: number, end: number, letters: Uint8Array): boolean {
  let i = 0;
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    if (c === CHAR.underscore) continue;
    if (i === letters.length || (c | 0x20) !== letters[i]) return false;
    i++;
  }
  return i === letters.length;
}

/** A whole number; also one with a fraction of zeros, as Envoy 1.30 writes numbers into sorted JSON (`200.0`). */
export function parseInteger(from: Uint8Array, start: number, end: number): number {
  if (end - start > MAX_DIGITS) return NO_NUMBER;
  let value = 0;
  for (let i = start; i < end; i++) {
    const c = from[i]!;
    if (c === CHAR.dot && i > start && isZeros(from, i + 1, end)) return value;
    if (!isDigit(c)) return NO_NUMBER;
    value = value * 10 + (c - CHAR.zero);
  }
  return value;
}

function isZeros(from: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (from[i] !== CHAR.zero) return false;
  return start < end;
}

export function parseDuration(
  from: Uint8Array,
  start: number,
  end: number,
  defaultUnitNs: number,
): number {
  let p = start;
  let whole = 0;
  while (p < end && isDigit(from[p]!)) whole = whole * 10 + (from[p++]! - CHAR.zero);
  if (p === start || p - start > MAX_DIGITS) return NO_NUMBER;
  if (p === end) return whole * defaultUnitNs;
  let fraction = 0;
  let scale = 1;
  if (from[p] === CHAR.dot) {
    const first = ++p;
    for (; p < end && isDigit(from[p]!); p++) {
      if (p - first >= 9) continue;
      fraction = fraction * 10 + (from[p]! - CHAR.zero);
      scale *= 10;
    }
    if (p === first) return NO_NUMBER;
  }
  const unit = p === end ? defaultUnitNs : unitNs(from, p, end);
  return unit === 0 ? NO_NUMBER : whole * unit + Math.round((fraction * unit) / scale);
}

/** Nanoseconds of a unit: ns, us, µs, ms, s, m, h; 0 for any other text. */
function unitNs(from: Uint8Array, start: number, end: number): number {
  const last = from[end - 1]!;
  const length = end - start;
  if (length === 1) return last === 0x73 ? 1e9 : last === 0x6d ? 60e9 : last === 0x68 ? 3600e9 : 0;
  if (last !== 0x73) return 0;
  if (length === 2)
    return from[start] === 0x6d ? 1e6 : from[start] === 0x75 ? 1e3 : from[start] === 0x6e ? 1 : 0;
  // The micro sign is C2 B5 in UTF-8, the Greek letter mu CE BC.
  const micro =
    (from[start] === 0xc2 && from[start + 1] === 0xb5) ||
    (from[start] === 0xce && from[start + 1] === 0xbc);
  return length === 3 && micro ? 1e3 : 0;
}

/** An int or a double attribute; what is neither finite nor positive is NO_NUMBER. */
export function typedNumber(from: Uint8Array, type: number, start: number): number {
  return type === VALUE_TYPES.int ? readVarint(from, start) : readDouble(from, start);
}

/** A varint below 2^53; a negative number takes ten bytes and is no number here. */
function readVarint(from: Uint8Array, start: number): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 8; i++) {
    const byte = from[start + i]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value <= Number.MAX_SAFE_INTEGER ? value : NO_NUMBER;
    scale *= 0x80;
  }
  return NO_NUMBER;
}

const EXPONENT_BIAS = 1075;

/** A little-endian IEEE 754 double; what is not finite is no number here. (A DataView would be an object for each request body.) */
export function readDouble(from: Uint8Array, start: number): number {
  const low =
    (from[start]! |
      (from[start + 1]! << 8) |
      (from[start + 2]! << 16) |
      (from[start + 3]! << 24)) >>>
    0;
  const high =
    (from[start + 4]! |
      (from[start + 5]! << 8) |
      (from[start + 6]! << 16) |
      (from[start + 7]! << 24)) >>>
    0;
  const exponent = (high >>> 20) & 0x7ff;
  if (exponent === 0x7ff || high >>> 31 === 1) return NO_NUMBER;
  if (exponent === 0) return 0;
  return ((high & 0xfffff) * 0x1_0000_0000 + low + 2 ** 52) * 2 ** (exponent - EXPONENT_BIAS);
}
