import { CHAR, equalRanges, hexValue, isDigit, lower } from "../ascii.ts";

const MIN_DIGITS = 13;
const MAX_DIGITS = 19;
/** A word of hex digits and dashes this long is a UUID, a traceparent or the like, and no part of it a card. */
const MIN_ID = 32;
const UUID = { length: 36, dashes: [8, 13, 18, 23] } as const;
/** So far is looked for the ends of such a word. */
const MAX_ID = 64;
/** Names in front of a number that make it an ID: Datadog writes trace and span IDs in decimal. */
const ID_NAMES = ["traceid", "spanid", "parentid"].map((name) => Buffer.from(name));

/** Digits of the longest group that is printed on a card. */
const MAX_GROUP = 6;
/** Bytes between two groups of digits: a dash between blanks, or a blank that is no ASCII. */
const MAX_GAP = 3;

/**
 * Where a card number (PAN) begins and ends, as `start` and `end`: 13 to 19 digits, dashes allowed between any two and other gaps between the groups that are printed, with the
 * check digit of Luhn and a prefix and length of a known issuer. Source: ISO/IEC 7812-1; the issuers' published ranges.
 */
export class CardNumber {
  start = 0;
  end = 0;
  readonly #digits = new Uint8Array(MAX_DIGITS);
  /** Behind the digit of this number. */
  readonly #ends = new Int32Array(MAX_DIGITS);

  /**
   * Is there a card number in the run of digits and separators at `p`, the first of its digits? `end` is behind the run otherwise.
   * Within a run every group of digits may be the first of a card.
   */
  read(from: Uint8Array, p: number, limit: number, floor: number): boolean {
    let q = p;
    while (q < limit) {
      if (isDigit(from[q]!)) {
        if (this.#readAt(from, q, limit) && !isPartOfId(from, this.start, this.end, floor, limit))
          return true;
        q++;
        while (q < limit && isDigit(from[q]!)) q++;
      } else {
        const behind = behindGap(from, q, limit);
        if (behind < 0) break;
        q = behind;
      }
    }
    this.end = q;
    return false;
  }

  /** The longest card number whose first digit is at `p` and behind whose last no digit follows. */
  #readAt(from: Uint8Array, p: number, limit: number): boolean {
    const digits = this.#digits;
    let count = 0;
    let q = p;
    while (q < limit && count < MAX_DIGITS) {
      const c = from[q]!;
      if (isDigit(c)) {
        digits[count] = c - CHAR.zero;
        this.#ends[count++] = ++q;
      } else {
        q = behindGap(from, q, limit);
        if (q < 0) break;
      }
    }
    for (; count >= MIN_DIGITS; count--) {
      const end = this.#ends[count - 1]!;
      if (end < limit && (isDigit(from[end]!) || isLetter(from[end]!))) continue;
      if (
        !isIssued(digits, count, end - p > count) ||
        !passesLuhn(digits, count) ||
        !isGroupedLikeCard(from, p, end)
      )
        continue;
      this.start = p;
      this.end = end;
      return true;
    }
    return false;
  }
}

/**
 * May the range hold 13 digits with nothing but separators between them? Looks at every 13th byte, one of which such a run must cover: most texts are told apart with few looks.
 */
export function mayHoldCard(from: Uint8Array, start: number, end: number): boolean {
  for (let p = start + MIN_DIGITS - 1; p < end; p += MIN_DIGITS) {
    if (!isRunByte(from[p]!)) continue;
    let left = p;
    while (left > start && isRunByte(from[left - 1]!)) left--;
    let right = p + 1;
    while (right < end && isRunByte(from[right]!)) right++;
    if (right - left >= MIN_DIGITS && mostDigits(from, left, right) >= MIN_DIGITS) return true;
    p = Math.max(p, right - MIN_DIGITS);
  }
  return false;
}

/**
 * Numbers side by side, such as the byte counts of a line, are no card: its gaps are all alike, and unless they are dashes its groups are those that are printed on one, four digits
 * each (the last may have fewer) or 4-6-5 and 4-6-4.
 */
function isGroupedLikeCard(from: Uint8Array, start: number, end: number): boolean {
  let isPlain = true;
  let group = 0;
  let first = -1;
  let gap = 0;
  for (let p = start; p < end;) {
    let q = p;
    while (q < end && isDigit(from[q]!)) q++;
    const count = q - p;
    const isLast = q === end;
    const isFour = isLast ? count <= 4 : count === 4;
    const isAmex = group === 1 ? count === 6 : group === 2 && isLast && count >= 4 && count <= 5;
    if (group === 0 ? count !== 4 : !isFour && !isAmex) isPlain = false;
    group++;
    if (isLast) break;
    p = behindGap(from, q, end);
    if (first < 0) {
      first = q;
      gap = p - q;
    } else if (!equalRanges(from, first, first + gap, from, q, p)) return false;
  }
  return isPlain || first < 0 || (gap === 1 && from[first] === CHAR.minus);
}

/** The digit behind the gap between two groups at `p`, or -1. */
function behindGap(from: Uint8Array, p: number, limit: number): number {
  let q = p;
  while (q < limit && q - p < MAX_GAP && isCardSeparator(from[q]!)) q++;
  return q < limit && isDigit(from[q]!) ? q : -1;
}

/**
 * The most digits in a part of the run [start, end) that may be a card: its gaps begin with the same byte, and unless that is a dash no group of it is longer than one that is printed.
 * Ports and addresses side by side, and times with fractions, are none.
 */
