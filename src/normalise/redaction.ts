import type { AccessDraft } from "../records/access-draft.ts";
import { ascii, CHAR, equalsIgnoringCase, hexValue } from "./ascii.ts";
import {
  endOfHeaderValue,
  isWordByte,
  type Name,
  nameAt,
  startOfHeaderValue,
} from "./header-text.ts";

export interface RedactOptions {
  /** Names of query parameters whose values are replaced. */
  readonly queryParameters: readonly string[];
  /** Names of headers whose values are replaced. */
  readonly headers: readonly string[];
}

/** Columns that something can be redacted in, as Redactions names them. */
export const PLACES = { Query: 0, Path: 1, LogAttributes: 2, Body: 3 } as const;
const PLACE_NAMES = Object.keys(PLACES) as (keyof typeof PLACES)[];

/** What a value is replaced by. */
const REPLACEMENT = ascii("[redacted]");
/** The two digits of an encoded percent sign, `%25`. */
const TWO = 0x32;
const FIVE = 0x35;

/** What ends that which may be the name of a parameter, by byte: anywhere, or in a text only. */
const SEPARATES = { never: 0, text: 1, always: 2 } as const;
const SEPARATORS = separators();
/** 1 for each byte that may separate, that stands for another byte or that makes a name one of several parts; all others are just themselves. */
const IS_SPECIAL = SEPARATORS.map((separates) => (separates === SEPARATES.never ? 0 : 1));
for (const c of [CHAR.equals, CHAR.percent, CHAR.plus, CHAR.bracketOpen, CHAR.bracketClose])
  IS_SPECIAL[c] = 1;

function separators(): Uint8Array {
  const table = new Uint8Array(256);
  table.fill(SEPARATES.text, 0, CHAR.space + 1);
  for (const c of [CHAR.quote, CHAR.comma, CHAR.braceOpen]) table[c] = SEPARATES.text;
  for (const c of [CHAR.ampersand, CHAR.semicolon, CHAR.question, CHAR.hash, CHAR.slash])
    table[c] = SEPARATES.always;
  return table;
}

/**
 * Replaces the values of configured query parameters and headers by `[redacted]`. Names compare without regard to case and percent-encoding.
 * What is written goes to the draft's scratch; `start` and `end` say where. When in doubt it takes more than the value, never less.
 */
export class Redactor {
  /** Where the last redacted text stands in scratch. */
  start = 0;
  end = 0;
  readonly #draft: AccessDraft;
  readonly #parameters: readonly Name[];
  readonly #headers: readonly Name[];
  /** 1 for each byte that the name of a header begins with, in either case. */
  readonly #headerStarts = new Uint8Array(256);
  readonly #name: Uint8Array;
  /** The byte that stands percent-encoded (once or often) or bare at the last position asked for, and how many bytes it takes. */
  #decoded = 0;
  #step = 0;

  constructor(draft: AccessDraft, options: RedactOptions) {
    this.#draft = draft;
    const names = (list: readonly string[]): Name[] =>
      [...new Set(list.map((name) => name.toLowerCase()))]
        .filter((name) => name !== "")
        .map((name) => ({
          bytes: ascii(name),
          notes: PLACE_NAMES.map((place) => draft.constant(`${place}:${name}`)),
        }));
    this.#parameters = names(options.queryParameters);
    this.#headers = names(options.headers);
    for (const { bytes } of this.#headers)
      this.#headerStarts[bytes[0]!] = this.#headerStarts[
        String.fromCharCode(bytes[0]!).toUpperCase().charCodeAt(0)
      ] = 1;
    this.#name = new Uint8Array(
      64 + Math.max(0, ...this.#parameters.map((name) => name.bytes.length)),
    );
  }

