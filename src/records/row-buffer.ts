import { allocate } from "../core/bytes.ts";
import { BufferPool } from "./buffer-pool.ts";

/**
 * Bytes of rows in the making, in ClickHouse's RowBinary: little-endian numbers, strings behind their length as LEB128.
 * The `write…` methods check nothing: call `ensure` first. Ranges of other buffers are copied as they are.
 */
export class RowBuffer {
  bytes: Uint8Array<ArrayBuffer>;
  position = 0;
  readonly #pool: BufferPool;
  /** Of `bytes`. */
  #view: DataView;
  /** Where texts were copied from last, which is where nearly all of a record's are, and a view of it. */
  #source: Uint8Array = NO_SOURCE;
  #sourceView: DataView = viewOf(NO_SOURCE);

  constructor(capacity: number, pool: BufferPool = NO_POOL) {
    this.#pool = pool;
    this.bytes = pool === NO_POOL ? allocate(capacity) : pool.lease(capacity);
    this.#view = viewOf(this.bytes);
  }

  /** Of all of `bytes`, for who looks at several of them at once. */
  get view(): DataView {
    return this.#view;
  }

  /** Makes room for `count` more bytes. */
  ensure(count: number): void {
    const needed = this.position + count;
    if (needed <= this.bytes.length) return;
    const larger = this.#pool.lease(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.position));
    this.#pool.give(this.bytes);
    this.#turnTo(larger);
  }

  /**
   * The bytes that were written, with a way to give their memory back; the buffer is empty afterwards.
   * A large buffer is handed over and replaced; little in a large buffer is copied out of it.
   */
  take(): { readonly bytes: Uint8Array; readonly free: () => void } {
    const { position, bytes: whole } = this;
    this.position = 0;
    this.#forgetSource();
    if (position * 2 < whole.length) {
      const copy = whole.slice(0, position);
      return { bytes: copy, free: once(() => copy.buffer.transfer(0)) };
    }
    this.#turnTo(this.#pool.lease(Math.min(whole.length, MAX_KEPT_BYTES)));
    return { bytes: whole.subarray(0, position), free: once(() => this.#pool.give(whole)) };
  }

  /** Drops what was written. */
  reset(): void {
    this.position = 0;
    this.#forgetSource();
    if (this.bytes.length <= MAX_KEPT_BYTES) return;
    this.#pool.give(this.bytes);
    this.#turnTo(this.#pool.lease(0));
  }

  #forgetSource(): void {
    this.#source = NO_SOURCE;
    this.#sourceView = viewOf(NO_SOURCE);
  }

  #turnTo(bytes: Uint8Array<ArrayBuffer>): void {
    this.bytes = bytes;
    this.#view = viewOf(bytes);
  }

  writeByte(value: number): void {
    this.bytes[this.position++] = value;
  }

  writeUint16(value: number): void {
    this.#view.setUint16(this.position, value, true);
    this.position += 2;
  }

  writeUint32(value: number): void {
    this.#view.setUint32(this.position, value, true);
    this.position += 4;
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
      bytes.set(end - start === from.length ? from : from.subarray(start, end), p);
      this.position = p + end - start;
    }
  }

  /** A String of the bytes [start, end) of `from`, of which a view is kept until `take` or `reset`. */
  writeText(from: Uint8Array, start: number, end: number): void {
    if (from !== this.#source) {
      this.#source = from;
      this.#sourceView = viewOf(from);
    }
    this.writeTextOf(this.#sourceView, start, end);
  }

  /**
   * A String of the bytes [start, end) of `from`.
   * Cost: a third of a loop over bytes, since it copies four at a time (measured; the last four may overlap those before them).
   */
  writeTextOf(from: DataView, start: number, end: number): void {
    const length = end - start;
    const { bytes } = this;
    if (length < 0x80) bytes[this.position++] = length;
    else this.writeVarint(length);
    let p = this.position;
    this.position = p + length;
    if (length < 4) {
      while (start < end) bytes[p++] = from.getUint8(start++);
      return;
    }
    const to = this.#view;
    const last = end - 4;
    for (; start < last; start += 4, p += 4) to.setInt32(p, from.getInt32(start));
    to.setInt32(this.position - 4, from.getInt32(last));
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

const NO_SOURCE = new Uint8Array(0);
/** A buffer that one large request has grown beyond this is not kept for the next one. */
const MAX_KEPT_BYTES = 32 * 1024 * 1024;
/** For buffers that are few and small: nothing is kept. */
const NO_POOL = new BufferPool(0);

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}

/** Below this a loop is faster than TypedArray.set, which needs a view first (measured: they meet between 32 and 64 bytes). */
const COPY_BY_HAND = 48;

/** A view of all of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const HEX_DIGITS = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
