import { ascii, CHAR, equalsText, isDigit, lower } from "./ascii.ts";
import type { Expansion } from "./expansion.ts";
import { appendUnescaped } from "./escapes.ts";
import { JsonMembers } from "./json-members.ts";
import { LINE, type LineReader } from "./line.ts";

const TIME_KEY = ascii("time");
const LEVEL_KEY = ascii("level");
const SCOPE_KEY = ascii("scope");
const MESSAGE_KEY = ascii("message");
/** Longest key that is looked for behind a value. */
const MAX_KEY = 128;
const MAX_TIME = 40;
const MAX_PAIRS = 256;
const LEVELS = ["trace", "debug", "info", "warn", "error"].map(ascii);

/** One kind of line. */
export interface KeyValueHead {
  /** What stands between the level and the first pair: where the line was written, and what it says. */
  readonly scope: string;
  readonly message?: string;
  /** Keys of which a line must have one, where scope and message could be anybody's. */
  readonly marks?: readonly string[];
  /** A key that every whole line has, behind most others: a line without it was cut off. */
  readonly last?: string;
}

interface Head {
  readonly scope: Uint8Array;
  readonly message: Uint8Array;
  readonly marks: readonly Uint8Array[];
  readonly last: readonly Uint8Array[];
}

/**
 * Reads lines such as `2026-11-22T20:20:28.123456Z  info  access  connection complete  src.addr=10.0.0.1:80 error="…"`, as Rust's tracing writes them: time, level, scope and
 * message, with tabs or blanks between, and pairs. A value in quotation marks has escapes; a bare one ends where a blank and another key follow, so that it
 * may hold blanks; one that is an object or a list ends with its bracket, and members of an object get dotted names.
 * The time may be missing, since log tools like to cut it off. Of a line that was cut off a bare value at the end says nothing: more of it may have stood there.
 */
export class KeyValueLine implements LineReader {
  readonly firstBytes = new Uint8Array(256);
  readonly #heads: readonly Head[];
  readonly #json = new JsonMembers();
  #p = 0;
  #end = 0;
  /** Where the last pair stands among the attributes, if its value is bare; else -1. */
  #bareAt = -1;