function mostDigits(from: Uint8Array, start: number, end: number): number {
  let most = 0;
  let count = 0;
  let gap = 0;
  for (let p = start; p < end;) {
    const first = p;
    while (p < end && isDigit(from[p]!)) p++;
    const group = p - first;
    if (group > MAX_GROUP && gap !== CHAR.minus) count = 0;
    count += group;
    most = Math.max(most, count);
    if (p === end) break;
    const isOther = from[p] !== gap;
    gap = from[p]!;
    if (group > MAX_GROUP && gap !== CHAR.minus) count = 0;
    else if (isOther) count = group;
    while (p < end && !isDigit(from[p]!)) p++;
  }
  return most;
}

/** Blanks, dashes, dots and their like; a plus is a blank in a form, and what is no ASCII a no-break space, a thin one or a dash in UTF-8. */
const SEPARATORS = new Set(Buffer.from(" +-._\u00a0\u2007\u2009\u202f\u2010\u2011\u2013"));
const IS_SEPARATOR = Uint8Array.from({ length: 256 }, (_, c) => (SEPARATORS.has(c) ? 1 : 0));

/** What may stand between two digits of a card. */
export function isCardSeparator(c: number): boolean {
  return IS_SEPARATOR[c] === 1;
}

const RUN_BYTES = Uint8Array.from({ length: 256 }, (_, c) =>
  isDigit(c) || isCardSeparator(c) ? 1 : 0,
);

function isRunByte(c: number): boolean {
  return RUN_BYTES[c] === 1;
}

function isLetter(c: number): boolean {
  const letter = lower(c);
  return (letter >= 0x61 && letter <= 0x7a) || c === CHAR.underscore;
}

/** Is what stands in [start, end) part of a longer word: letters at its side, a UUID, a traceparent, or a number under the name of an ID? */
function isPartOfId(
  from: Uint8Array,
  start: number,
  end: number,
  floor: number,
  limit: number,
): boolean {
  if (start > floor && isLetter(from[start - 1]!)) return true;
  const lowest = Math.max(floor, start - MAX_ID);
  const highest = Math.min(limit, end + MAX_ID);
  let letters = 0;
  let left = start;
  for (; left > lowest && isIdByte(from[left - 1]!); left--)
    if (isLetter(from[left - 1]!)) letters++;
  let right = end;
  for (; right < highest && isIdByte(from[right]!); right++) if (isLetter(from[right]!)) letters++;
  return (
    (letters > 0 && right - left >= MIN_ID) ||
    isUuid(from, left, right) ||
    isNamedAsId(from, left, floor)
  );
}

/** Does the range have the length of a UUID, and its dashes where one has them? Digits alone may be one. */
function isUuid(from: Uint8Array, start: number, end: number): boolean {
  return end - start === UUID.length && UUID.dashes.every((at) => from[start + at] === CHAR.minus);
}

function isIdByte(c: number): boolean {
  return hexValue(c) >= 0 || c === CHAR.minus;
}

/** Does `trace_id=`, `"spanId":` or the like stand in front of `p`? */
function isNamedAsId(from: Uint8Array, p: number, floor: number): boolean {
  let q = p;
  while (q > floor && p - q < 8 && !isLetter(from[q - 1]!)) q--;
  return endsWithIdName(from, floor, q);
}

/** Does the range end with the name of a trace's or span's ID, in any spelling? */
export function endsWithIdName(from: Uint8Array, start: number, end: number): boolean {
  return ID_NAMES.some((name) => {
    let p = end - 1;
    let i = name.length - 1;
    for (; i >= 0 && p >= start; p--) {
      const c = from[p]!;
      if (c === CHAR.underscore || c === CHAR.minus || c === CHAR.dot) continue;
      if (lower(c) !== name[i]) return false;
      i--;
    }
    return i < 0;
  });
}

/** Each second digit from the right counts twice. Source: ISO/IEC 7812-1, annex B. */
function passesLuhn(digits: Uint8Array, count: number): boolean {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const twice = (count - i) % 2 === 0;
    const value = twice ? digits[i]! * 2 : digits[i]!;
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}

/**
 * Prefix from, prefix to, the lengths in use, and those that count only in groups: numbers of 64 bits have 18 or 19 digits, and one of a hundred would pass for
 * a card. Visa, Mastercard, American Express, Discover, Diners Club, JCB, UnionPay, Maestro, Mir.
 */
const ISSUERS: readonly (readonly [number, number, readonly number[], readonly number[]])[] = [
  [4, 4, [13, 16], [19]],
  [51, 55, [16], []],
  [2221, 2720, [16], []],
  [34, 34, [15], []],
  [37, 37, [15], []],
  [6011, 6011, [16], [19]],
  [644, 659, [16], [19]],
  [300, 305, [14], [16]],
  [3095, 3095, [14], [16]],
  [36, 36, [14], [16]],
  [38, 39, [14], [16]],
  [3528, 3589, [16], [19]],
  [62, 62, [16, 17, 18, 19], []],
  [5018, 5018, [13, 14, 15, 16], [18, 19]],
  [5020, 5020, [13, 14, 15, 16], [18, 19]],
  [5038, 5038, [13, 14, 15, 16], [18, 19]],
  [5893, 5893, [13, 14, 15, 16], [18, 19]],
  [6304, 6304, [13, 14, 15, 16], [18, 19]],
  [6759, 6763, [13, 14, 15, 16], [18, 19]],
  [2200, 2204, [16], [19]],
];

function isIssued(digits: Uint8Array, count: number, isGrouped: boolean): boolean {
  const first4 = digits[0]! * 1000 + digits[1]! * 100 + digits[2]! * 10 + digits[3]!;
  return ISSUERS.some(([low, high, lengths, grouped]) => {
    const unit = low > 999 ? 1 : low > 99 ? 10 : low > 9 ? 100 : 1000;
    const prefix = Math.floor(first4 / unit);
    return (
      prefix >= low &&
      prefix <= high &&
      (lengths.includes(count) || (isGrouped && grouped.includes(count)))
    );
  });
}
