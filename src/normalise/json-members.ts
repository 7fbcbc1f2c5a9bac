import { VALUE_TYPES } from "../records/attributes.ts";
import { CHAR, isDigit } from "./ascii.ts";
import { appendUnescaped } from "./escapes.ts";
import { type Expansion, MAX_NAME_BYTES } from "./expansion.ts";
import { LINE } from "./line.ts";

/** Members of one text; of a larger one the rest stays in Body. */
export const MAX_MEMBERS = 512;
/** Objects and arrays nested deeper than this stay JSON text, the value of the last name. */
export const MAX_NESTING = 12;

const MINUS = CHAR.minus;
const TRUE = Uint8Array.from(Buffer.from("true"));
const FALSE = Uint8Array.from(Buffer.from("false"));
const NULL = Uint8Array.from(Buffer.from("null"));
/** What some Rust programs write for null. */
const UNIT = Uint8Array.from(Buffer.from("()"));

/**
 * Makes the members of a JSON object attributes: nested ones under dotted names (`flow.source.namespace`, `policies.0.name`); arrays of plain values stay JSON text.
 * Strings lose their escapes; numbers and booleans keep their spelling; null is an attribute without a value.
 * Cost: linear in the text. Source: RFC 8259.
 */
export class JsonMembers {
  #into!: Expansion;
  #p = 0;
  #end = 0;
  #members = 0;
  /** Where the string read last stands. */
  #stringStart = 0;
  #stringEnd = 0;
  #isComplete = true;