  /** Of several heads the first that stands in a line counts. */
  constructor(heads: readonly KeyValueHead[]) {
    this.#heads = heads.map(({ scope, message = "", marks = [], last }) => ({
      scope: ascii(scope),
      message: ascii(message),
      marks: marks.map(ascii),
      last: last === undefined ? [] : [ascii(last)],
    }));
    for (let digit = 0x30; digit <= 0x39; digit++) this.firstBytes[digit] = 1;
    for (const level of LEVELS) this.firstBytes[level[0]!] = this.firstBytes[level[0]! - 0x20] = 1;
  }

  read(into: Expansion, start: number, end: number): number {
    this.#p = start;
    this.#end = end;
    const from = into.bytes;
    const time = start;
    if (isDigit(from[start]!)) {
      if (!this.#skipWord(from, MAX_TIME)) return LINE.foreign;
    }
    const timeEnd = this.#p;
    this.#skipBlanks(from);
    const level = this.#p;
    if (!LEVELS.some((word) => this.#skipText(from, word))) return LINE.foreign;
    const levelEnd = this.#p;
    if (!this.#skipBlanks(from)) return LINE.foreign;
    const head = this.#readHead(from);
    if (head === undefined) return LINE.foreign;
    if (timeEnd > time) this.#push(into, TIME_KEY, time, timeEnd);
    this.#push(into, LEVEL_KEY, level, levelEnd);
    this.#pushText(into, SCOPE_KEY, head.scope);
    if (head.message.length > 0) this.#pushText(into, MESSAGE_KEY, head.message);
    const first = into.attributes.count;
    const isWhole = this.#readPairs(into);
    if (!hasOneOf(into, first, head.marks)) return LINE.foreign;
    if (isWhole && hasOneOf(into, first, head.last)) return LINE.full;
    if (isWhole && this.#bareAt >= 0) into.attributes.count = this.#bareAt;
    return LINE.partial;
  }

  #readHead(from: Uint8Array): Head | undefined {
    const at = this.#p;
    for (const head of this.#heads) {
      this.#p = at;
      if (!this.#skipText(from, head.scope)) continue;
      if (this.#p < this.#end && from[this.#p] === CHAR.colon) this.#p++;
      if (!this.#skipBlanks(from)) continue;
      if (head.message.length === 0) return head;
      if (this.#skipText(from, head.message) && (this.#p === this.#end || this.#skipBlanks(from)))
        return head;
    }
    return undefined;
  }

  /** Pairs up to the end of the line; false when something else stands there. */
  #readPairs(into: Expansion): boolean {
    this.#bareAt = -1;
    for (let pairs = 0; this.#p < this.#end; pairs++) {
      const from = into.bytes;
      const key = this.#p;
      const equals = keyEnd(from, key, this.#end);
      if (equals < 0 || pairs === MAX_PAIRS) return false;
      this.#p = equals + 1;
      const first = this.#p < this.#end ? from[this.#p]! : 0;
      this.#bareAt = first === CHAR.quote ? -1 : into.attributes.count;
      if (first === CHAR.quote) {
        if (!this.#readQuoted(into, key, equals)) return false;
      } else {
        const start = this.#p;
        const isNested = first === CHAR.braceOpen || first === CHAR.bracketOpen;
        const isClosed = !isNested || this.#skipNested(from);
        this.#skipBare(from);
        if (first !== CHAR.braceOpen || !this.#readObject(into, key, equals, start))
          into.push(key, equals, start, this.#p);
        if (!isClosed) return false;
      }
      if (this.#p < this.#end && !this.#skipBlanks(from)) return false;
    }
    return true;
  }

  /** Makes the members of the object between `start` and here attributes under the key; false when it is none, or not wholly JSON. */
  #readObject(into: Expansion, key: number, keyEndAt: number, start: number): boolean {
    const { length } = into;
    const { count } = into.attributes;
    if (this.#json.read(into, start, this.#p, key, keyEndAt) === LINE.full) return true;
    into.rewind(length, count);
    return false;
  }

  #readQuoted(into: Expansion, key: number, keyEndAt: number): boolean {
    const from = into.bytes;
    const start = this.#p + 1;
    let hasEscape = false;
    let p = start;
    for (; p < this.#end && from[p] !== CHAR.quote; p++) {
      if (from[p] !== CHAR.backslash) continue;
      hasEscape = true;
      p++;
    }
    if (p >= this.#end) return false;
    this.#p = p + 1;
    if (!hasEscape) {
      into.push(key, keyEndAt, start, p);
      return true;
    }
    const at = into.length;
    appendUnescaped(into, start, p);
    into.push(key, keyEndAt, at, into.length);
    return true;
  }

  /** Moves behind an object or a list; false, and to the end of the line, when it is not closed. */
  #skipNested(from: Uint8Array): boolean {
    let depth = 0;
    let p = this.#p;
    for (; p < this.#end; p++) {
      const c = from[p]!;
      if (c === CHAR.quote) {
        for (p++; p < this.#end && from[p] !== CHAR.quote; p++) if (from[p] === CHAR.backslash) p++;
      } else if (c === CHAR.braceOpen || c === CHAR.bracketOpen) depth++;
      else if ((c === CHAR.braceClose || c === CHAR.bracketClose) && --depth === 0) {
        this.#p = p + 1;
        return true;
      }
    }
    this.#p = this.#end;
    return false;
  }

  /** Moves to the blank behind which another key stands, or to the end of the line. */
  #skipBare(from: Uint8Array): void {
    let p = this.#p;
    for (; p < this.#end; p++) {
      if (!isBlank(from[p]!)) continue;
      let next = p + 1;
      while (next < this.#end && isBlank(from[next]!)) next++;
      if (next === this.#end || keyEnd(from, next, this.#end) >= 0) break;
      p = next - 1;
    }
    this.#p = p;
  }

  /** Moves over a word of at most `max` bytes. */
  #skipWord(from: Uint8Array, max: number): boolean {
    const start = this.#p;
    while (this.#p < this.#end && !isBlank(from[this.#p]!)) this.#p++;
    return this.#p > start && this.#p - start <= max;
  }

  /** Moves over `text`, in either case, whose blanks stand for any blanks. */
  #skipText(from: Uint8Array, text: Uint8Array): boolean {
    let p = this.#p;
    for (const c of text) {
      if (p >= this.#end) return false;
      if (c === CHAR.space) {
        if (!isBlank(from[p]!)) return false;
        while (p < this.#end && isBlank(from[p]!)) p++;
      } else if (lower(from[p++]!) !== c) return false;
    }
    this.#p = p;
    return true;
  }

  #skipBlanks(from: Uint8Array): boolean {
    const start = this.#p;
    while (this.#p < this.#end && isBlank(from[this.#p]!)) this.#p++;
    return this.#p > start;
  }

  #push(into: Expansion, key: Uint8Array, start: number, end: number): void {
    const at = into.append(key, 0, key.length);
    into.push(at, into.length, start, end);
  }

  #pushText(into: Expansion, key: Uint8Array, text: Uint8Array): void {
    const at = into.append(text, 0, text.length);
    this.#push(into, key, at, at + text.length);
  }
}

/** Has one of the attributes from `first` on one of the keys, or is no key asked for? */
function hasOneOf(
  { bytes, attributes }: Expansion,
  first: number,
  keys: readonly Uint8Array[],
): boolean {
  const { keyStart, keyEnd, count } = attributes;
  for (let i = first; i < count; i++)
    for (const key of keys) if (equalsText(bytes, keyStart[i]!, keyEnd[i]!, key)) return true;
  return keys.length === 0;
}

function isBlank(c: number): boolean {
  return c === CHAR.space || c === 0x09;
}

/** Position of the `=` behind the key that begins at `p`, or -1 when none stands there. */
function keyEnd(from: Uint8Array, p: number, end: number): number {
  const limit = Math.min(end, p + MAX_KEY);
  for (let i = p; i < limit; i++) {
    const c = from[i]!;
    if (c === CHAR.equals) return i > p ? i : -1;
    const letter = c | 0x20;
    const mayStand =
      (letter >= 0x61 && letter <= 0x7a) ||
      isDigit(c) ||
      c === CHAR.dot ||
      c === CHAR.underscore ||
      c === CHAR.minus ||
      c === CHAR.colon;
    if (!mayStand) return -1;
  }
  return -1;
}
