import { CHAR } from "../ascii.ts";

/**
 * Where the value behind a name ends. All take the text with the levels of percent-encoding of its bytes (null: none), and none of them stops at a byte
 * that is encoded oftener than `level`, that of the `=` or `:` in front: `token=a%26b` is one value. When in doubt they take more, never less.
 */

const APOSTROPHE = 0x27;
const LETTER_N = 0x6e;
const LETTER_R = 0x72;

/** What kind of text a value stands in; bits. */
export const CONTEXT = {
  /** Blanks and quotation marks end a value: not so in Path and Query, which are one URL. */
  text: 1,
  /** A slash ends a value. */
  path: 2,
  /** Names who acted: an e-mail address stays. */
  identity: 4,
  /** Host and port, with whatever stands in front of an `@`. */
  authority: 8,
  /** The value is a header's, in which semicolons and slashes are common. */
  header: 16,
  /** An object in it is a query that was taken apart. */
  query: 32,
} as const;

/**
 * The value of a parameter: up to `&`; to `;` or `#` when another `name=` follows; in a path to `/`; in a text to a blank or the end of the string around it.
 * A query has no blanks and no quotation marks: behind one of these a semicolon is not its own.
 */
export function endOfParameter(
  from: Uint8Array,
  levels: Uint8Array | null,
  start: number,
  end: number,
  level: number,
  context: number,
): number {
  const isText = (context & CONTEXT.text) !== 0;
  const isHeader = (context & CONTEXT.header) !== 0;
  const isPath = (context & CONTEXT.path) !== 0;
  let isUrl = true;
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    if (levels !== null && levels[p]! > level) continue;
    if (c === CHAR.ampersand || (isPath && isUrl && c === CHAR.slash)) return p;
    if (c === CHAR.semicolon || c === CHAR.hash) {
      if (isUrl && !isHeader && nameFollows(from, p + 1, end)) return p;
    } else if (c <= CHAR.space || isQuote(c)) isUrl = false;
    if (!isText) continue;
    if (c <= CHAR.space) return p;
    if (isQuote(c) && endsString(from, p + 1, end)) return behindBackslashes(from, start, p);
  }
  return end;
}

/**
 * The end of a header's value: with `quote` 0 that of the line, or of the string that the line stands in; else the quotation mark that a log wrote behind it. Strings
 * of its own, `Digest username="bob", response="…"`, do not end it: a log need not escape them.
 */
export function endOfHeader(from: Uint8Array, start: number, end: number, quote: number): number {
  let inner = 0;
  let innerSlashes = 0;
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    if (quote === 0 && isLineEnd(from, p)) return p;
    if (inner !== 0 ? c !== inner : quote === 0 ? !isQuote(c) : c !== quote) continue;
    const before = behindBackslashes(from, start, p);
    const slashes = p - before;
    if (inner !== 0) {
      if (slashes > innerSlashes) continue;
      inner = 0;
      if (slashes === innerSlashes) continue;
    } else if (
      from[before - 1] === CHAR.equals &&
      before > start &&
      !endsString(from, p + 1, end)
    ) {
      inner = c;
      innerSlashes = slashes;
      continue;
    }
    if (quote === 0 ? endsString(from, p + 1, end) : slashes === 0) return before;
  }
  return end;
}

/** A line break, or JSON's escape of one. */
function isLineEnd(from: Uint8Array, p: number): boolean {
  const c = from[p]!;
  if (c === CHAR.newline || c === CHAR.carriageReturn) return true;
  return c === CHAR.backslash && (from[p + 1] === LETTER_N || from[p + 1] === LETTER_R);
}

/** The unquoted value of a key: one word. */
export function endOfWord(from: Uint8Array, start: number, end: number): number {
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    if (c <= CHAR.space) return p;
    if (isQuote(c) && endsString(from, p + 1, end)) return behindBackslashes(from, start, p);
  }
  return end;
}

/** A number of JSON, or whatever else stands there unquoted. */
export function endOfScalar(from: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && from[p]! > CHAR.space && from[p] !== CHAR.comma && !closes(from[p]!)) p++;
  return p;
}

