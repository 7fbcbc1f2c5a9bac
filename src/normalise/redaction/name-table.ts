import { CHAR, isDigit, lower } from "../ascii.ts";
import { KeyVerdicts, UNKNOWN } from "./key-verdicts.ts";

/** Where a name counts; an entry may have several. */
export const RULE = {
  /** `name=value`, the whole name. */
  parameter: 1,
  /** The same, but outside of Path and Query only where it is evidently a parameter. */
  urlParameter: 2,
  /** A key: the last word of a name, in front of `=` or `:`, or of an attribute. */
  key: 4,
  /** A header: as a key, anywhere among the words of an attribute's key, and its value in a text goes to the end of the line. */
  header: 8,
  /** Never redacted under exactly this name. */
  kept: 16,
  /** A key also where no word begins with it: `accesstoken`, `userpassword`. */
  ending: 32,
  /** The member of a pair that says what the other is, `{"name":"Cookie","value":"…"}`, and the other. */
  pairName: 64,
  pairValue: 128,
  /** What stands in the object or under the dotted name is a query that was taken apart, `parsed_query.code`. */
  query: 256,
} as const;

/** Of names that are no secrets, and stay what they are when a configuration keeps them. */
export const ROLES = RULE.pairName | RULE.pairValue | RULE.query;

export const ANY_RULE = RULE.parameter | RULE.urlParameter | RULE.key | RULE.header;

/** The attribute is that of a pair which another one names: `header.value`, beside `header.name`. */
export const PAIR_VALUE = -3;

interface Entry {
  readonly bytes: Uint8Array;
  /** What Redactions calls it. */
  readonly name: number;
  rules: number;
}

/** In SIGNIFICANT: the byte cannot stand in a name, or stands in one without meaning. */
const NO_NAME = 0;
const SEPARATOR = 1;
const HASH_BITS = 12;
/** Names are shorter, and values longer. */
export const MAX_WHOLE = 96;

/**
 * Names that are looked for from their end backwards, which is where a text says that it was one: at `=` or `:`. Letter case, `-` and `_` make no
 * difference. Cost: one step for each byte of the name, however many names there are.
 */
export class NameTable {
  /** Of each byte: itself in lower case, or NO_NAME, or SEPARATOR. */
  readonly #significant = new Uint8Array(256);
  /** 1 for the bytes that a name can end with: most colons stand behind another. */
  readonly ends = new Uint8Array(256);
  readonly #entries = new Map<number, Entry[]>();
  /** 1 for each hash that an entry has. */
  readonly #hashes = new Uint8Array(1 << HASH_BITS);
  readonly #lately = new KeyVerdicts();
  #longest = 0;
  /** RULE of the name found last, and where it begins. */
  rules = 0;
  start = 0;

  constructor() {
    for (let c = 0; c < 256; c++) {
      const letter = lower(c);
      if (
        (letter >= 0x61 && letter <= 0x7a) ||
        (c >= CHAR.zero && c <= CHAR.nine) ||
        c === CHAR.dot
      )
        this.#significant[c] = letter;
    }
    this.#significant[CHAR.minus] = this.#significant[CHAR.underscore] = SEPARATOR;
  }

