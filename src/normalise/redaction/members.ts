import { CHAR } from "../ascii.ts";
import { endOfNested, endOfScalar, endOfString, isQuote } from "./value-end.ts";

/** Bytes that are looked ahead: what is to be found is near, and each member may be looked at from several others. */
const MAX_LOOK = 16 * 1024;
/** The same in an object, a list or a number, from within which the next look may begin. */
const MAX_NESTED = 1024;

/**
 * The members of an object in a text, from one on, each with its value: strings without their marks, which may be Python's. Works in strings of JSON within JSON as well, whose marks
 * stand behind `slashes` backslashes, and in percent-encodings.
 */
export class Members {
  nameStart = 0;
  nameEnd = 0;
  /** Between the two. */
  colon = 0;
  valueStart = 0;
  valueEnd = 0;
  isString = false;
  isNested = false;
  #from: Uint8Array = new Uint8Array(0);
  #levels: Uint8Array | null = null;
  #behind = 0;
  #end = 0;
  #slashes = 0;
  #level = 0;

  /** Reads the value behind the sign at `colon`. */
  begin(
    from: Uint8Array,
    levels: Uint8Array | null,
    colon: number,
    end: number,
    slashes: number,
  ): void {
    this.#from = from;
    this.#levels = levels;
    this.#end = Math.min(end, colon + MAX_LOOK);
    this.#slashes = slashes;
    this.#level = levels === null ? 0 : levels[colon]!;
    this.#readValue(colon);
  }

  /** Reads the next member; false when there is none. */
  next(): boolean {
    const comma = this.#behindBlanks(this.#behind);
    if (this.#at(comma) !== CHAR.comma) return false;
    const name = this.#stringAt(this.#behindBlanks(comma + 1));
    if (name < 0) return false;
    const nameEnd = this.#endOfString(name);
    const colon = this.#behindBlanks(nameEnd + this.#slashes + 1);
    if (this.#at(colon) !== CHAR.colon) return false;
    this.nameStart = name;
    this.nameEnd = nameEnd;
    this.#readValue(colon);
    return true;
  }

  /** The byte behind the value and its mark, blanks left out; 0 at the end of the text. */
  get byteBehind(): number {
    return this.#at(this.#behindBlanks(this.#behind));
  }

  #readValue(sign: number): void {
    this.colon = sign;
    const p = this.#behindBlanks(sign + 1);
    const string = this.#stringAt(p);
    this.isString = string >= 0;
    this.isNested = false;
    this.valueStart = this.isString ? string : p;
    if (this.isString) this.valueEnd = this.#endOfString(string);
    else {
      const c = this.#at(p);
      const end = Math.min(this.#end, p + MAX_NESTED);
      this.isNested = c === CHAR.braceOpen || c === CHAR.bracketOpen;
      this.valueEnd = this.isNested
        ? endOfNested(this.#from, this.#levels, p, end, this.#slashes, this.#level)
        : endOfScalar(this.#from, p, end);
    }
    this.#behind = this.valueEnd + (this.isString ? this.#slashes + 1 : 0);
  }

  /** Where the string begins whose mark, with the backslashes in front of it, stands at `p`; -1 when none does. */
  #stringAt(p: number): number {
    const mark = p + this.#slashes;
    for (let i = p; i < mark; i++) if (this.#at(i) !== CHAR.backslash) return -1;
    return isQuote(this.#at(mark)) ? mark + 1 : -1;
  }

  #endOfString(start: number): number {
    const level = this.#levels === null ? 0 : Math.max(this.#level, this.#levels[start - 1]!);
    const quote = this.#from[start - 1]!;
    return endOfString(this.#from, this.#levels, start, this.#end, quote, this.#slashes, level);
  }

  #behindBlanks(p: number): number {
    let q = p;
    while (q < this.#end && this.#from[q]! <= CHAR.space) q++;
    return q;
  }

  #at(p: number): number {
    return p < this.#end ? this.#from[p]! : 0;
  }
}