/**
 * The end of a string whose opening mark `quote` stands behind `slashes` backslashes, which is how deep it is nested: inside of such a string a mark of
 * its own stands behind as many more. Without an end it goes to the end of the text.
 */
export function endOfString(
  from: Uint8Array,
  levels: Uint8Array | null,
  start: number,
  end: number,
  quote: number,
  slashes: number,
  level: number,
): number {
  let run = 0;
  for (let p = start; p < end; p++) {
    if (from[p] === CHAR.backslash) run++;
    else if (
      from[p] === quote &&
      run % (2 * (slashes + 1)) === slashes &&
      (levels === null || levels[p]! <= level)
    )
      return p - slashes;
    else run = 0;
  }
  return end;
}

/** Behind the bracket that closes the one at `start`, brackets within strings left out. */
export function endOfNested(
  from: Uint8Array,
  levels: Uint8Array | null,
  start: number,
  end: number,
  slashes: number,
  level: number,
): number {
  let depth = 0;
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    if (c === CHAR.quote) p = endOfString(from, levels, p + 1, end, c, slashes, level) + slashes;
    else if (c === CHAR.braceOpen || c === CHAR.bracketOpen) depth++;
    else if (closes(c) && --depth === 0) return p + 1;
  }
  return end;
}

/** The first brace behind the one at `start`, strings left out: what stands between the two are members whose values are no objects. */
export function endOfFlat(
  from: Uint8Array,
  levels: Uint8Array | null,
  start: number,
  end: number,
  slashes: number,
  level: number,
): number {
  for (let p = start + 1; p < end; p++) {
    const c = from[p]!;
    if (c === CHAR.quote) p = endOfString(from, levels, p + 1, end, c, slashes, level) + slashes;
    else if (c === CHAR.braceOpen || c === CHAR.braceClose) return p;
  }
  return end;
}

export function isQuote(c: number): boolean {
  return c === CHAR.quote || c === APOSTROPHE;
}

/** A name with its `=`. Behind a blank it is not a query's, but a cookie's. */
function nameFollows(from: Uint8Array, start: number, end: number): boolean {
  if (start < end && from[start]! <= CHAR.space) return false;
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    if (c === CHAR.equals) return p > start;
    if (c === CHAR.ampersand || c === CHAR.semicolon || c === CHAR.hash) return false;
  }
  return false;
}

/** Does a quotation mark in front of `p` end a string? */
export function endsString(from: Uint8Array, p: number, end: number): boolean {
  if (p >= end) return true;
  const c = from[p]!;
  return c <= CHAR.space || c === CHAR.comma || c === CHAR.backslash || closes(c);
}

/**
 * Is the quotation mark at `at`, behind `slashes` backslashes and a name with its `=`, the end of a string of JSON in which the name stands, and not the start of the value?
 * Cost: looks back as far as the mark before it, so that all such looks together take each byte once.
 */
export function closesString(
  from: Uint8Array,
  floor: number,
  nameStart: number,
  at: number,
  slashes: number,
  end: number,
): boolean {
  if (!endsString(from, at + 1, end)) return false;
  let p = nameStart;
  while (p > floor && from[p - 1] !== from[at]) p--;
  if (p === floor) return false;
  let before = behindBackslashes(from, floor, p - 1);
  if (p - 1 - before !== slashes) return false;
  while (before > floor && from[before - 1]! <= CHAR.space) before--;
  return before === floor || opensString(from[before - 1]!);
}

/** Can JSON have a string behind this byte? */
function opensString(c: number): boolean {
  return c === CHAR.colon || c === CHAR.comma || c === CHAR.braceOpen || c === CHAR.bracketOpen;
}

function closes(c: number): boolean {
  return c === CHAR.braceClose || c === CHAR.bracketClose || c === 0x29;
}

function behindBackslashes(from: Uint8Array, start: number, p: number): number {
  while (p > start && from[p - 1] === CHAR.backslash) p--;
  return p;
}
