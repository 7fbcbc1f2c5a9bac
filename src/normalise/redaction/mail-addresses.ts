import { CHAR, isDigit, lower } from "../ascii.ts";

/** Both begin at an `@`, and look from there to either side. Every look is bounded, so that a text of nothing but `@` costs no more than another. */

/** RFC 5321, section 4.5.3.1: local part and domain. */
const MAX_LOCAL = 64;
const MAX_DOMAIN = 255;
const MAX_USERINFO = 1024;
const AT = 0x40;
/** Beside letters, digits and what is not ASCII (RFC 6531); of RFC 5322's atext, what addresses have and what does not separate them in texts. */
const LOCAL = localBytes();

function localBytes(): Uint8Array {
  const table = Uint8Array.from({ length: 256 }, (_, c) => (isWord(c) ? 1 : 0));
  for (const c of Buffer.from("._%+-'!$*")) table[c] = 1;
  return table;
}

function isWord(c: number): boolean {
  const letter = lower(c);
  return (letter >= 0x61 && letter <= 0x7a) || isDigit(c) || c >= 0x80;
}

/** Where the local part of the address around the `@` at `p` begins, or -1. */
export function emailStart(from: Uint8Array, p: number, floor: number): number {
  const lowest = Math.max(floor, p - MAX_LOCAL);
  let q = p;
  while (q > lowest && LOCAL[from[q - 1]!] === 1) q--;
  while (q < p && from[q] === 0x27) q++; // a quotation mark around it
  return q === p ? -1 : q;
}

/** Where its domain ends, which has a dot and ends with letters; or -1. */
export function emailEnd(from: Uint8Array, p: number, end: number): number {
  const highest = Math.min(end, p + 1 + MAX_DOMAIN);
  let q = p + 1;
  let label = q;
  let dots = 0;
  let last = -1;
  for (; q <= highest; q++) {
    const c = q < highest ? from[q]! : 0;
    if (isWord(c) || c === CHAR.minus) continue;
    if (q === label) break;
    if (dots > 0 && q - label >= 2 && isTopLevel(from, label, q)) last = q;
    if (c !== CHAR.dot) break;
    dots++;
    label = q + 1;
  }
  return last;
}

function isTopLevel(from: Uint8Array, start: number, end: number): boolean {
  if (lower(from[start]!) === 0x78) return true; // xn--…
  for (let p = start; p < end; p++) if (!isWord(from[p]!) || isDigit(from[p]!)) return false;
  return true;
}

/** Where the user begins of the URL whose authority the `@` at `p` stands in, behind its `//`; or -1. */
export function userinfoStart(from: Uint8Array, p: number, floor: number): number {
  const lowest = Math.max(floor, p - MAX_USERINFO);
  let q = p;
  while (q > lowest && isUserinfo(from[q - 1]!)) q--;
  return q < p && q >= lowest + 2 && from[q - 1] === CHAR.slash && from[q - 2] === CHAR.slash
    ? q
    : -1;
}

/** The last `@` of the authority: a password may hold others. */
export function userinfoEnd(from: Uint8Array, p: number, end: number): number {
  const highest = Math.min(end, p + MAX_USERINFO);
  let last = p;
  for (let q = p + 1; q < highest && (isUserinfo(from[q]!) || from[q] === AT); q++)
    if (from[q] === AT) last = q;
  return last;
}

function isUserinfo(c: number): boolean {
  return (
    c > CHAR.space &&
    c !== CHAR.slash &&
    c !== CHAR.question &&
    c !== CHAR.hash &&
    c !== CHAR.quote &&
    c !== AT &&
    c !== CHAR.less &&
    c !== CHAR.greater
  );
}
