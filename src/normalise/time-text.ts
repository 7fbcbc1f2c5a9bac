import { CHAR, isDigit } from "./ascii.ts";

const NANOS_PER_SECOND = 1_000_000_000;
const SECONDS_PER_DAY = 86_400;
const TWO_32 = 0x1_0000_0000;
/** 2^63 ns is in the year 2262; ClickHouse's DateTime64(9) ends there. */
const MAX_SECONDS = 9_223_372_035;

/**
 * Reads an absolute time: RFC 3339 (`T` or a blank between date and time, any number of fractional digits up to nine, `Z`, an offset or nothing for UTC),
 * or seconds since the epoch with a fraction (`%START_TIME(%s.%9f)%`), or the same instant in milliseconds, microseconds or nanoseconds.
 */
export class TimeText {
  /** Nanoseconds since the epoch: low and high 32 bits, unsigned. */
  low = 0;
  high = 0;
  /** Fractional digits of a second that the text gives: 0 to 9. */
  digits = 0;

  parse(from: Uint8Array, start: number, end: number): boolean {
    return end - start >= 19 && from[start + 4] === CHAR.minus ? this.#parseDate(from, start, end) : this.#parseEpoch(from, start, end);
  }

  /** Are the nanoseconds `low` and `high` the same instant, as far as the text's digits go? */
  agreesWith(low: number, high: number): boolean {
    const difference = (high - this.high) * TWO_32 + (low - this.low);
    return difference >= 0 && difference < 10 ** (9 - this.digits);
  }

  #parseDate(from: Uint8Array, start: number, end: number): boolean {
    const year = digitsAt(from, start, 4);
    const month = digitsAt(from, start + 5, 2);
    const day = digitsAt(from, start + 8, 2);
    const hour = digitsAt(from, start + 11, 2);
    const minute = digitsAt(from, start + 14, 2);
    const second = digitsAt(from, start + 17, 2);
    const between = from[start + 10]! | 0x20; // T, t or a blank
    if (from[start + 7] !== CHAR.minus || (between !== 0x74 && between !== 0x20) || from[start + 13] !== CHAR.colon || from[start + 16] !== CHAR.colon) return false;
    // Second 60 is a leap second: the same instant as the next second, as in POSIX time.
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return false;
    let p = start + 19;
    let nanos = 0;
    this.digits = 0;
    if (p < end && (from[p] === CHAR.dot || from[p] === CHAR.comma)) {
      const fraction = p + 1;
      for (p = fraction; p < end && isDigit(from[p]!); p++) if (p - fraction < 9) nanos = nanos * 10 + (from[p]! - CHAR.zero);
      this.digits = Math.min(p - fraction, 9);
      if (this.digits === 0) return false;
      nanos *= 10 ** (9 - this.digits);
    }
    const offset = offsetSeconds(from, p, end);
    if (offset === undefined) return false;
    return this.#set(daysFromEpoch(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset, nanos);
  }

  #parseEpoch(from: Uint8Array, start: number, end: number): boolean {
    let p = start;
    let whole = 0;
    for (; p < end && isDigit(from[p]!) && p - start < 10; p++) whole = whole * 10 + (from[p]! - CHAR.zero);
    // Ten digits of seconds are 2001 to 2286; a shorter number is more likely something else.
    if (p - start < 10) return false;
    if (p < end && from[p] === CHAR.dot) p++;
    const fraction = p;
    let nanos = 0;
    for (; p < end && isDigit(from[p]!); p++) if (p - fraction < 9) nanos = nanos * 10 + (from[p]! - CHAR.zero);
    const digits = p - fraction;
    if (p !== end || digits > 9 || (from[fraction - 1] !== CHAR.dot && digits % 3 !== 0)) return false;
    this.digits = digits;
    return this.#set(whole, nanos * 10 ** (9 - digits));
  }

  /** seconds * 10^9 + nanos in two halves: the product needs more than the 53 bits of a double, so it is made of two of 16 bits by 30. */
  #set(seconds: number, nanos: number): boolean {
    if (seconds < 0 || seconds > MAX_SECONDS) return false;
    const upper = Math.floor(seconds / 0x1_0000) * NANOS_PER_SECOND;
    const low = (upper % 0x1_0000) * 0x1_0000 + (seconds % 0x1_0000) * NANOS_PER_SECOND + nanos;
    this.high = Math.floor(upper / 0x1_0000) + Math.floor(low / TWO_32);
    this.low = low % TWO_32;
    return true;
  }
}

/** The number that `count` digits make, or -1. */
function digitsAt(from: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = at; i < at + count; i++) {
    if (!isDigit(from[i]!)) return -1;
    value = value * 10 + (from[i]! - CHAR.zero);
  }
  return value;
}

/** Seconds east of UTC: `Z`, nothing, `+hh:mm` or `+hhmm`; undefined for anything else. */
function offsetSeconds(from: Uint8Array, start: number, end: number): number | undefined {
  const length = end - start;
  if (length === 0 || (length === 1 && (from[start]! | 0x20) === 0x7a)) return 0;
  const sign = from[start] === CHAR.plus ? 1 : from[start] === CHAR.minus ? -1 : 0;
  const colon = length === 6 && from[start + 3] === CHAR.colon ? 1 : 0;
  if (sign === 0 || length !== 5 + colon) return undefined;
  const hours = digitsAt(from, start + 1, 2);
  const minutes = digitsAt(from, start + 3 + colon, 2);
  return hours < 0 || hours > 23 || minutes < 0 || minutes > 59 ? undefined : sign * (hours * 3600 + minutes * 60);
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
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468;
}
