import { CHAR, hexValue } from "../ascii.ts";

/** Percent-encodings of one byte that are followed: `%40` is one, `%2540` two. */
const MAX_LEVELS = 20;
const MAX_BACKSLASHES = 64;
const INITIAL_BYTES = 4096;
/** Memory for one text that is kept for the next. */
const MAX_KEPT_BYTES = 1024 * 1024;
const TWO = 0x32;
const FIVE = 0x35;
const LETTER_U = 0x75;
const LETTER_X = 0x78;

/**
 * A text without its percent-encodings and without the escapes that can hide a letter (JSON's `\u0026` and `\/`, nginx's `\x22`), with the way back to the
 * bytes that it was decoded from. Cost: linear; three bytes of memory for each byte of the text.
 */
export class DecodedText {
  bytes = new Uint8Array(INITIAL_BYTES);
  /** How often each byte was percent-encoded: what is encoded oftener than an equals sign belongs to the value behind it. */
  levels = new Uint8Array(INITIAL_BYTES);
  #widths = new Uint8Array(INITIAL_BYTES);
  length = 0;
  /** A position in `bytes` and the same in the source: `sourceOf` is asked for ascending positions. */
  #position = 0;
  #source = 0;

  decode(from: Uint8Array, start: number, end: number): void {
    this.#room(end - start);
    this.#position = 0;
    this.#source = start;
    const { bytes, levels } = this;
    const widths = this.#widths;
    let n = 0;
    for (let p = start; p < end; n++) {
      let c = from[p]!;
      let width = 1;
      let level = 0;
      if (c === CHAR.percent) {
        let digits = p + 1;
        level = 1;
        while (
          level < MAX_LEVELS &&
          digits + 3 < end &&
          from[digits] === TWO &&
          from[digits + 1] === FIVE
        ) {
          digits += 2;
          level++;
        }
        const value = digits + 1 < end ? hexPair(from, digits) : -1;
        if (value >= 0) {
          c = value;
          width = digits + 2 - p;
        } else level = 0;
      } else if (c === CHAR.backslash) {
        width = escapeWidth(from, p, end);
        if (width > 1) {
          const last = from[p + width - 1]!;
          c = last === CHAR.slash ? last : hexPair(from, p + width - 2);
          // It does not mean what a bare one does: it ends no string but one that began with its like.
          if (c === CHAR.quote) level = 1;
        }
      }
      bytes[n] = c;
      levels[n] = level;
      widths[n] = width;
      p += width;
    }
    this.length = n;
  }

  /** Where the byte at `position` stands in what was decoded. Ask for ascending positions. */
  sourceOf(position: number): number {
    while (this.#position < position) this.#source += this.#widths[this.#position++]!;
    return this.#source;
  }

  #room(bytes: number): void {
    const held = this.bytes.length;
    if (bytes <= held && (held <= MAX_KEPT_BYTES || bytes > MAX_KEPT_BYTES)) return;
    const size = Math.max(bytes, INITIAL_BYTES);
    this.bytes = new Uint8Array(size);
    this.levels = new Uint8Array(size);
    this.#widths = new Uint8Array(size);
  }
}

/** Is there anything that `decode` would decode? */
export function hasEscape(from: Uint8Array, start: number, end: number): boolean {
  for (let p = start; p < end; p++) {
    if (from[p] === CHAR.backslash) {
      const width = escapeWidth(from, p, end);
      if (width > 1) return true;
      while (p + 1 < end && from[p + 1] === CHAR.backslash) p++;
    } else if (isPercentEscape(from, p, end)) return true;
  }
  return false;
}

function isPercentEscape(from: Uint8Array, p: number, end: number): boolean {
  return from[p] === CHAR.percent && p + 2 < end && hexPair(from, p + 1) >= 0;
}

/**
 * Bytes of the escape at `p`: any number of backslashes (JSON within JSON), then `/`, or `u00` or `x` with the digits of an ASCII character; 1 for any other.
 * A quotation mark or backslash behind a backslash stays as it is: it does not mean what a bare one does.
 */
function escapeWidth(from: Uint8Array, p: number, end: number): number {
  let q = p + 1;
  while (q < end && from[q] === CHAR.backslash && q - p < MAX_BACKSLASHES) q++;
  if (q < end && from[q] === CHAR.slash) return q + 1 - p;
  const digits =
    from[q] === LETTER_X
      ? q + 1
      : from[q] === LETTER_U && from[q + 1] === CHAR.zero && from[q + 2] === CHAR.zero
        ? q + 3
        : end;
  if (digits + 1 >= end) return 1;
  const c = hexPair(from, digits);
  return c < CHAR.space || c >= 0x80 || c === CHAR.backslash ? 1 : digits + 2 - p;
}

function hexPair(from: Uint8Array, p: number): number {
  const high = hexValue(from[p]!);
  const low = hexValue(from[p + 1]!);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}
