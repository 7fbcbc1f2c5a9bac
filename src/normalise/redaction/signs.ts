import { CHAR, isDigit, lower } from "../ascii.ts";
import { BytePairs, PAIR } from "./byte-pairs.ts";
import { isCardSeparator, mayHoldCard } from "./card-numbers.ts";
import { isSchemeStart } from "./credentials.ts";
import type { Rules } from "./rules.ts";
import { isQuote } from "./value-end.ts";
import { TOKEN_SIGNS, TOKEN_WORDS, VendorToken } from "./vendor-tokens.ts";

/** What a byte may be the sign of. Zero, which is nearly all of them: of nothing. */
export const SIGN = {
  none: 0,
  equals: 1,
  colon: 2,
  escape: 3,
  at: 4,
  jwt: 5,
  scheme: 6,
  pem: 7,
  aws: 8,
  digit: 9,
  pattern: 10,
  comma: 11,
  tag: 12,
  token: 13,
} as const;

/** Those of which one byte is enough; the others are known by more letters. */
const OF_ONE_BYTE: ReadonlySet<number> = new Set([SIGN.equals, SIGN.escape, SIGN.at, SIGN.jwt]);

/** No secret is shorter: `sig=x`. */
export const MIN_TEXT = 4;
/** So many bytes are looked at in one. */
const QUAD = 4;
const STRIDE = 2 * QUAD;
const TAB = 0x09;
const APOSTROPHE = 0x27;
const LETTER = {
  a: 0x61,
  z: 0x7a,
  e: 0x65,
  y: 0x79,
  A: 0x41,
  B: 0x42,
  J: 0x4a,
  K: 0x4b,
  P: 0x50,
  R: 0x52,
  S: 0x53,
  b: 0x62,
} as const;

/** The bytes that may say that a secret stands near: nearly all texts have none of them, and are told by one look at each four of their bytes. */
export class Signs {
  /** SIGN of each byte. */
  readonly of = new Uint8Array(256);
  /** The same with digits, for a text that may hold the number of a card. */
  readonly withDigits: Uint8Array;
  readonly #nameEnds: Uint8Array;
  readonly #patternStarts = new Uint8Array(256);
  readonly #pairs: Uint8Array;
  readonly #hasCards: boolean;
  readonly #token = new VendorToken();

