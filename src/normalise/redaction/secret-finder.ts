import { ascii, CHAR, indexOfText, startsWith } from "../ascii.ts";
import { isSchemeStart, startOfCredentials } from "./credentials.ts";
import { DecodedText, hasEscape } from "./decoded-text.ts";
import { LookFinder } from "./look-finder.ts";
import { Members } from "./members.ts";
import { MAX_WHOLE, ROLES, RULE } from "./name-table.ts";
import type { Rules } from "./rules.ts";
import { SIGN, Signs } from "./signs.ts";
import {
  closesString,
  CONTEXT,
  endOfFlat,
  endOfHeader,
  endOfNested,
  endOfParameter,
  endOfScalar,
  endOfString,
  endOfWord,
  endsString,
  isQuote,
} from "./value-end.ts";

const DASH = CHAR.minus;
const MARK = Buffer.from("[redacted]");

/**
 * Finds what is to be redacted in a text, in one pass from its start to its end. Cost: a table lookup for each byte, and a second look at one byte of thirteen;
 * a text with percent-encodings or JSON's escapes is decoded first. All in time linear in the length.
 */
export class SecretFinder extends LookFinder {
  readonly #signs: Signs;
  readonly #decoded = new DecodedText();
  /** Of the search that goes on. */
  #levels: Uint8Array | null = null;
  readonly #members = new Members();
  /** RULE of the name looked at last, when it is no secret's and one of ROLES. */
  #role = 0;
  /** The colon of a member that is a secret, and the number of the name that another gave it. */
  #pairAt = -1;
  #pairName = -1;
  /** Up to here the members are the parameters of a query. */
  #queryEnd = 0;

  constructor(rules: Rules) {
    super(rules);
    this.#signs = new Signs(rules);
  }

  /** Is there anything to redact in [start, end) of `from`, whose view is `view`? `context` is of CONTEXT. Less than MIN_TEXT bytes hold nothing. */
  find(from: Uint8Array, view: DataView, start: number, end: number, context: number): boolean {
    this.count = 0;
    return (
      this.#signs.mayHoldSecret(from, view, start, end) && this.#findAll(from, start, end, context)
    );
  }

  /** One quick look: may there be anything in [start, end)? Nearly always not. */
  mayFind(from: Uint8Array, view: DataView, start: number, end: number): boolean {
    return this.#signs.mayHoldSecret(from, view, start, end);
  }