  /**
   * Reads [start, end) of the expansion's own bytes; the members' names begin with [prefix, prefixEnd), if that is not empty. LINE.foreign: no object;
   * partial: what could be read is there.
   */
  read(into: Expansion, start: number, end: number, prefix = 0, prefixEnd = 0): number {
    this.#into = into;
    this.#p = start;
    this.#end = end;
    this.#members = 0;
    this.#isComplete = true;
    const before = into.attributes.count;
    this.#skipBlanks();
    if (this.#p === end || into.bytes[this.#p] !== CHAR.braceOpen) return LINE.foreign;
    const isRead = this.#readObject(prefix, prefixEnd, 1);
    if (isRead) this.#skipBlanks();
    if (isRead && this.#p === end && this.#isComplete) return LINE.full;
    return into.attributes.count > before ? LINE.partial : LINE.foreign;
  }

  /** An object whose members' names begin with [prefix, prefixEnd). False where the text is broken. */
  #readObject(prefix: number, prefixEnd: number, depth: number): boolean {
    this.#p++;
    this.#skipBlanks();
    if (this.#next(CHAR.braceClose)) return true;
    for (;;) {
      if (!this.#readString()) return false;
      const start = this.#stringStart;
      const end = this.#stringEnd;
      this.#skipBlanks();
      if (!this.#next(CHAR.colon)) return false;
      if (!this.#readMember(prefix, prefixEnd, start, end, depth)) return false;
      this.#skipBlanks();
      if (this.#next(CHAR.braceClose)) return true;
      if (!this.#next(CHAR.comma)) return false;
      this.#skipBlanks();
    }
  }

  /** An array of objects or arrays; the index is the name of each, but for those that are pairs of key and value. */
  #readArray(prefix: number, prefixEnd: number, depth: number): boolean {
    const into = this.#into;
    this.#p++;
    for (let i = 0; ; i++) {
      const start = into.length;
      for (const digit of String(i)) into.appendByte(digit.charCodeAt(0));
      const itemLength = prefixEnd - prefix + 1 + into.length - start;
      const before = into.attributes.count;
      if (!this.#readMember(prefix, prefixEnd, start, into.length, depth)) return false;
      into.foldPair(before, itemLength, prefix, prefixEnd);
      this.#skipBlanks();
      if (this.#next(CHAR.bracketClose)) return true;
      if (!this.#next(CHAR.comma)) return false;
    }
  }

  /** The value of the member whose name is [start, end) behind the prefix. */
  #readMember(
    prefix: number,
    prefixEnd: number,
    start: number,
    end: number,
    depth: number,
  ): boolean {
    const into = this.#into;
    this.#skipBlanks();
    const length = end - start + (prefixEnd > prefix ? prefixEnd - prefix + 1 : 0);
    if (++this.#members > MAX_MEMBERS || length > MAX_NAME_BYTES) {
      this.#isComplete = false;
      return this.#members <= MAX_MEMBERS && this.#skipValue();
    }
    let name = start;
    let nameEnd = end;
    if (prefixEnd > prefix) {
      name = into.append(into.bytes, prefix, prefixEnd);
      into.appendByte(CHAR.dot);
      into.append(into.bytes, start, end);
      nameEnd = into.length;
    }
    const at = this.#p;
    const first = at < this.#end ? into.bytes[at]! : 0;
    if (first === CHAR.quote) {
      if (!this.#readString()) return false;
      into.push(name, nameEnd, this.#stringStart, this.#stringEnd);
      return true;
    }
    const isNested =
      depth < MAX_NESTING &&
      (first === CHAR.braceOpen || (first === CHAR.bracketOpen && this.#holdsNested(at))) &&
      !into.isSecretName(into.bytes, name, nameEnd);
    if (isNested) {
      const before = into.attributes.count;
      const isRead =
        first === CHAR.braceOpen
          ? this.#readObject(name, nameEnd, depth + 1)
          : this.#readArray(name, nameEnd, depth + 1);
      // Of an empty object its text is what there is to say.
      if (isRead && into.attributes.count === before) into.push(name, nameEnd, at, this.#p);
      return isRead;
    }
    if (!this.#skipValue()) return false;
    if (first === NULL[0] || first === UNIT[0])
      into.attributes.push(name, nameEnd, VALUE_TYPES.none, at, at);
    else into.push(name, nameEnd, at, this.#p);
    return true;
  }

  /** Is the first item of the array at `at` an object or an array? */
  #holdsNested(at: number): boolean {
    const { bytes } = this.#into;
    let p = at + 1;
    while (p < this.#end && isBlank(bytes[p]!)) p++;
    return p < this.#end && (bytes[p] === CHAR.braceOpen || bytes[p] === CHAR.bracketOpen);
  }

  /** Moves behind a value without looking into it: strings and brackets are matched, no more. */
  #skipValue(): boolean {
    const { bytes } = this.#into;
    const end = this.#end;
    let depth = 0;
    do {
      this.#skipBlanks();
      if (this.#p >= end) return false;
      const c = bytes[this.#p]!;
      if (c === CHAR.quote) {
        if (!this.#skipString()) return false;
      } else if (c === CHAR.braceOpen || c === CHAR.bracketOpen) {
        depth++;
        this.#p++;
      } else if (c === CHAR.braceClose || c === CHAR.bracketClose) {
        depth--;
        this.#p++;
      } else if (depth > 0 && (c === CHAR.comma || c === CHAR.colon)) this.#p++;
      else if (!this.#skipScalar()) return false;
    } while (depth > 0);
    return depth === 0;
  }

  /** A number or a literal. */
  #skipScalar(): boolean {
    const { bytes } = this.#into;
    const c = bytes[this.#p]!;
    if (c === MINUS || isDigit(c)) {
      let p = this.#p + 1;
      while (p < this.#end && isNumberByte(bytes[p]!)) p++;
      this.#p = p;
      // `-` alone is no number, and one at the end of the text may have been cut off: an object goes on behind it.
      return isDigit(bytes[p - 1]!) && p < this.#end;
    }
    const literal = c === TRUE[0] ? TRUE : c === FALSE[0] ? FALSE : c === NULL[0] ? NULL : UNIT;
    if (this.#p + literal.length > this.#end) return false;
    for (let i = 0; i < literal.length; i++) if (bytes[this.#p + i] !== literal[i]) return false;
    this.#p += literal.length;
    return true;
  }

  #skipString(): boolean {
    const { bytes } = this.#into;
    for (let p = this.#p + 1; p < this.#end; p++) {
      if (bytes[p] === CHAR.backslash) p++;
      else if (bytes[p] === CHAR.quote) {
        this.#p = p + 1;
        return true;
      }
    }
    return false;
  }

  /** Reads a string; where it stands without escapes it is a range of the text itself. */
  #readString(): boolean {
    const { bytes } = this.#into;
    if (this.#p >= this.#end || bytes[this.#p] !== CHAR.quote) return false;
    const start = this.#p + 1;
    let p = start;
    while (p < this.#end && bytes[p] !== CHAR.quote && bytes[p] !== CHAR.backslash) p++;
    if (p === this.#end) return false;
    if (bytes[p] === CHAR.quote) {
      this.#stringStart = start;
      this.#stringEnd = p;
      this.#p = p + 1;
      return true;
    }
    return this.#readEscaped(start);
  }

  /** A string with escapes goes to the end of the expansion, without them. */
  #readEscaped(start: number): boolean {
    const into = this.#into;
    const at = this.#p;
    if (!this.#skipString()) return false;
    this.#stringStart = into.length;
    if (!appendUnescaped(into, start, this.#p - 1)) {
      this.#p = at;
      return false;
    }
    this.#stringEnd = into.length;
    return true;
  }

  #skipBlanks(): void {
    const { bytes } = this.#into;
    while (this.#p < this.#end && isBlank(bytes[this.#p]!)) this.#p++;
  }

  /** Moves over `byte` if it stands here. */
  #next(byte: number): boolean {
    if (this.#p >= this.#end || this.#into.bytes[this.#p] !== byte) return false;
    this.#p++;
    return true;
  }
}

function isBlank(c: number): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;
}

/** What may follow the first byte of a number. */
function isNumberByte(c: number): boolean {
  return isDigit(c) || c === CHAR.dot || c === CHAR.plus || c === MINUS || (c | 0x20) === 0x65;
}
