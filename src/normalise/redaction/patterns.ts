/**
 * Patterns of users. A pattern is a sequence of items; each is a character, or a class of ASCII characters: `[a-z0-9_]`, `[^ ]`, `\d` (digit), `\w` (letter,
 * digit or _), `\h` (hex digit). A backslash before any other character stands for that character. `{n}`, `{n,m}`, `{n,}` and `+` repeat an item.
 *
 * There is one way to match: an item takes as much as it can, and what may follow an item that repeats must not be one of its own characters, which is
 * checked when the pattern is read. So nothing is ever tried twice from one place, and no place is looked at for more than MAX_LENGTH bytes.
 */

const MAX_LENGTH = 256;
const MAX_ITEMS = 64;
const SPECIAL = new Set("[]{}\\+*?.()|^$");

interface Item {
  /** 1 for each byte of the class. */
  readonly bytes: Uint8Array;
  readonly least: number;
  readonly most: number;
}

export class PatternError extends Error {}

export class Pattern {
  readonly #items: readonly Item[];

  /** Throws: PatternError when the text is no pattern, or one that could match in two ways. */
  constructor(text: string) {
    this.#items = parse(text);
  }

  /** Can a match begin with the byte? */
  startsWith(c: number): boolean {
    return this.#items[0]!.bytes[c] === 1;
  }

  /**
   * The end of the match at `p`, or -1. A match neither begins nor ends in the middle of a run of an item that repeats: `\d{9}` is nine digits, not nine of ten.
   */
  match(from: Uint8Array, p: number, end: number, floor: number): number {
    const items = this.#items;
    const first = items[0]!;
    if (first.most > 1 && p > floor && first.bytes[from[p - 1]!] === 1) return -1;
    let q = p;
    for (let i = 0; i < items.length; i++) {
      const { bytes, least, most } = items[i]!;
      const start = q;
      while (q < end && q - start < most && bytes[from[q]!] === 1) q++;
      if (q - start < least) return -1;
    }
    const last = items[items.length - 1]!;
    return last.most > 1 && q < end && last.bytes[from[q]!] === 1 ? -1 : q;
  }
}

function parse(text: string): Item[] {
  if (!/^[\x20-\x7e]+$/.test(text)) throw new PatternError("expected printable ASCII characters");
  const items: Item[] = [];
  let p = 0;
  while (p < text.length) {
    const [bytes, behind] = readClass(text, p);
    const [least, most, next] = readRepeat(text, behind);
    items.push({ bytes, least, most });
    p = next;
  }
  if (items.length > MAX_ITEMS) throw new PatternError(`expected at most ${MAX_ITEMS} items`);
  const least = items.reduce((sum, item) => sum + item.least, 0);
  if (least < 4) throw new PatternError("expected to match at least 4 characters");
  // What an open repetition may take is what the fixed items leave of MAX_LENGTH.
  const open = items.filter((item) => item.most === Infinity).length;
  const fixed = items.reduce(
    (sum, item) => sum + (item.most === Infinity ? item.least : item.most),
    0,
  );
  if (fixed > MAX_LENGTH)
    throw new PatternError(`expected to match at most ${MAX_LENGTH} characters`);
  items.slice(0, -1).forEach((item, i) => {
    const next = items[i + 1]!;
    if (item.least !== item.most && item.bytes.some((is, c) => is === 1 && next.bytes[c] === 1))
      throw new PatternError(
        `expected item ${i + 2} to share no character with item ${i + 1}, which repeats: otherwise it could match in several ways`,
      );
  });
  const room = open === 0 ? 0 : Math.floor((MAX_LENGTH - fixed) / open);
  return items.map((item) =>
    item.most === Infinity ? { ...item, most: item.least + room } : item,
  );
}

function readClass(text: string, p: number): [Uint8Array, number] {
  const c = text[p]!;
  if (c === "[") return readBrackets(text, p);
  const bytes = new Uint8Array(256);
  if (c === "\\") {
    const escaped = text[p + 1];
    if (escaped === undefined) throw new PatternError("expected a character behind \\ at the end");
    addEscaped(bytes, escaped);
    return [bytes, p + 2];
  }
  if (SPECIAL.has(c))
    throw new PatternError(
      `expected no ${c} at character ${p + 1}: as itself it is written \\${c}`,
    );
  bytes[c.charCodeAt(0)] = 1;
  return [bytes, p + 1];
}

function readBrackets(text: string, start: number): [Uint8Array, number] {
  const bytes = new Uint8Array(256);
  let p = start + 1;
  const isNegated = text[p] === "^";
  if (isNegated) p++;
  for (; p < text.length && text[p] !== "]"; p++) {
    if (text[p] === "\\") {
      addEscaped(bytes, text[++p] ?? "");
      continue;
    }
    const from = text.charCodeAt(p);
    let to = from;
    if (text[p + 1] === "-" && p + 2 < text.length && text[p + 2] !== "]") {
      to = text.charCodeAt(p + 2);
      p += 2;
      if (to < from)
        throw new PatternError(`expected a range from low to high in ${text.slice(start)}`);
    }
    bytes.fill(1, from, to + 1);
  }
  if (p >= text.length) throw new PatternError(`expected a ] for the [ at character ${start + 1}`);
  if (isNegated) for (let c = 0; c < 256; c++) bytes[c] = 1 - bytes[c]!;
  if (!bytes.includes(1)) throw new PatternError("expected a class with a character in it");
  return [bytes, p + 1];
}

function addEscaped(bytes: Uint8Array, c: string): void {
  if (c === "d" || c === "w" || c === "h") bytes.fill(1, 0x30, 0x3a);
  if (c === "w" || c === "h") {
    const last = c === "w" ? 26 : 6;
    bytes.fill(1, 0x41, 0x41 + last);
    bytes.fill(1, 0x61, 0x61 + last);
    if (c === "w") bytes[0x5f] = 1;
  } else if (c !== "d") {
    if (/^[a-z0-9]?$/i.test(c)) throw new PatternError(`expected \\d, \\w or \\h, got \\${c}`);
    bytes[c.charCodeAt(0)] = 1;
  }
}

function readRepeat(text: string, p: number): [least: number, most: number, next: number] {
  if (text[p] === "+") return [1, Infinity, p + 1];
  if (text[p] !== "{") return [1, 1, p];
  const match = /^\{(\d{1,3})(,(\d{0,3}))?\}/.exec(text.slice(p, p + 9));
  if (match === null)
    throw new PatternError(
      `expected {n}, {n,m} or {n,} at character ${p + 1}, as itself { is written \\{`,
    );
  const least = Number(match[1]);
  const most = match[2] === undefined ? least : match[3] === "" ? Infinity : Number(match[3]);
  if (least < 1 || most < least)
    throw new PatternError(`expected 1 or more in ${match[0]}, the lower number first`);
  return [least, most, p + match[0].length];
}