  #findAll(from: Uint8Array, start: number, end: number, context: number): boolean {
    this.text = from;
    this.#levels = null;
    this.context = context;
    if (hasEscape(from, start, end)) this.#searchDecoded(from, start, end);
    else this.#search(start, end);
    return this.count > 0;
  }

  /** The decoded text is searched in the place of the one with escapes in it. */
  #searchDecoded(from: Uint8Array, start: number, end: number): void {
    const decoded = this.#decoded;
    decoded.decode(from, start, end);
    this.count = 0;
    this.text = decoded.bytes;
    this.#levels = decoded.levels;
    this.#search(0, decoded.length);
    for (let i = 0; i < this.count; i++) {
      this.start[i] = decoded.sourceOf(this.textStart[i]!);
      this.end[i] = decoded.sourceOf(this.textEnd[i]!);
    }
  }

  /** Searches [start, end) of `text`, in which nothing is escaped. */
  #search(start: number, end: number): void {
    const from = this.text;
    const signs = this.#signs.for(from, start, end);
    this.floor = start;
    this.noJwtBefore = start;
    this.limit = end;
    this.#pairAt = -1;
    const isQuery = (this.context & CONTEXT.query) !== 0;
    this.#queryEnd = isQuery ? this.#endOfQuery(start, 0, 0) : start;
    let p = start;
    if ((this.context & CONTEXT.authority) !== 0) p = this.atAuthority(start);
    while (p < end) {
      const sign = signs[from[p]!];
      if (sign === SIGN.none) {
        p++;
        continue;
      }
      p = this.#lookAt(sign!, p);
    }
  }

  /** What the byte at `p` is the sign of; answers where to go on. */
  #lookAt(sign: number, p: number): number {
    const { patterns } = this.rules;
    const from = this.text;
    for (let i = 0; i < patterns.length; i++) {
      const { pattern, name } = patterns[i]!;
      if (!pattern.startsWith(from[p]!)) continue;
      const end = pattern.match(from, p, this.limit, this.floor);
      if (end >= 0) return this.push(p, end, name);
    }
    switch (sign) {
      case SIGN.equals:
        return this.#atName(p);
      case SIGN.colon:
        return this.#signs.mayFollowName(from, p, this.floor, this.limit) ? this.#atName(p) : p + 1;
      case SIGN.comma:
        return p > this.floor && isQuote(from[p - 1]!) ? this.#atComma(p) : p + 1;
      case SIGN.tag:
        return this.#atTag(p);
      default:
        return this.atLook(sign, p);
    }
  }

  /** `name=value`, `name: value`, `"name":"value"` and their like, at the sign between the two. */
  #atName(p: number): number {
    const from = this.text;
    const floor = this.floor;
    const isColon = from[p] === CHAR.colon;
    let nameEnd = p;
    while (nameEnd > floor && isBlank(from[nameEnd - 1]!)) nameEnd--;
    const isApart = nameEnd < p;
    let quote = 0;
    let slashes = 0;
    if (nameEnd > floor && isQuote(from[nameEnd - 1]!)) {
      quote = from[--nameEnd]!;
      for (; nameEnd > floor && from[nameEnd - 1] === CHAR.backslash; nameEnd--) slashes++;
    }
    let name = this.#nameBefore(nameEnd, isColon, quote !== 0);
    if (name < 0 && this.#role !== 0) name = this.#nameByRole(p, slashes);
    if (name < 0) return p + 1;
    const level = this.#levels === null ? 0 : this.#levels[p]!;
    // `:=`, and the `=>` of Ruby and PHP
    const isLong = from[p + 1] === (isColon ? CHAR.equals : CHAR.greater);
    const isLikeColon = isColon || isLong;
    const behind = isLong ? p + 2 : p + 1;
    return this.#redactValue(
      behind,
      name,
      level,
      isLikeColon,
      isLikeColon || isApart,
      quote,
      slashes,
    );
  }

  /** The name that ends at `end`, or one of the parts of `a[b]`; -1 when none is to be redacted: then `#role` says what else it may be. */
  #nameBefore(end: number, isColon: boolean, isQuoted: boolean): number {
    const { names } = this.rules;
    const from = this.text;
    let rules = RULE.key | RULE.header;
    if (!isColon || end < this.#queryEnd) rules |= RULE.parameter | RULE.urlParameter;
    if (isColon && isQuoted) rules |= ROLES;
    this.#role = 0;
    let p = end;
    for (let parts = 0; parts < MAX_PARTS; parts++) {
      const isBracketed = p > this.floor && from[p - 1] === CHAR.bracketClose;
      if (isBracketed) p--;
      const name = names.find(from, this.floor, p, rules);
      if (name >= 0 && (names.rules & ~ROLES) === 0) this.#role = names.rules;
      else if (name >= 0 && this.#isUsable()) return name;
      if (!isBracketed) return -1;
      while (p > this.floor && from[p - 1] !== CHAR.bracketOpen && names.isNameByte(from[p - 1]!))
        p--;
      if (p === this.floor || from[p - 1] !== CHAR.bracketOpen) return -1;
      p--;
    }
    return -1;
  }

  /**
   * What the member with the colon at `colon` says of others: of a pair, `{"key":"Cookie","value":…}` in any order, the one what the other is; and which are the parameters of a
   * query. Answers with the number of the name that so makes its own value a secret, or -1.
   */
  #nameByRole(colon: number, slashes: number): number {
    if (colon === this.#pairAt) return this.#pairName;
    const { names } = this.rules;
    const members = this.#members;
    const from = this.text;
    const levels = this.#levels;
    const role = this.#role;
    members.begin(from, levels, colon, this.limit, slashes);
    const { valueStart } = members;
    if ((role & RULE.query) !== 0) {
      const level = levels === null ? 0 : levels[colon]!;
      if (colon >= this.#queryEnd) this.#queryEnd = this.#endOfQuery(valueStart, slashes, level);
      return -1;
    }
    const isValue = (role & RULE.pairValue) !== 0;
    let name = isValue ? -1 : this.#nameInValue();
    if (!isValue && name < 0) return -1;
    for (let i = 0; i < MAX_MEMBERS && members.next(); i++) {
      const { nameStart, nameEnd } = members;
      const other = isValue ? RULE.pairName : RULE.pairValue;
      if (names.find(from, nameStart, nameEnd, other) < 0) continue;
      if (!isValue) {
        this.#pairAt = members.colon;
        this.#pairName = name;
        return -1;
      }
      name = this.#nameInValue();
      if (name >= 0) return name;
    }
    return -1;
  }

  /** The end of a query that was taken apart: an object of parameters, or a list of pairs; `start` when neither stands there. */
  #endOfQuery(start: number, slashes: number, level: number): number {
    const end = this.limit;
    const levels = this.#levels;
    const from = this.text;
    if (from[start] === CHAR.braceOpen) return endOfFlat(from, levels, start, end, slashes, level);
    return from[start] === CHAR.bracketOpen
      ? endOfNested(from, levels, start, end, slashes, level)
      : start;
  }

  /** Number of the name of a secret that the member's value is. */
  #nameInValue(): number {
    const { isString, valueStart, valueEnd } = this.#members;
    let rules = RULE.key | RULE.header;
    if (valueStart < this.#queryEnd) rules |= RULE.parameter | RULE.urlParameter;
    return isString ? this.rules.names.findWhole(this.text, valueStart, valueEnd, rules) : -1;
  }

  /**
   * In a list of headers, `["Cookie","a=1","Host","x"]`, the string behind the name of one is its value; in a list of two, `["password","x"]`, that behind any name of a secret.
   * The comma is at `p`.
   */
  #atComma(p: number): number {
    const { names } = this.rules;
    const from = this.text;
    const floor = this.floor;
    const quote = from[p - 1]!;
    let nameEnd = p - 1;
    let slashes = 0;
    for (; nameEnd > floor && from[nameEnd - 1] === CHAR.backslash; nameEnd--) slashes++;
    if (nameEnd === floor || names.ends[from[nameEnd - 1]!] === 0) return p + 1;
    let start = nameEnd;
    const lowest = Math.max(floor, nameEnd - MAX_WHOLE);
    while (start > lowest && names.isNameByte(from[start - 1]!)) start--;
    if (start === lowest || from[start - 1] !== quote) return p + 1;
    let open = start - 1 - slashes;
    // Python writes `(b'cookie', b'a=1')`.
    if (open > floor && from[open - 1] === BYTES) open--;
    while (open > floor && isSpace(from[open - 1]!)) open--;
    const before = open > floor ? from[open - 1]! : 0;
    // The value of a member
    if (before === CHAR.colon) return p + 1;
    const name = names.findWhole(from, start, nameEnd);
    if (name < 0) return p + 1;
    const isHeader = (names.rules & RULE.header) !== 0;
    let sign = p;
    while (sign + 1 < this.limit && isSpace(from[sign + 1]!)) sign++;
    if (from[sign + 1] === BYTES && from[sign + 2] === quote) sign++;
    const members = this.#members;
    members.begin(from, this.#levels, sign, this.limit, slashes);
    const behind = members.byteBehind;
    // A string and a colon: the next member of an object.
    if (behind === CHAR.colon) return p + 1;
    if (!isHeader || (!members.isString && !members.isNested))
      if (!isOpening(before) || !isClosing(behind)) return p + 1;
    const level = this.#levels === null ? 0 : this.#levels[p]!;
    return this.#redactValue(sign + 1, name, level, true, true, quote, slashes);
  }

  /** The text of an element of XML under the name of a secret, `<ns:password type="x">`: up to the tag behind it, or one word where it was cut. `>` is at `p`. */
  #atTag(p: number): number {
    const { names } = this.rules;
    const from = this.text;
    const lowest = Math.max(this.floor, p - MAX_TAG);
    let open = p - 1;
    while (open > lowest && from[open] !== CHAR.less && from[open] !== CHAR.greater) open--;
    if (from[open] !== CHAR.less || open < lowest) return p + 1;
    let start = open + 1;
    let nameEnd = start;
    for (; nameEnd < p && from[nameEnd]! > CHAR.space; nameEnd++)
      if (from[nameEnd] === CHAR.colon) start = nameEnd + 1;
    const name = names.find(from, start, nameEnd, RULE.key | RULE.header);
    if (name < 0) return p + 1;
    let value = p + 1;
    const end = this.limit;
    if (startsWith(from, value, end, CDATA)) {
      value += CDATA.length;
      const closing = indexOfText(from, CDATA_END, value, end);
      return this.#pushValue(value, closing < 0 ? end : closing, name);
    }
    let tag = value;
    while (tag < end && from[tag] !== CHAR.less) tag++;
    if (tag + 1 < end && from[tag + 1] === CHAR.slash) {
      while (value < tag && isSpace(from[value]!)) value++;
      return this.#pushValue(value, tag, name);
    }
    // `Optional<Token>` is a type.
    if (open > this.floor && names.isNameByte(from[open - 1]!)) return p + 1;
    return this.#pushValue(value, endOfWord(from, value, tag), name);
  }

  #hasBlank(): boolean {
    for (let p = this.floor; p < this.limit; p++) if (this.text[p]! <= CHAR.space) return true;
    return false;
  }

  /** Words that are harmless elsewhere count in a URL's query alone. */
  #isUsable(): boolean {
    const { names } = this.rules;
    if (names.rules !== RULE.urlParameter || (this.context & CONTEXT.text) === 0) return true;
    if (names.start < this.#queryEnd) return true;
    // A whole text that is a query.
    if (names.start === this.floor) return this.count === 0 && !this.#hasBlank();
    const before = this.text[names.start - 1]!;
    return isSeparator(before) || before === CHAR.bracketOpen;
  }

  #redactValue(
    behindSign: number,
    name: number,
    level: number,
    isColon: boolean,
    mayHaveBlanks: boolean,
    nameQuote: number,
    nameSlashes: number,
  ): number {
    const from = this.text;
    const end = this.limit;
    const levels = this.#levels;
    let p = behindSign;
    if (mayHaveBlanks) {
      // JSON may have line breaks here, and goes on behind them.
      const isPassed = nameQuote !== 0 && isColon ? isSpace : isBlank;
      while (p < end && isPassed(from[p]!)) p++;
    }
    // `cGFzc3dvcmQ=`: what ends with such a name may be base64.
    if (!isColon && from[p] === CHAR.equals && this.#endsValue(p + 1)) return p + 1;
    let slashes = 0;
    while (p + slashes < end && from[p + slashes] === CHAR.backslash) slashes++;
    const mark = p + slashes < end ? from[p + slashes]! : 0;
    const nameStart = this.rules.names.start;
    if (
      !isColon &&
      isQuote(mark) &&
      closesString(from, this.floor, nameStart, p + slashes, slashes, end)
    )
      return p;
    const isHeader = (this.rules.names.rules & RULE.header) !== 0;
    // In a query the quotation mark may be the end of the string around it.
    if (
      isQuote(mark) &&
      (isColon ||
        isHeader ||
        !this.#isInQuery() ||
        ((this.context & CONTEXT.text) !== 0 && !endsString(from, p + slashes + 1, end)))
    ) {
      const start = p + slashes + 1;
      // What is encoded as often as the quotation mark at the start ends the string.
      const markLevel = levels === null ? 0 : Math.max(level, levels[p + slashes]!);
      return this.#pushValue(
        start,
        isHeader && nameQuote === 0 && slashes === 0 && markLevel === 0
          ? endOfHeader(from, start, end, mark)
          : endOfString(from, levels, start, end, mark, slashes, markLevel),
        name,
      );
    }
    if (nameQuote !== 0 && isColon) {
      const isNested = mark === CHAR.braceOpen || mark === CHAR.bracketOpen;
      const before = this.count;
      const next = this.#pushValue(
        p,
        isNested
          ? endOfNested(from, levels, p, end, nameSlashes, level)
          : endOfScalar(from, p, end),
        name,
      );
      if (this.count > before && nameSlashes === 0 && level === 0 && nameQuote === CHAR.quote)
        this.isBare[before] = 1;
      return next;
    }
    if (isColon || (isHeader && !this.#isInQuery()))
      return this.#pushValue(
        p,
        isHeader ? endOfHeader(from, p, end, 0) : this.#endOfWords(p),
        name,
      );
    // Cookies hold semicolons, credentials slashes.
    const context = isHeader ? CONTEXT.header | (this.context & CONTEXT.text) : this.context;
    return this.#pushValue(p, endOfParameter(from, levels, p, end, level, context), name);
  }

  /** Does a value, in quotation marks or not, end in front of `p`? */
  #endsValue(p: number): boolean {
    const from = this.text;
    const end = this.limit;
    return endsString(from, p, end) || (isQuote(from[p]!) && endsString(from, p + 1, end));
  }

  /** Does the name found last stand where a query's parameter does? */
  #isInQuery(): boolean {
    if ((this.context & CONTEXT.text) === 0) return true;
    const { names } = this.rules;
    const lowest = Math.max(this.floor, names.start - MAX_PREFIX);
    let p = names.start;
    while (p > lowest && (names.isNameByte(this.text[p - 1]!) || isBracket(this.text[p - 1]!))) p--;
    return p > this.floor && isSeparator(this.text[p - 1]!);
  }

  /** A word, and the one behind it when the first is the scheme of credentials: `token: Bearer abc`. */
  #endOfWords(p: number): number {
    const from = this.text;
    const behind = isSchemeStart(from, p) ? startOfCredentials(from, p, this.limit) : -1;
    return endOfWord(from, behind < 0 ? p : behind, this.limit);
  }

  /** Nothing, a dash, `null` and what was redacted before are no secrets. */
  #pushValue(start: number, end: number, name: number): number {
    const from = this.text;
    const length = end - start;
    if (length <= 0 || (length === 1 && from[start] === DASH)) return Math.max(start, end);
    if (
      length === 4 &&
      from[start] === 0x6e &&
      from[start + 1] === 0x75 &&
      from[start + 2] === 0x6c
    )
      return end;
    if (length === MARK.length && MARK.every((c, i) => c === from[start + i])) return end;
    return this.push(start, end, name);
  }
}

/** The letter in front of a string of bytes in Python. */
const BYTES = 0x62;
/** Bytes of a tag of XML with its attributes. */
const MAX_TAG = 256;
const CDATA = ascii("<![CDATA[");
const CDATA_END = ascii("]]>");
/** Members of an object among which the other one of a pair is looked for. */
const MAX_MEMBERS = 8;
/** Parts of a name such as `a[b][c]` that are looked at. */
const MAX_PARTS = 8;
/** Bytes of a longer name in front of the one that was found. */
const MAX_PREFIX = 64;

/** Does a parameter of a query stand behind the byte? */
function isSeparator(c: number): boolean {
  return c === CHAR.question || c === CHAR.ampersand || c === CHAR.semicolon || c === CHAR.hash;
}

function isBlank(c: number): boolean {
  return c === CHAR.space || c === 0x09;
}

function isSpace(c: number): boolean {
  return c <= CHAR.space;
}

/** Of a list or a pair. */
function isOpening(c: number): boolean {
  return c === CHAR.bracketOpen || c === 0x28;
}

function isClosing(c: number): boolean {
  return c === CHAR.bracketClose || c === 0x29;
}

function isBracket(c: number): boolean {
  return c === CHAR.bracketOpen || c === CHAR.bracketClose;
}
