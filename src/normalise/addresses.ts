import { CHAR, hexValue, isDigit } from "./ascii.ts";

/** Bytes of an IPv6 address. */
const LENGTH = 16;
const GROUPS = 8;
/** Zeros in front of ::ffff: and an IPv4 address. */
const V4_ZEROS = 10;
const NO_DIGIT = -1;

/**
 * Reads `a.b.c.d`, `a.b.c.d:port`, an IPv6 address bare or in brackets, and `[v6]:port`, into 16 bytes in network order
 * (IPv4 as ::ffff:a.b.c.d, RFC 4291, section 2.5.5.2). Anything else, such as `envoy://…` or the path of a socket, is refused.
 */
export class Address {
  readonly bytes = new Uint8Array(LENGTH);
  /** -1 when the text names no port. */
  port = -1;
  /** The address alone, without brackets and port. */
  hostStart = 0;
  hostEnd = 0;
  /** The bytes begin as those of every IPv4 address do. */
  #isV4 = false;

  /** Is [start, end) an address? If not, nothing in here means anything. */
  parse(from: Uint8Array, start: number, end: number): boolean {
    this.port = -1;
    this.hostStart = start;
    this.hostEnd = end;
    if (start >= end) return false;
    if (from[start] === CHAR.bracketOpen) return this.#parseBracketed(from, start, end);
    const stop = this.#readV4(from, start, end, LENGTH - 4);
    if (stop < 0) return this.#parseV6(from, start, end);
    this.hostEnd = stop;
    if (stop < end && (from[stop] !== CHAR.colon || !this.#parsePort(from, stop + 1, end)))
      return false;
    if (!this.#isV4) {
      this.bytes.fill(0, 0, V4_ZEROS);
      this.bytes.fill(0xff, V4_ZEROS, LENGTH - 4);
      this.#isV4 = true;
    }
    return true;
  }

  /** Copies the address to `target`, which is ::. */
  copyTo(target: Uint8Array): void {
    for (let i = this.#isV4 ? V4_ZEROS : 0; i < LENGTH; i++) target[i] = this.bytes[i]!;
  }

  #parseBracketed(from: Uint8Array, start: number, end: number): boolean {
    let close = start + 1;
    while (close < end && from[close] !== CHAR.bracketClose) close++;
    if (close === end) return false;
    this.hostStart = start + 1;
    this.hostEnd = close;
    if (
      close + 1 < end &&
      (from[close + 1] !== CHAR.colon || !this.#parsePort(from, close + 2, end))
    )
      return false;
    return this.#parseV6(from, start + 1, close);
  }

  #parsePort(from: Uint8Array, start: number, end: number): boolean {
    if (start >= end || end - start > 5) return false;
    let port = 0;
    for (let i = start; i < end; i++) {
      const c = from[i]!;
      if (!isDigit(c)) return false;
      port = port * 10 + (c - CHAR.zero);
    }
    this.port = port;
    return port <= 0xffff;
  }

  /** Reads four decimal bytes and returns the position behind them, or -1. Leading zeros are refused, since some readers take them for octal. */
  #readV4(from: Uint8Array, start: number, end: number, at: number): number {
    const { bytes } = this;
    let part = 0;
    let value = NO_DIGIT;
    let p = start;
    for (; p < end; p++) {
      const c = from[p]!;
      if (c >= CHAR.zero && c <= CHAR.nine) {
        if (value === 0) return -1;
        value = value === NO_DIGIT ? c - CHAR.zero : value * 10 + (c - CHAR.zero);
        if (value > 255) return -1;
      } else {
        if (c !== CHAR.dot || part === 3) break;
        if (value === NO_DIGIT) return -1;
        bytes[at + part++] = value;
        value = NO_DIGIT;
      }
    }
    if (part !== 3 || value === NO_DIGIT) return -1;
    bytes[at + 3] = value;
    return p;
  }

  /** Source: RFC 4291, section 2.2. A zone (`%eth0`) has no place in 16 bytes and is refused. */
  #parseV6(from: Uint8Array, start: number, end: number): boolean {
    const { bytes } = this;
    bytes.fill(0);
    this.#isV4 = false;
    let p = start;
    let group = 0;
    let gap = -1;
    if (from[p] === CHAR.colon) {
      if (p + 1 >= end || from[p + 1] !== CHAR.colon) return false;
      gap = 0;
      p += 2;
    }
    while (p < end) {
      if (group === GROUPS) return false;
      const first = p;
      let value = 0;
      while (p < end && p - first < 4) {
        const digit = hexValue(from[p]!);
        if (digit < 0) break;
        value = value * 16 + digit;
        p++;
      }
      if (p < end && from[p] === CHAR.dot) {
        // The last 32 bits in IPv4 form.
        if (group > GROUPS - 2 || this.#readV4(from, first, end, group * 2) !== end) return false;
        group += 2;
        p = end;
        break;
      }
      if (p === first) return false;
      bytes[group * 2] = value >> 8;
      bytes[group * 2 + 1] = value & 0xff;
      group++;
      if (p === end) break;
      if (from[p++] !== CHAR.colon || p === end) return false;
      if (from[p] === CHAR.colon) {
        if (gap >= 0) return false;
        gap = group;
        p++;
      }
    }
    if (gap < 0) return group === GROUPS;
    if (group === GROUPS) return false;
    // What stands behind the gap moves to the end.
    const behind = (group - gap) * 2;
    bytes.copyWithin(LENGTH - behind, gap * 2, gap * 2 + behind);
    bytes.fill(0, gap * 2, LENGTH - behind);
    return true;
  }
}
