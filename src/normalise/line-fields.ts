import { CHAR, indexOf, isDigit } from "./ascii.ts";

/** What fields of some classes hold, as line-format.ts lists them. Ranges are [start, end). */

/** Length of `22/Nov/2026:20:20:28 +0000`. */
const COMMON_TIME = 26;
const UPPER_T = 0x54;
const UPPER_Z = 0x5a;

/** Position behind a text in quotation marks, or behind a bare dash; -1 when neither stands at `p`. */
export function endOfQuoted(from: Uint8Array, p: number, limit: number): number {
  if (from[p] === CHAR.minus) return p + 1;
  if (from[p] !== CHAR.quote) return -1;
  const close = indexOf(from, CHAR.quote, p + 1, limit);
  return close < 0 ? -1 : close + 1;
}

/** Does the blank at `i` stand between two items of a list that begins at `start`, in `, ` or in ` : `? */
export function isWithinList(from: Uint8Array, start: number, i: number, end: number): boolean {
  if (i === start) return false;
  const before = from[i - 1]!;
  if (before === CHAR.comma) return true;
  if (before === CHAR.colon) return i - 2 >= start && from[i - 2] === CHAR.space;
  return i + 2 < end && from[i + 1] === CHAR.colon && from[i + 2] === CHAR.space;
}

/** May the byte stand in `2026-11-22T20:20:28.123Z`, or in one with an offset? */
export function isInstantByte(c: number): boolean {
  return (
    isDigit(c) ||
    c === CHAR.minus ||
    c === CHAR.colon ||
    c === CHAR.dot ||
    c === CHAR.plus ||
    c === UPPER_T ||
    c === UPPER_Z
  );
}

/** Has the range, of such bytes, the shape of a date and a time? */
export function isInstant(from: Uint8Array, start: number, end: number): boolean {
  return end - start >= 20 && from[start + 4] === CHAR.minus && from[start + 10] === UPPER_T;
}

/** Has the range the shape of `22/Nov/2026:20:20:28 +0000`? */
export function isCommonTime(from: Uint8Array, start: number, end: number): boolean {
  return (
    end - start === COMMON_TIME &&
    from[start + 2] === CHAR.slash &&
    from[start + 6] === CHAR.slash &&
    from[start + 11] === CHAR.colon &&
    from[start + 14] === CHAR.colon &&
    from[start + 17] === CHAR.colon &&
    from[start + 20] === CHAR.space
  );
}

/** Does the range end with a colon and digits? */
export function endsWithPort(from: Uint8Array, start: number, end: number): boolean {
  let p = end;
  while (p > start && isDigit(from[p - 1]!)) p--;
  return p < end && p - 1 > start && from[p - 1] === CHAR.colon;
}
