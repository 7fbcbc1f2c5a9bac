import { ascii, CHAR, indexOf, indexOfText, isDash, isDigit, startsWith } from "./ascii.ts";
import { SPIFFE_SCHEME } from "./spiffe.ts";

/** What fields of some classes hold, as line-format.ts lists them. Ranges are [start, end). */

/** Length of `22/Nov/2026:20:20:28 +0000`. */
const COMMON_TIME = 26;
const UPPER_T = 0x54;
const LOWER_A = 0x61;
const LOWER_Z = 0x7a;
const UPPER_Z = 0x5a;
/** Source: Linkerd, `<service account>.<namespace>.serviceaccount.identity.<control plane>.<trust domain>`. */
const LINKERD_NAME = ascii(".serviceaccount.identity.");
const STATUS_DIGITS = 3;

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

/** Is the range a dash, a word with a colon (`10.2.3.4:8080`), or one with a slash, as sockets of the file system have it? */
export function isHost(from: Uint8Array, start: number, end: number): boolean {
  return (
    isDash(from, start, end) ||
    indexOf(from, CHAR.colon, start, end) >= 0 ||
    indexOf(from, CHAR.slash, start, end) >= 0
  );
}

/** Does the range name a workload as certificates of a mesh do? */
export function isIdentity(from: Uint8Array, start: number, end: number): boolean {
  return (
    startsWith(from, start, end, SPIFFE_SCHEME) || indexOfText(from, LINKERD_NAME, start, end) >= 0
  );
}

/** Are there words in lower case with underscores between, alone or with more of the matter in brackets or braces (`via_upstream`, `upstream_reset_before_response_started{…}`)? */
export function areDetails(from: Uint8Array, start: number, end: number): boolean {
  let underscores = 0;
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    if (c === CHAR.bracketOpen || c === CHAR.braceOpen) break;
    if (c === CHAR.underscore) underscores++;
    else if (!isDigit(c) && c !== CHAR.dot && (c < LOWER_A || c > LOWER_Z)) return false;
  }
  return underscores > 0;
}

/** Has each item of the list three digits, or is it a dash? */
export function areStatuses(from: Uint8Array, start: number, end: number): boolean {
  let digits = 0;
  for (let p = start; p <= end; p++) {
    if (p < end && isDigit(from[p]!)) digits++;
    else if (digits !== 0 && digits !== STATUS_DIGITS) return false;
    else digits = 0;
  }
  return true;
}
