import { ascii, CHAR, equalsIgnoringCase, isDigit } from "./ascii.ts";
import { varintHigh, varintLow } from "./varint.ts";

const NANOS_PER_SECOND = 1_000_000_000;
const SECONDS_PER_DAY = 86_400;
const TWO_16 = 0x1_0000;
const TWO_32 = 0x1_0000_0000;
/** 2^63 ns is in the year 2262; ClickHouse's DateTime64(9) ends there. */
const MAX_SECONDS = 9_223_372_035;

const POWERS_OF_TEN = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9] as const;

const MONTHS = [
  "jan",
  "feb",
  "mar",
  "apr",
  "may",
  "jun",
  "jul",
  "aug",
  "sep",
  "oct",
  "nov",
  "dec",
].map(ascii);
const MONTH_BYTES = 3;
/** Length of `22/Nov/2026:20:20:28` and of it with its offset. */
const COMMON_LOG = { time: 20, all: 26 } as const;

/**
 * Reads an absolute time: RFC 3339 (`T` or a blank between date and time, any number of fractional digits up to nine, `Z`, an offset or nothing for UTC),
 * the Common Log Format's (`22/Nov/2026:20:20:28 +0000`),
 * or seconds since the epoch with a fraction (`%START_TIME(%s.%9f)%`), or the same instant in milliseconds, microseconds or nanoseconds.
 */
export class TimeText {
  /** Nanoseconds since the epoch: low and high 32 bits, unsigned. */
  low = 0;
  high = 0;
  /** Fractional digits of a second that the text gives: 0 to 9. */
  digits = 0;
  /** The last date seen, as year, month and day in one number, and its days since the epoch: the next record's date is the same, as a rule. */
  #date = 0;
  #days = 0;

  parse(from: Uint8Array, start: number, end: number): boolean {
    if (end - start >= 19 && from[start + 4] === CHAR.minus)
      return this.#parseDate(from, start, end);
    if (end - start === COMMON_LOG.all && from[start + 2] === CHAR.slash)
      return this.#parseCommonLog(from, start, end);
    return this.#parseEpoch(from, start, end);
  }

  /** Seconds, milliseconds or microseconds since the epoch, by their size, with a fraction or none; of more than microseconds a double cannot tell. */
  parseNumber(value: number): boolean {
    let i = 0;
    while (i < UNITS.length && !(value >= UNITS[i]!.min && value < UNITS[i]!.max)) i++;
    const unit = UNITS[i];
    if (unit === undefined) return false;
    let seconds = Math.floor(value / unit.perSecond);
    let micros = Math.round((value - seconds * unit.perSecond) * (1e6 / unit.perSecond));
    if (micros === 1e6) {
      seconds++;
      micros = 0;
    }
    this.digits = Math.max(unit.digits, micros === 0 ? 0 : micros % 1000 === 0 ? 3 : 6);
    return this.#set(seconds, micros * 1000);
  }

  /** The same as an int attribute, which can be nanoseconds too. */
  parseVarint(from: Uint8Array, start: number): boolean {
    const low = varintLow(from, start);
    const high = varintHigh(from, start);
    const value = high * TWO_32 + low;
    if (value < MIN_NANOS) return this.parseNumber(value);
    this.low = low;
    this.high = high;
    this.digits = 9;
    return value <= MAX_SECONDS * NANOS_PER_SECOND;
  }

  /** Are the nanoseconds `low` and `high` the same instant, as far as the text's digits go? */
  agreesWith(low: number, high: number): boolean {
    const difference = (high - this.high) * TWO_32 + (low - this.low);
    return difference >= 0 && difference < POWERS_OF_TEN[9 - this.digits]!;
  }

