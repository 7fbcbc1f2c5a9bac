const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const UPPER_E = 0x45;
const LOWER_E = 0x65;
const TWO_32 = 0x1_0000_0000;

/** So many decimal digits are exact in a double. */
const EXACT_DIGITS = 15;
/** Decimal digits of the largest 64-bit number. */
const MAX_DIGITS = 20;
/** An exponent beyond this makes any number too large or no whole number: no body has so many digits. */
const MAX_EXPONENT = 1e10;

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

/**
 * End of the number that starts at `bytes[start]`; -1 when none does.
 * Source: RFC 8259, section 6.
 */
export function numberEnd(bytes: Uint8Array, start: number): number {
  let p = bytes[start] === MINUS ? start + 1 : start;
  if (!isDigit(bytes[p])) return -1;
  if (bytes[p] === ZERO) p++;
  else p = digitsEnd(bytes, p);
  if (bytes[p] === POINT) {
    if (!isDigit(bytes[p + 1])) return -1;
    p = digitsEnd(bytes, p + 1);
  }
  if (bytes[p] === LOWER_E || bytes[p] === UPPER_E) {
    p += bytes[p + 1] === PLUS || bytes[p + 1] === MINUS ? 2 : 1;
    if (!isDigit(bytes[p])) return -1;
    p = digitsEnd(bytes, p);
  }
  return p;
}

function digitsEnd(bytes: Uint8Array, start: number): number {
  let p = start;
  while (isDigit(bytes[p])) p++;
  return p;
}

/** The double nearest to the number `bytes[start, end)`; undefined when it is beyond the finite ones. */
export function toDouble(bytes: Buffer, start: number, end: number): number | undefined {
  if (end - start <= EXACT_DIGITS) {
    const negative = bytes[start] === MINUS;
    let value = 0;
    let p = negative ? start + 1 : start;
    while (p < end && isDigit(bytes[p])) value = value * 10 + bytes[p++]! - ZERO;
    if (p === end) return negative ? -value : value;
  }
  const value = Number(bytes.toString("latin1", start, end));
  return Number.isFinite(value) ? value : undefined;
}

/** A whole number of up to 64 bits, read without a double: its magnitude in two halves, and its sign. */
export class WideInteger {
  /** Infinity when what was read is no whole number or has more than 20 digits; it fits no type then. */
  high = 0;
  low = 0;
  private negative = false;

  /**
   * Reads the plain integer that starts at `bytes[start]`: `-`, digits and no leading zero; where its digits end.
   * The way of nearly every number. -1 when it needs `read`.
   */
  readPlain(bytes: Uint8Array, start: number): number {
    const negative = bytes[start] === MINUS;
    const first = negative ? start + 1 : start;
    const exactEnd = Math.min(first + EXACT_DIGITS, bytes.length);
    let value = 0;
    let p = first;
    while (p < exactEnd && isDigit(bytes[p])) value = value * 10 + bytes[p++]! - ZERO;
    if (p === first || (bytes[first] === ZERO && p > first + 1)) return -1;
    this.high = Math.floor(value / TWO_32);
    this.low = value >>> 0;
    this.negative = negative;
    while (isDigit(bytes[p])) {
      if (p === first + MAX_DIGITS) return -1;
      this.append(bytes[p++]! - ZERO);
    }
    return bytes[p] === POINT || bytes[p] === LOWER_E || bytes[p] === UPPER_E ? -1 : p;
  }

  /** Reads the number `bytes[start, end)` exactly, also with a fraction or an exponent (`1.0`, `25e2`), as ProtoJSON allows. */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.high = 0;
    this.low = 0;
    this.negative = bytes[start] === MINUS;
    // The number is its digits from the first to the last that is not zero, times ten to the power of `scale`.
    let first = -1;
    let last = -1;
    let scale = 0;
    let fraction = false;
    let p = this.negative ? start + 1 : start;
    for (; p < end && bytes[p] !== LOWER_E && bytes[p] !== UPPER_E; p++) {
      if (bytes[p] === POINT) {
        fraction = true;
        continue;
      }
      if (fraction) scale--;
      if (bytes[p] === ZERO) continue;
      if (first < 0) first = p;
      last = p;
    }
    if (first < 0) return;
    for (let zero = last + 1; zero < p; zero++) if (bytes[zero] !== POINT) scale++;
    scale += exponent(bytes, p, end);
    let digits = scale;
    for (p = first; p <= last && digits <= MAX_DIGITS; p++) {
      if (bytes[p] === POINT) continue;
      this.append(bytes[p]! - ZERO);
      digits++;
    }
    if (scale < 0 || digits > MAX_DIGITS) this.setNone();
    else for (; scale > 0; scale--) this.append(0);
  }

  /** Makes it no number, which fits no type. */
  setNone(): void {
    this.high = Infinity;
  }

  /** Appends a decimal digit. `high` outgrows 32 bits when the number outgrows 64, and is exact up to MAX_DIGITS digits. */
  private append(digit: number): void {
    const low = this.low * 10 + digit;
    this.high = this.high * 10 + Math.floor(low / TWO_32);
    this.low = low >>> 0;
  }

  get fitsUint64(): boolean {
    return this.high < TWO_32 && (!this.negative || (this.high === 0 && this.low === 0));
  }

  get fitsInt64(): boolean {
    return (
      this.high < 0x8000_0000 || (this.negative && this.high === 0x8000_0000 && this.low === 0)
    );
  }

  get fitsUint32(): boolean {
    return this.high === 0 && (!this.negative || this.low === 0);
  }

  get fitsInt32(): boolean {
    return this.high === 0 && (this.negative ? this.low <= 0x8000_0000 : this.low < 0x8000_0000);
  }

  /** Turns sign and magnitude into 64 bits of two's complement. */
  toTwosComplement(): void {
    if (!this.negative) return;
    this.low = -this.low >>> 0;
    this.high = (~this.high + (this.low === 0 ? 1 : 0)) >>> 0;
    this.negative = false;
  }
}

/** Value of the exponent `bytes[start, end)`, its letter included; 0 when there is none. */
function exponent(bytes: Uint8Array, start: number, end: number): number {
  let p = start + 1;
  const negative = bytes[p] === MINUS;
  if (negative || bytes[p] === PLUS) p++;
  let value = 0;
  for (; p < end; p++) value = Math.min(value * 10 + bytes[p]! - ZERO, MAX_EXPONENT);
  return negative ? -value : value;
}
