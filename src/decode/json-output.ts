import { strict as assert } from "node:assert";

/** Up to here a loop copies bytes faster than a call does (measured). */
const SHORT_BYTES = 32;
/** A finished message longer than this is not moved to narrow the length in front of it. */
const MAX_MOVED_BYTES = 4096;
/** Bytes of a length that holds any message. */
export const WIDEST_LENGTH_BYTES = 5;

/** Protobuf being written into one buffer of a capacity that the caller knows to be enough. */
export class ProtobufOutput {
  readonly bytes: Buffer;
  /** How much of `bytes` is written. */
  length = 0;
  readonly view: DataView;

  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }

  /** What was written. JavaScript drops writes behind the end of an array silently: that there was none is checked here. */
  finish(): Uint8Array {
    assert.ok(this.length <= this.bytes.length, "the output outgrew its capacity");
    return this.bytes.subarray(0, this.length);
  }

  /** Field number and wire type: at most 14 bits. */
  tag(tag: number): void {
    if (tag > 0x7f) {
      this.bytes[this.length++] = (tag & 0x7f) | 0x80;
      tag >>>= 7;
    }
    this.bytes[this.length++] = tag;
  }

  /** A number below 2^32. */
  varint(value: number): void {
    while (value > 0x7f) {
      this.bytes[this.length++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    this.bytes[this.length++] = value;
  }

  varint64(high: number, low: number): void {
    while (high !== 0) {
      this.bytes[this.length++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.varint(low);
  }

  fixed32(value: number): void {
    this.view.setUint32(this.length, value, true);
    this.length += 4;
  }

  double(value: number): void {
    this.view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /** The bytes `source[start, end)`. */
  copy(source: Uint8Array, start: number, end: number): void {
    this.length = copyBytes(source, start, end, this.bytes, this.length);
  }

  /**
   * Writes the length of what stands from `start` on into the `kept` bytes in front of it.
   * Where it takes fewer or more, what stands there moves; but a long message keeps a wide length, which is as valid, if less short.
   */
  closeLength(start: number, kept: number): void {
    const { bytes } = this;
    let rest = this.length - start;
    let needed =
      rest < 0x80 ? 1 : rest < 0x4000 ? 2 : rest < 0x20_0000 ? 3 : rest < 0x1000_0000 ? 4 : 5;
    if (needed < kept && rest > MAX_MOVED_BYTES) needed = kept;
    if (needed !== kept) {
      bytes.copyWithin(start + needed - kept, start, this.length);
      this.length += needed - kept;
    }
    let at = start - kept;
    for (let i = 1; i < needed; i++) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at] = rest;
  }
}

/** Copies `source[start, end)` to `target[at]`; where the copy ends. */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  if (end - start > SHORT_BYTES) {
    target.set(source.subarray(start, end), at);
    return at + end - start;
  }
  for (let p = start; p < end; p++) target[at++] = source[p]!;
  return at;
}
