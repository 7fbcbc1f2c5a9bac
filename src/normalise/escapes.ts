import { isUtf8 } from "node:buffer";
import { CHAR, hexValue } from "./ascii.ts";
import type { Expansion } from "./expansion.ts";

const REPLACEMENT_CHARACTER = 0xfffd;
const LOWER_U = 0x75;
const LOWER_X = 0x78;

/** Bytes that grow at their end: an expansion, or the scratch of a draft. */
export interface Appendable {
  /** Another array after an `append` or a `reserve` that had no room; positions stay. */
  readonly bytes: Uint8Array;
  reserve(count: number): void;
  appendByte(byte: number): void;
}

/**
 * Appends a range of the bytes to them, without their escapes: JSON's (RFC 8259, section 7), and those of Rust and nginx (`\\u{1f}`, `\\x22`, `\\'`), which JSON does not have.
 * False when there is another one: then what was appended means nothing.
 */
export function appendUnescaped(into: Appendable, start: number, end: number): boolean {
  into.reserve(end - start);
  for (let p = start; p < end;) {
    const { bytes } = into;
    const c = bytes[p++]!;
    if (c !== CHAR.backslash) {
      into.appendByte(c);
      continue;
    }
    if (p >= end) return false;
    const escape = bytes[p++]!;
    if (escape === LOWER_X) {
      const unit = hexNumber(bytes, p, p + 2, end);
      if (unit < 0) return false;
      into.appendByte(unit);
      p += 2;
    } else if (escape !== LOWER_U) {
      const plain = plainEscape(escape);
      if (plain < 0) return false;
      into.appendByte(plain);
    } else if (p < end && bytes[p] === CHAR.braceOpen) {
      let close = p + 1;
      while (close < end && close - p <= 7 && bytes[close] !== CHAR.braceClose) close++;
      const point = hexNumber(bytes, p + 1, close, end);
      if (point < 0 || bytes[close] !== CHAR.braceClose) return false;
      appendUtf8(into, isCharacter(point) ? point : REPLACEMENT_CHARACTER);
      p = close + 1;
    } else {
      const unit = hexNumber(bytes, p, p + 4, end);
      if (unit < 0) return false;
      p += 4;
      const hasLow =
        (unit & 0xfc00) === 0xd800 &&
        p + 6 <= end &&
        bytes[p] === CHAR.backslash &&
        bytes[p + 1] === LOWER_U;
      const low = hasLow ? hexNumber(bytes, p + 2, p + 6, end) : -1;
      if (low >= 0 && (low & 0xfc00) === 0xdc00) {
        p += 6;
        appendUtf8(into, 0x1_0000 + ((unit & 0x3ff) << 10) + (low & 0x3ff));
      } else appendUtf8(into, isCharacter(unit) ? unit : REPLACEMENT_CHARACTER);
    }
  }
  return true;
}

/**
 * Appends the bytes [start, end) of the expansion without nginx's escapes (`\x22`), which stand for single bytes. False when there is another escape, or when the bytes are
 * no UTF-8: then what was appended means nothing, and the text as it stands says more.
 */
export function appendWithoutHexEscapes(into: Expansion, start: number, end: number): boolean {
  const at = into.length;
  into.reserve(end - start);
  const { bytes } = into;
  for (let p = start; p < end; p++) {
    const c = bytes[p]!;
    if (c !== CHAR.backslash) {
      into.appendByte(c);
      continue;
    }
    const byte = bytes[p + 1] === LOWER_X ? hexNumber(bytes, p + 2, p + 4, end) : -1;
    if (byte < 0) return false;
    into.appendByte(byte);
    p += 3;
  }
  return isUtf8(into.bytes.subarray(at, into.length));
}

/** Appends the bytes [start, end) of the expansion with `\"` as `"`; a backslash in front of anything else is itself. */
export function appendWithoutQuoteEscapes(into: Expansion, start: number, end: number): boolean {
  into.reserve(end - start);
  const { bytes } = into;
  for (let p = start; p < end; p++) {
    if (bytes[p] === CHAR.backslash && p + 1 < end && bytes[p + 1] === CHAR.quote) p++;
    into.appendByte(bytes[p]!);
  }
  return true;
}

/** No half of a surrogate pair, and not beyond Unicode's end. */
function isCharacter(point: number): boolean {
  return (point & 0xff_f800) !== 0xd800 && point <= 0x10_ffff;
}

/** The hex digits [start, stop), at least one, not behind `end`; or -1. */
function hexNumber(from: Uint8Array, start: number, stop: number, end: number): number {
  if (stop > end || start >= stop) return -1;
  let value = 0;
  for (let i = start; i < stop; i++) {
    const digit = hexValue(from[i]!);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/** The byte that an escape of one character stands for, or -1. */
function plainEscape(c: number): number {
  switch (c) {
    case CHAR.quote:
    case CHAR.backslash:
    case CHAR.slash:
    case 0x27:
      return c;
    case 0x30:
      return 0;
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x6e:
      return 0x0a;
    case 0x72:
      return 0x0d;
    case 0x74:
      return 0x09;
    default:
      return -1;
  }
}

function appendUtf8(into: Appendable, point: number): void {
  if (point < 0x80) return into.appendByte(point);
  if (point < 0x800) into.appendByte(0xc0 | (point >> 6));
  else {
    if (point < 0x1_0000) into.appendByte(0xe0 | (point >> 12));
    else {
      into.appendByte(0xf0 | (point >> 18));
      into.appendByte(0x80 | ((point >> 12) & 0x3f));
    }
    into.appendByte(0x80 | ((point >> 6) & 0x3f));
  }
  into.appendByte(0x80 | (point & 0x3f));
}