  constructor({ detect, names, patterns }: Rules) {
    const signs = this.of;
    for (let c = 0; c < 256; c++)
      if (patterns.some(({ pattern }) => pattern.startsWith(c))) {
        this.#patternStarts[c] = 1;
        signs[c] = SIGN.pattern;
      }
    signs[CHAR.equals] = SIGN.equals;
    signs[CHAR.colon] = SIGN.colon;
    signs[CHAR.percent] = signs[CHAR.backslash] = SIGN.escape;
    signs[CHAR.at] = SIGN.at;
    signs[CHAR.comma] = SIGN.comma;
    signs[CHAR.greater] = SIGN.tag;
    if (detect.jwt >= 0) signs[LETTER.J] = SIGN.jwt;
    signs[LETTER.B] = signs[LETTER.b] = SIGN.scheme;
    if (detect.private_key >= 0) signs[LETTER.P] = SIGN.pem;
    if (detect.aws_key >= 0) signs[LETTER.A] = SIGN.aws;
    if (detect.vendor_token >= 0) for (const c of TOKEN_SIGNS) signs[c] = SIGN.token;
    this.withDigits = signs.slice().fill(SIGN.digit, CHAR.zero, CHAR.nine + 1);
    this.#nameEnds = names.ends.slice();
    for (const c of [CHAR.quote, APOSTROPHE, CHAR.bracketClose, CHAR.space, TAB])
      this.#nameEnds[c] = 1;
    this.#nameEnds.fill(1, CHAR.zero, CHAR.nine + 1);
    this.#hasCards = detect.card >= 0;
    const pairs = new BytePairs();
    for (let c = 0; c < 256; c++)
      if (OF_ONE_BYTE.has(signs[c]!) || this.#patternStarts[c] === 1) pairs.addByte(c);
    for (const c of [CHAR.colon, CHAR.greater])
      pairs.addByte(c, (before) => this.#nameEnds[before] === 1);
    // Between two strings of a list, which may have blanks between them.
    for (const quote of [CHAR.quote, APOSTROPHE]) {
      pairs.addPair(quote, CHAR.comma);
      pairs.addPair(CHAR.comma, quote);
    }
    for (const blank of [CHAR.space, CHAR.newline, TAB]) pairs.addPair(CHAR.comma, blank);
    for (const word of ["basic", "bearer"]) pairs.addWord(word, true);
    for (const word of ["PRIVATE", "AKIA", "ASIA"]) pairs.addWord(word);
    if (detect.vendor_token >= 0) for (const word of TOKEN_WORDS) pairs.addWord(word);
    if (this.#hasCards) pairs.addRun((c) => isDigit(c) || isCardSeparator(c));
    this.#pairs = pairs.bits;
  }

  /**
   * May [start, end) of `from`, whose view is `view`, hold a secret? Less than MIN_TEXT bytes hold none.
   * No branch but those that are seldom taken: what branches on digits and letters costs three times as much, and two reads a round save a third (measured).
   */
  mayHoldSecret(from: Uint8Array, view: DataView, start: number, end: number): boolean {
    const pairs = this.#pairs;
    const last = end - QUAD;
    if (last < start) return false;
    let before = 0;
    let runs = 0;
    let p = start;
    for (const lastOfTwo = last - QUAD; p < lastOfTwo; p += STRIDE) {
      const first = view.getInt32(p, true);
      const second = view.getInt32(p + QUAD, true);
      const a = pairs[first & 0xffff]!;
      const b = pairs[first >>> 16]!;
      const c = pairs[second & 0xffff]!;
      const d = pairs[second >>> 16]!;
      if (((a | b | c | d) & PAIR.sign) !== 0 && this.#hasSign(from, start, p, p + STRIDE, end))
        return true;
      // PAIR.run in two quads side by side: the number of a card covers as many.
      runs |= a & b & (before | (c & d));
      before = c & d;
    }
    for (; p < last; p += QUAD) {
      const quad = view.getInt32(p, true);
      const a = pairs[quad & 0xffff]!;
      const b = pairs[quad >>> 16]!;
      if (((a | b) & PAIR.sign) !== 0 && this.#hasSign(from, start, p, p + QUAD, end)) return true;
      runs |= a & b & before;
      before = a & b;
    }
    // The last four overlap those before them.
    const quad = view.getInt32(last, true);
    const bits = pairs[quad & 0xffff]! | pairs[quad >>> 16]!;
    if ((bits & PAIR.sign) !== 0 && this.#hasSign(from, start, last, end, end)) return true;
    return (runs & PAIR.run) !== 0 && mayHoldCard(from, start, end);
  }

  /** The signs to look for in [start, end): digits among them when there may be the number of a card. */
  for(from: Uint8Array, start: number, end: number): Uint8Array {
    return this.#hasCards && mayHoldCard(from, start, end) ? this.withDigits : this.of;
  }

  /** Is one of the bytes from the one in front of `at` to the one at `to` a sign indeed? Those of a word may be any of its three letters. */
  #hasSign(from: Uint8Array, start: number, at: number, to: number, end: number): boolean {
    const last = to < end ? to : end - 1;
    for (let p = at > start ? at - 1 : at; p <= last; p++)
      if (this.of[from[p]!] !== SIGN.none && this.#isSign(from, p, start, end)) return true;
    return false;
  }

  /** Most colons stand in times, addresses and URLs, most of the letters in words. */
  #isSign(from: Uint8Array, p: number, start: number, end: number): boolean {
    if (this.#patternStarts[from[p]!] === 1) return true;
    switch (this.of[from[p]!]) {
      case SIGN.colon:
        return this.mayFollowName(from, p, start, end);
      case SIGN.token:
        return this.#token.read(from, p, end, start);
      case SIGN.tag:
        return p > start && this.#nameEnds[from[p - 1]!] === 1;
      case SIGN.comma:
        return p > start && isQuote(from[p - 1]!);
      case SIGN.scheme:
        return isSchemeStart(from, p);
      case SIGN.jwt:
        return p >= start + 2 && from[p - 1] === LETTER.y && from[p - 2] === LETTER.e;
      case SIGN.pem:
        return p + 1 < end && from[p + 1] === LETTER.R;
      case SIGN.aws:
        return p + 1 < end && (from[p + 1] === LETTER.K || from[p + 1] === LETTER.S);
      default:
        return true;
    }
  }

  /** Is the colon at `p` behind what a name can end with, and not that of a URL? */
  mayFollowName(from: Uint8Array, p: number, start: number, end: number): boolean {
    if (p === start || this.#nameEnds[from[p - 1]!] === 0) return false;
    if (isDigit(from[p - 1]!) && !isNumbered(from, p - 1, start)) return false;
    return p + 2 >= end || from[p + 1] !== CHAR.slash || from[p + 2] !== CHAR.slash;
  }
}

/** Does a name stand in front of the number whose last digit is at `last`? `password2`, `token_1`, and not a part of an address or a time. */
function isNumbered(from: Uint8Array, last: number, start: number): boolean {
  let p = last;
  while (p > start && isDigit(from[p]!)) p--;
  const c = from[p]!;
  return (
    (lower(c) >= LETTER.a && lower(c) <= LETTER.z) || c === CHAR.minus || c === CHAR.underscore
  );
}
