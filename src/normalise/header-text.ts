import { CHAR, indexOf, lower } from "./ascii.ts";

/** A configured name in lower case, and the constants that note it in Redactions, by place: Redactions never holds what a record says. */
export interface Name {
  readonly bytes: Uint8Array;
  readonly notes: readonly number[];
}

/** May the byte stand in the name of a header? */
export function isWordByte(c: number): boolean {
  const letter = c | 0x20;
  return (
    (letter >= 0x61 && letter <= 0x7a) ||
    (c >= 0x30 && c <= 0x39) ||
    c === CHAR.minus ||
    c === CHAR.underscore
  );
}

/** The name that stands as a word at `p`; `_` and `-` are alike. */
export function nameAt(
  names: readonly Name[],
  from: Uint8Array,
  p: number,
  end: number,
): Name | undefined {
  for (const name of names) {
    const { bytes } = name;
    if (p + bytes.length > end) continue;
    let i = 0;
    while (i < bytes.length && sameHeaderByte(from[p + i]!, bytes[i]!)) i++;
    if (i === bytes.length && (p + i === end || !isWordByte(from[p + i]!))) return name;
  }
  return undefined;
}

function sameHeaderByte(a: number, b: number): boolean {
  const c = lower(a);
  return (
    c === b ||
    (c === CHAR.underscore && b === CHAR.minus) ||
    (c === CHAR.minus && b === CHAR.underscore)
  );
}

/** Where the value behind a header's name begins, or -1 when neither `:` nor `=` follows the name. */
export function startOfHeaderValue(from: Uint8Array, start: number, end: number): number {
  let p = start;
  while (
    p < end &&
    (from[p] === CHAR.backslash || from[p] === CHAR.quote || from[p] === CHAR.bracketClose)
  )
    p++;
  while (p < end && from[p] === CHAR.space) p++;
  if (p >= end || (from[p] !== CHAR.colon && from[p] !== CHAR.equals)) return -1;
  p++;
  while (p < end && from[p] === CHAR.space) p++;
  return p < end && from[p] === CHAR.quote ? p + 1 : p;
}

/** A quoted value ends before its closing quote, any other at the end of the line. */
export function endOfHeaderValue(from: Uint8Array, start: number, end: number): number {
  if (from[start - 1] === CHAR.quote) {
    for (let p = start; p < end; p++) {
      if (from[p] === CHAR.backslash) p++;
      else if (from[p] === CHAR.quote) return p;
    }
    return end;
  }
  const line = indexOf(from, CHAR.newline, start, end);
  return line < 0 ? end : line;
}