  /** Adds a rule to a name; `number` is what Redactions calls it. */
  add(text: string, rule: number, number: number): void {
    const bytes = Buffer.from(text.toLowerCase().replaceAll(/[-_]/g, ""));
    if (bytes.length === 0) return;
    this.#lately.clear();
    for (const c of bytes) if (this.#significant[c] === NO_NAME) this.#significant[c] = c;
    // A blank in a query is a plus.
    if (bytes.includes(CHAR.space)) this.#significant[CHAR.plus] = CHAR.space;
    const hash = hashOf(bytes);
    const bucket = this.#entries.get(hash) ?? [];
    const known = bucket.find((entry) => Buffer.compare(entry.bytes, bytes) === 0);
    if (known !== undefined) known.rules |= rule;
    else bucket.push({ bytes, rules: rule, name: number });
    this.#entries.set(hash, bucket);
    this.#hashes[hash] = 1;
    this.#longest = Math.max(this.#longest, bytes.length);
    if ((rule & ROLES) !== 0) return;
    const last = bytes[bytes.length - 1]!;
    this.ends[last] = this.ends[String.fromCharCode(last).toUpperCase().charCodeAt(0)] = 1;
  }

  /** Can the byte stand in a name? */
  isNameByte(c: number): boolean {
    return this.#significant[c] !== NO_NAME;
  }

  /**
   * Number of the longest name with one of `rules` that ends at `end` and begins at a word at or behind `floor`, or -1. A word begins where the text does,
   * behind what cannot stand in a name, behind `.`, `-` and `_`, and with a capital behind a small letter or in front of one. A key may have a number: `password2`.
   */
  find(from: Uint8Array, floor: number, end: number, rules: number): number {
    let found = -1;
    let hash = 0;
    let length = 0;
    const lowest = Math.max(floor, end - 2 * this.#longest - 2);
    for (let p = end; p > lowest;) {
      const c = this.#significant[from[p - 1]!]!;
      if (c === NO_NAME) break;
      p--;
      if (c === SEPARATOR) continue;
      if (++length > this.#longest) break;
      hash = nextHash(hash, c);
      if (this.#hashes[hash] === 0) continue;
      const beginsWord = this.#beginsWord(from, floor, p);
      const isWhole = this.#isWhole(from, floor, p);
      for (const entry of this.#entries.get(hash)!) {
        if (!beginsWord && (entry.rules & RULE.ending) === 0) continue;
        if (!this.#equals(entry, from, p, end, length)) continue;
        const exact = RULE.parameter | RULE.urlParameter;
        let usable = entry.rules & rules & (isWhole ? ~0 : ~exact);
        if (isWhole && (entry.rules & RULE.kept) !== 0) {
          usable &= ROLES;
          if (usable === 0) return -1;
        }
        if (usable === 0) continue;
        found = entry.name;
        this.rules = usable;
        this.start = p;
      }
    }
    if (found >= 0 || end === floor || !isDigit(from[end - 1]!)) return found;
    let nameEnd = end;
    while (nameEnd > lowest && isNumberByte(from[nameEnd - 1]!)) nameEnd--;
    return nameEnd > lowest && (rules & RULE.key) !== 0
      ? this.find(from, floor, nameEnd, RULE.key)
      : -1;
  }

  /** Number of the name of a secret that the whole of [start, end) is, or -1: the word before a comma, or the value of a member. */
  findWhole(
    from: Uint8Array,
    start: number,
    end: number,
    rules: number = RULE.key | RULE.header,
  ): number {
    if (end - start > MAX_WHOLE || end === start || this.ends[from[end - 1]!] === 0) return -1;
    for (let p = start; p < end; p++)
      if (!this.isNameByte(from[p]!) || from[p] === CHAR.space) return -1;
    return this.find(from, start, end, rules);
  }

  /** Number of the name that makes the value of an attribute under the key [start, end) a secret; PAIR_VALUE when another attribute may, -1 when none does. */
  findInKey(from: Uint8Array, start: number, end: number): number {
    const known = this.#lately.find(from, start, end);
    if (known !== UNKNOWN) return known;
    const found = this.#lookAtKey(from, start, end);
    this.#lately.keep(from, start, end, found);
    return found;
  }

  #lookAtKey(from: Uint8Array, start: number, end: number): number {
    let last = end;
    while (last > start && this.#significant[from[last - 1]!] === NO_NAME) last--;
    const found = this.find(from, start, last, RULE.key | RULE.header);
    if (found >= 0) return found;
    const parameter = this.#findParameter(from, start, last);
    if (parameter >= 0) return parameter;
    for (let p = start; p < last; p++) {
      if (this.#significant[from[p]!] !== NO_NAME && from[p] !== CHAR.dot) continue;
      const header = this.find(from, start, p, RULE.header);
      if (header >= 0) return header;
    }
    return this.find(from, start, last, RULE.pairValue) >= 0 ? PAIR_VALUE : -1;
  }

  /** A parameter of a query that was taken apart: `parsed_query.code`, `query.code.0`. */
  #findParameter(from: Uint8Array, start: number, end: number): number {
    let nameEnd = end;
    while (nameEnd > start && (isDigit(from[nameEnd - 1]!) || from[nameEnd - 1] === CHAR.dot))
      nameEnd--;
    let dot = nameEnd - 1;
    while (dot > start && from[dot] !== CHAR.dot) dot--;
    if (this.find(from, start, dot, RULE.query) < 0) return -1;
    return this.find(from, dot + 1, nameEnd, RULE.parameter | RULE.urlParameter);
  }

  #beginsWord(from: Uint8Array, floor: number, p: number): boolean {
    if (this.#isWhole(from, floor, p)) return true;
    const before = from[p - 1]!;
    if (before === CHAR.dot || this.#significant[before] === SEPARATOR) return true;
    if (!isCapital(from[p]!)) return false;
    // `clientSecret`, `APIToken`
    return !isCapital(before) || (p + 1 < from.length && isSmall(from[p + 1]!));
  }

  #isWhole(from: Uint8Array, floor: number, p: number): boolean {
    if (p === floor) return true;
    const before = this.#significant[from[p - 1]!];
    return before === NO_NAME || before === CHAR.space;
  }

  #equals(entry: Entry, from: Uint8Array, start: number, end: number, length: number): boolean {
    const { bytes } = entry;
    if (bytes.length !== length) return false;
    for (let p = start, i = 0; p < end; p++) {
      const c = this.#significant[from[p]!]!;
      if (c !== SEPARATOR && c !== bytes[i++]) return false;
    }
    return true;
  }
}

function isCapital(c: number): boolean {
  return c >= 0x41 && c <= 0x5a;
}

function isSmall(c: number): boolean {
  return c >= 0x61 && c <= 0x7a;
}

/** What the number behind a name is written with. */
function isNumberByte(c: number): boolean {
  return isDigit(c) || c === CHAR.minus || c === CHAR.underscore || c === CHAR.dot;
}

function hashOf(bytes: Uint8Array): number {
  let hash = 0;
  for (let i = bytes.length - 1; i >= 0; i--) hash = nextHash(hash, bytes[i]!);
  return hash;
}

function nextHash(hash: number, c: number): number {
  return (hash * 31 + c) & ((1 << HASH_BITS) - 1);
}