  /** Number of the configured header that an attribute key names, or -1. Not for each record: once for a shape. */
  headerOf(key: string): number {
    const plain = key
      .replace(/([a-z])([A-Z])/g, "$1-$2")
      .toLowerCase()
      .replaceAll("_", "-");
    const parts = plain.split(/[^a-z0-9-]+/);
    return this.#headers.findIndex(({ bytes }) => {
      const header = Buffer.from(bytes).toString().replaceAll("_", "-");
      return (
        plain === header || parts.some((part) => part === header || part.endsWith(`-${header}`))
      );
    });
  }

  /** Notes that the value of a header was redacted, by the number that `headerOf` gave. */
  noteHeader(header: number, place: number): void {
    this.#draft.addRedaction(this.#headers[header]!.notes[place]!);
  }

  /**
   * Redacts a query, or the path in front of it. True when there was something to redact.
   * The value of a parameter ends at `&`, and at `;` or `#` when another `name=` follows; in a path also at `/`. A URL inside a value,
   * percent-encoded or not, is looked through as well.
   */
  redactQuery(from: Uint8Array, start: number, end: number, place: number): boolean {
    if (this.#parameters.length === 0) return false;
    // No value without an equals sign, bare or encoded.
    let p = start;
    while (p < end && from[p] !== CHAR.equals && from[p] !== CHAR.percent) p++;
    if (p === end) return false;
    return this.#redactParameters(from, start, end, place);
  }

  /** Redacts parameters and headers in any text: an attribute, a line, JSON. True when there was something to redact. */
  redactText(from: Uint8Array, start: number, end: number, place: number): boolean {
    const parameters = this.redactQuery(from, start, end, place);
    if (this.#headers.length === 0) return parameters;
    if (parameters)
      return this.#redactHeaders(undefined, this.start, this.end, place) || parameters;
    return this.#redactHeaders(from, start, end, place);
  }

  /** Does the range, bytes of any kind, hold a configured name as a word? Notes the first. */
  noteNameWithin(from: Uint8Array, start: number, end: number, place: number): boolean {
    for (let i = start; i < end; i++) {
      if (i > start && isWordByte(from[i - 1]!)) continue;
      const found = nameAt(this.#headers, from, i, end) ?? nameAt(this.#parameters, from, i, end);
      if (found === undefined) continue;
      this.#draft.addRedaction(found.notes[place]!);
      return true;
    }
    return false;
  }

  #redactParameters(source: Uint8Array, start: number, end: number, place: number): boolean {
    const draft = this.#draft;
    const text = place === PLACES.Body || place === PLACES.LogAttributes;
    const bound = text ? SEPARATES.text : SEPARATES.always;
    let copied = start;
    let found = false;
    let p = start;
    while (p < end) {
      // A name: up to `=` or whatever cannot stand in one.
      let nameStart = p;
      let nameEnd = p;
      let isPlain = true;
      let equals = false;
      let step = 1;
      while (p < end) {
        let c = source[p]!;
        if (IS_SPECIAL[c] === 0) {
          p++;
          continue;
        }
        step = 1;
        if (c === CHAR.percent || c === CHAR.plus) {
          this.#decode(source, p, end);
          c = this.#decoded;
          step = this.#step;
        }
        nameEnd = p;
        p += step;
        if (c === CHAR.equals) {
          equals = true;
          break;
        }
        isPlain = SEPARATORS[c]! >= bound;
        if (isPlain) nameStart = p;
      }
      if (!equals) break;
      const name = isPlain
        ? this.#parameterOf(source, nameStart, nameEnd)
        : this.#matchParameter(this.#decodeName(source, nameStart, nameEnd, end));
      if (name === undefined) continue;
      const valueEnd = this.#endOfValue(source, p, end, step, place, text);
      if (valueEnd === p) continue;
      if (!found) this.start = draft.scratchEnd;
      found = true;
      this.#append(source, copied, p);
      this.#append(REPLACEMENT, 0, REPLACEMENT.length);
      draft.addRedaction(name.notes[place]!);
      p = copied = valueEnd;
    }
    if (!found) return false;
    this.#append(source, copied, end);
    this.end = draft.scratchEnd;
    return true;
  }

  /** Where the value ends whose `=` took `step` bytes: what is encoded more often than the `=` belongs to the value. */
  #endOfValue(
    from: Uint8Array,
    start: number,
    end: number,
    step: number,
    place: number,
    text: boolean,
  ): number {
    let p = start;
    while (p < end) {
      if (IS_SPECIAL[from[p]!] === 0) {
        p++;
        continue;
      }
      this.#decode(from, p, end);
      const c = this.#decoded;
      const width = this.#step;
      if (width <= step) {
        if (c === CHAR.ampersand || (place === PLACES.Path && c === CHAR.slash)) return p;
        if ((c === CHAR.semicolon || c === CHAR.hash) && this.#nameFollows(from, p + width, end))
          return p;
        // In a text the value also ends with the word, or with the string that the URL stands in.
        if (
          text &&
          (c <= CHAR.space || (c === CHAR.quote && (p + 1 >= end || endsString(from[p + 1]!))))
        )
          return p;
      }
      p += width;
    }
    return end;
  }

  #nameFollows(from: Uint8Array, start: number, end: number): boolean {
    for (let p = start; p < end; p += this.#step) {
      this.#decode(from, p, end);
      const c = this.#decoded;
      if (c === CHAR.equals) return p > start;
      if (c === CHAR.ampersand || c === CHAR.semicolon || c === CHAR.hash) return false;
    }
    return false;
  }

  /** The byte at `p`, through any number of percent-encodings (`%26`, `%2526`), and a plus as the blank that it stands for. */
  #decode(from: Uint8Array, p: number, end: number): void {
    const c = from[p]!;
    this.#decoded = c;
    this.#step = 1;
    if (c !== CHAR.percent) {
      if (c === CHAR.plus) this.#decoded = CHAR.space;
      return;
    }
    let digits = p + 1;
    while (digits + 3 < end && from[digits] === TWO && from[digits + 1] === FIVE) digits += 2;
    if (digits + 1 >= end) return;
    const high = hexValue(from[digits]!);
    const low = hexValue(from[digits + 1]!);
    if (high < 0 || low < 0) return;
    this.#decoded = high * 16 + low;
    this.#step = digits + 2 - p;
  }

  /** Puts the name [start, nameEnd) of a text that goes on to `end` into `#name`, as far as it fits, and returns its length there. */
  #decodeName(from: Uint8Array, start: number, nameEnd: number, end: number): number {
    const name = this.#name;
    let length = 0;
    for (let p = start; p < nameEnd && length < name.length; p += this.#step) {
      this.#decode(from, p, end);
      name[length++] = this.#decoded;
    }
    return length;
  }

  /** The configured parameter that `#name` is, or one of its parts when it is written `a[b]`. */
  #matchParameter(nameLength: number): Name | undefined {
    const name = this.#name;
    let length = nameLength;
    let start = 0;
    while (start < length && name[start] === CHAR.space) start++;
    while (length > start && name[length - 1] === CHAR.space) length--;
    for (let p = start; p <= length; p++) {
      if (p < length && name[p] !== CHAR.bracketOpen && name[p] !== CHAR.bracketClose) continue;
      const found = this.#parameterOf(name, start, p);
      if (found !== undefined) return found;
      start = p + 1;
    }
    return undefined;
  }

  /** The configured parameter that [start, end) is. */
  #parameterOf(from: Uint8Array, start: number, end: number): Name | undefined {
    const parameters = this.#parameters;
    for (let i = 0; i < parameters.length; i++)
      if (equalsIgnoringCase(from, start, end, parameters[i]!.bytes)) return parameters[i];
    return undefined;
  }

  /** Redacts `name: value`, `name=value` and `"name":"value"` of headers. `source` undefined: the range is of scratch. */
  #redactHeaders(
    source: Uint8Array | undefined,
    start: number,
    end: number,
    place: number,
  ): boolean {
    const draft = this.#draft;
    let copied = start;
    let found = false;
    let resultStart = 0;
    for (let p = start; p < end; p++) {
      // Scratch may move to another array while it is written.
      const from = source ?? draft.scratch;
      if (this.#headerStarts[from[p]!] === 0) continue;
      if (
        p > start &&
        isWordByte(from[p - 1]!) &&
        from[p - 1] !== CHAR.minus &&
        from[p - 1] !== CHAR.underscore
      )
        continue;
      const name = nameAt(this.#headers, from, p, end);
      if (name === undefined) continue;
      const valueStart = startOfHeaderValue(from, p + name.bytes.length, end);
      if (valueStart < 0) continue;
      const valueEnd = endOfHeaderValue(from, valueStart, end);
      if (valueEnd === valueStart) continue;
      if (!found) resultStart = draft.scratchEnd;
      found = true;
      this.#append(source, copied, valueStart);
      this.#append(REPLACEMENT, 0, REPLACEMENT.length);
      draft.addRedaction(name.notes[place]!);
      copied = valueEnd;
      p = valueEnd - 1;
    }
    if (!found) return false;
    this.#append(source, copied, end);
    this.start = resultStart;
    this.end = draft.scratchEnd;
    return true;
  }

  /** Appends the bytes [start, end) of `source`, or of scratch itself, to scratch. */
  #append(source: Uint8Array | undefined, start: number, end: number): void {
    const draft = this.#draft;
    draft.reserve(end - start);
    const to = draft.scratch;
    const from = source ?? to;
    let at = draft.scratchEnd;
    for (let i = start; i < end; i++) to[at++] = from[i]!;
    draft.scratchEnd = at;
  }
}

/** Does a quotation mark end a string when this byte follows? */
function endsString(c: number): boolean {
  return c <= CHAR.space || c === CHAR.comma || c === CHAR.braceClose || c === CHAR.bracketClose;
}