  #parseDate(from: Uint8Array, start: number, end: number): boolean {
    const between = from[start + 10]! | 0x20; // T, t or a blank
    if (
      from[start + 7] !== CHAR.minus ||
      (between !== 0x74 && between !== 0x20) ||
      from[start + 13] !== CHAR.colon ||
      from[start + 16] !== CHAR.colon
    )
      return false;
    if (
      !this.#setDate(
        twoDigits(from, start) * 100 + twoDigits(from, start + 2),
        twoDigits(from, start + 5),
        twoDigits(from, start + 8),
      )
    )
      return false;
    const hour = twoDigits(from, start + 11);
    const minute = twoDigits(from, start + 14);
    const second = twoDigits(from, start + 17);
    // Second 60 is a leap second: the same instant as the next second, as in POSIX time.
    if (hour > 23 || minute > 59 || second > 60) return false;
    let p = start + 19;
    let nanos = 0;
    this.digits = 0;
    if (p < end && (from[p] === CHAR.dot || from[p] === CHAR.comma)) {
      const fraction = p + 1;
      for (p = fraction; p < end && isDigit(from[p]!); p++)
        if (p - fraction < 9) nanos = nanos * 10 + (from[p]! - CHAR.zero);
      this.digits = Math.min(p - fraction, 9);
      if (this.digits === 0) return false;
      nanos *= POWERS_OF_TEN[9 - this.digits]!;
    }
    const offset = offsetSeconds(from, p, end);
    if (offset === NO_OFFSET) return false;
    return this.#set(
      this.#days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset,
      nanos,
    );
  }

  #parseCommonLog(from: Uint8Array, start: number, end: number): boolean {
    if (
      from[start + 6] !== CHAR.slash ||
      from[start + 11] !== CHAR.colon ||
      from[start + 14] !== CHAR.colon ||
      from[start + 17] !== CHAR.colon ||
      from[start + COMMON_LOG.time] !== CHAR.space
    )
      return false;
    const year = twoDigits(from, start + 7) * 100 + twoDigits(from, start + 9);
    if (!this.#setDate(year, monthAt(from, start + 3), twoDigits(from, start))) return false;
    const hour = twoDigits(from, start + 12);
    const minute = twoDigits(from, start + 15);
    const second = twoDigits(from, start + 18);
    const offset = offsetSeconds(from, start + COMMON_LOG.time + 1, end);
    if (hour > 23 || minute > 59 || second > 60 || offset === NO_OFFSET) return false;
    this.digits = 0;
    return this.#set(this.#days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset, 0);
  }

  #setDate(year: number, month: number, day: number): boolean {
    const date = year * 10_000 + month * 100 + day;
    if (date === this.#date) return true;
    if (
      year < 1970 ||
      year > 9999 ||
      month < 1 ||
      month > 12 ||
      day < 1 ||
      day > daysInMonth(year, month)
    )
      return false;
    this.#date = date;
    this.#days = daysFromEpoch(year, month, day);
    return true;
  }

  #parseEpoch(from: Uint8Array, start: number, end: number): boolean {
    let p = start;
    let whole = 0;
    for (; p < end && isDigit(from[p]!) && p - start < 10; p++)
      whole = whole * 10 + (from[p]! - CHAR.zero);
    // Ten digits of seconds are 2001 to 2286; a shorter number is more likely something else.
    if (p - start < 10) return false;
    const isFraction = p < end && from[p] === CHAR.dot;
    if (isFraction) p++;
    const fraction = p;
    let nanos = 0;
    for (; p < end && isDigit(from[p]!); p++)
      if (p - fraction < 9) nanos = nanos * 10 + (from[p]! - CHAR.zero);
    const digits = p - fraction;
    if (p !== end || digits > 9 || (isFraction ? digits === 0 : digits % 3 !== 0)) return false;
    this.digits = digits;
    return this.#set(whole, nanos * POWERS_OF_TEN[9 - digits]!);
  }

  /** seconds * 10^9 + nanos in two halves: the product needs more than the 53 bits of a double, so it is made of two of 16 bits by 30. (No remainder of doubles: it is slow.) */
  #set(seconds: number, nanos: number): boolean {
    if (seconds < 0 || seconds > MAX_SECONDS) return false;
    const upper = Math.floor(seconds / TWO_16);
    const product = upper * NANOS_PER_SECOND;
    const high = Math.floor(product / TWO_16);
    const low =
      (product - high * TWO_16) * TWO_16 + (seconds - upper * TWO_16) * NANOS_PER_SECOND + nanos;
    const carry = Math.floor(low / TWO_32);
    this.high = high + carry;
    this.low = low - carry * TWO_32;
    return true;
  }
}

/** Units that a number of this size counts in: ten digits of seconds are 2001 to 2286. */
const UNITS = [
  { min: 1e9, max: 1e10, perSecond: 1, digits: 0 },
  { min: 1e12, max: 1e13, perSecond: 1e3, digits: 3 },
  { min: 1e15, max: 1e16, perSecond: 1e6, digits: 6 },
] as const;
const MIN_NANOS = 1e18;

/** The number of the month whose English name begins at `at`, or 0. */
function monthAt(from: Uint8Array, at: number): number {
  for (let i = 0; i < MONTHS.length; i++)
    if (equalsIgnoringCase(from, at, at + MONTH_BYTES, MONTHS[i]!)) return i + 1;
  return 0;
}

/** What `twoDigits` answers when there is something else: more than any part of a date may be. */
const NO_DIGITS = 10_000;

/** The number that two digits make, else NO_DIGITS. */
function twoDigits(from: Uint8Array, at: number): number {
  const tens = from[at]! - CHAR.zero;
  const units = from[at + 1]! - CHAR.zero;
  return tens >= 0 && tens <= 9 && units >= 0 && units <= 9 ? tens * 10 + units : NO_DIGITS;
}

/** What `offsetSeconds` answers for what is no offset. */
const NO_OFFSET = 1e6;

/** Seconds east of UTC: `Z`, nothing, `+hh:mm` or `+hhmm`; NO_OFFSET for anything else. */
function offsetSeconds(from: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length === 0 || (length === 1 && (from[start]! | 0x20) === 0x7a)) return 0;
  const sign = from[start] === CHAR.plus ? 1 : from[start] === CHAR.minus ? -1 : 0;
  const colon = length === 6 && from[start + 3] === CHAR.colon ? 1 : 0;
  if (sign === 0 || length !== 5 + colon) return NO_OFFSET;
  const hours = twoDigits(from, start + 1);
  const minutes = twoDigits(from, start + 3 + colon);
  return hours > 23 || minutes > 59 ? NO_OFFSET : sign * (hours * 3600 + minutes * 60);
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days from 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so that the leap day is their last. */
function daysFromEpoch(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return (
    era * 146_097 +
    yearOfEra * 365 +
    Math.floor(yearOfEra / 4) -
    Math.floor(yearOfEra / 100) +
    dayOfYear -
    719_468
  );
}
