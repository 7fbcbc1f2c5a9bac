/** Byte strings compared and searched in place: nothing here makes a string. Ranges are [start, end). */

export const CHAR = {
  newline: 0x0a,
  carriageReturn: 0x0d,
  space: 0x20,
  quote: 0x22,
  hash: 0x23,
  percent: 0x25,
  ampersand: 0x26,
  plus: 0x2b,
  comma: 0x2c,
  minus: 0x2d,
  dot: 0x2e,
  slash: 0x2f,
  zero: 0x30,
  one: 0x31,
  nine: 0x39,
  colon: 0x3a,
  semicolon: 0x3b,
  less: 0x3c,
  equals: 0x3d,
  greater: 0x3e,
  question: 0x3f,
  at: 0x40,
  bracketOpen: 0x5b,
  backslash: 0x5c,
  bracketClose: 0x5d,
  underscore: 0x5f,
  braceOpen: 0x7b,
  pipe: 0x7c,
  braceClose: 0x7d,
} as const;

/** The bytes of a constant text. */
export function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "utf8"));
}

/** Does the range begin with `prefix`? */
export function startsWith(
  from: Uint8Array,
  start: number,
  end: number,
  prefix: Uint8Array,
): boolean {
  const length = prefix.length;
  if (end - start < length) return false;
  for (let i = 0; i < length; i++) if (from[start + i] !== prefix[i]) return false;
  return true;
}

/** Is the range `text`? */
export function equalsText(
  from: Uint8Array,
  start: number,
  end: number,
  text: Uint8Array,
): boolean {
  return end - start === text.length && startsWith(from, start, end, text);
}

/** Do two ranges hold the same bytes? */
export function equalRanges(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false;
  for (let i = aStart, j = bStart; i < aEnd; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}

/** Is the range `text`, upper and lower case alike? `text` is lower case. */
export function equalsIgnoringCase(
  from: Uint8Array,
  start: number,
  end: number,
  text: Uint8Array,
): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (lower(from[start + i]!) !== text[i]) return false;
  return true;
}

/** Position of the first `byte` in the range, or -1. */
export function indexOf(from: Uint8Array, byte: number, start: number, end: number): number {
  for (let i = start; i < end; i++) if (from[i] === byte) return i;
  return -1;
}

/** Position of the first `text` in the range, or -1. */
export function indexOfText(
  from: Uint8Array,
  text: Uint8Array,
  start: number,
  end: number,
): number {
  const last = end - text.length;
  for (let i = start; i <= last; i++)
    if (from[i] === text[0] && startsWith(from, i, end, text)) return i;
  return -1;
}

/** Does the range hold `text`, upper and lower case alike? `text` is lower case. */
export function containsIgnoringCase(
  from: Uint8Array,
  start: number,
  end: number,
  text: Uint8Array,
): boolean {
  const last = end - text.length;
  for (let i = start; i <= last; i++)
    if (equalsIgnoringCase(from, i, i + text.length, text)) return true;
  return false;
}

/** Is the range a bare dash, which stands for nothing in access logs? */
export function isDash(from: Uint8Array, start: number, end: number): boolean {
  return end - start === 1 && from[start] === CHAR.minus;
}

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** An upper-case ASCII letter as lower case; any other byte as it is. */
export function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

/** Value of each byte as a hex digit of either case; -1 for other bytes. */
const HEX_VALUES = Int8Array.from({ length: 256 }, (_, byte) =>
  "0123456789abcdef".indexOf(String.fromCharCode(byte).toLowerCase()),
);

/** Value of a hex digit of either case, or -1. */
export function hexValue(byte: number): number {
  return HEX_VALUES[byte]!;
}

/** Is every byte of the range one of 0-9 a-f? */
export function isLowerHex(from: Uint8Array, start: number, end: number): boolean {
  // Upper-case letters are the only hex digits without the bit of 0x20.
  for (let i = start; i < end; i++)
    if (HEX_VALUES[from[i]!]! < 0 || (from[i]! & 0x20) === 0) return false;
  return true;
}

/** Is every byte of the range a hex digit of either case? */
export function isHex(from: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (HEX_VALUES[from[i]!]! < 0) return false;
  return true;
}

/** Is every byte of the range an ASCII zero? */
export function isZeros(from: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (from[i] !== 0x30) return false;
  return true;
}

/** Is every byte of the range, which is not empty, a decimal digit? */
export function isDigits(from: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (!isDigit(from[i]!)) return false;
  return start < end;
}
