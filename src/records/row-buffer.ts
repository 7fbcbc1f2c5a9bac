import { allocate } from "../core/bytes.ts";

/**
 * Bytes of rows in the making, in ClickHouse's RowBinary: little-endian numbers, strings behind their length as LEB128.
 * The `write…` methods check nothing: call `ensure` first. Ranges of other buffers are copied as they are.
 */
export class RowBuffer {
  bytes: Uint8Array;
  position = 0;

  constructor(capacity: number) {
    this.bytes = allocate(capacity);
  }

  /** Makes room for `count` more bytes. */
  ensure(count: number): void {
    const needed = this.position + count;
    if (needed <= this.bytes.length) return;
    const larger = allocate(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.position));
    this.bytes = larger;
  }

  writeByte(value: number): void {
    this.bytes[this.position++] = value;
  }

  writeUint16(value: number): void {
    const { bytes, position } = this;
    bytes[position] = value;
    bytes[position + 1] = value >>> 8;
    this.position = position + 2;
  }

  writeUint32(value: number): void {
    const { bytes, position } = this;
    bytes[position] = value;
    bytes[position + 1] = value >>> 8;
    bytes[position + 2] = value >>> 16;
    bytes[position + 3] = value >>> 24;
    this.position = position + 4;
  }

  /** Eight bytes, from their low and high 32 bits. */
  writeEight(low: number, high: number): void {
    this.writeUint32(low);
    this.writeUint32(high);
  }

  /** An unsigned LEB128 number below 2^32. */
  writeVarint(value: number): void {
    const { bytes } = this;
    let p = this.position;
    while (value >= 0x80) {
      bytes[p++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[p++] = value;
    this.position = p;
  }

  /** The bytes [start, end) of `from`. */
  writeBytes(from: Uint8Array, start: number, end: number): void {
    const { bytes } = this;
    let p = this.position;
    if (end - start < COPY_BY_HAND) {
      while (start < end) bytes[p++] = from[start++]!;
      this.position = p;
    } else {
      bytes.set(from.subarray(start, end), p);
      this.position = p + end - start;
    }
  }

  /** A String of the bytes [start, end) of `from`. */
  writeText(from: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length < 0x80) this.bytes[this.position++] = length;
    else this.writeVarint(length);
    this.writeBytes(from, start, end);
  }

  /** A String of the lower-case hex digits of `count` bytes. A negative offset gives the empty String. */
  writeHexText(from: Uint8Array, offset: number, count: number): void {
    const { bytes } = this;
    let p = this.position;
    if (offset < 0) {
      bytes[p++] = 0;
    } else {
      bytes[p++] = count * 2;
      for (let i = offset; i < offset + count; i++) {
        const byte = from[i]!;
        bytes[p++] = HEX_DIGITS[byte >>> 4]!;
        bytes[p++] = HEX_DIGITS[byte & 15]!;
      }
    }
    this.position = p;
  }
}

/** Below this a loop is faster than TypedArray.set, which needs a view first (measured: they meet between 32 and 64 bytes). */
const COPY_BY_HAND = 48;

const HEX_DIGITS = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
