/**
 * Protobuf wire format, read in place (https://protobuf.dev/programming-guides/encoding/).
 * A Cursor never reads at or behind the `end` that a call is given, and never copies.
 */

/** Bytes that are not what protobuf's wire format allows. Thrown often on hostile input, so each cursor keeps one and no stack is taken. */
export class WireError extends Error {
  offset = 0;
}

/** Groups and nested values deeper than this are refused, as protobuf implementations do by default. */
export const MAX_DEPTH = 100;

const MAX_VARINT_BYTES = 10;

export class Cursor {
  buffer: Uint8Array = new Uint8Array(0);
  position = 0;
  /** Made when it is first needed: taking its stack costs more than reading a record. */
  #error: WireError | undefined;

  reset(buffer: Uint8Array, position: number): void {
    this.buffer = buffer;
    this.position = position;
  }

  /** Throws this cursor's WireError. */
  fail(message: string, offset: number): never {
    const error = (this.#error ??= new WireError());
    error.message = `${message}, at byte ${offset}`;
    error.offset = offset;
    throw error;
  }

  /** An unsigned varint; exact below 2^53, which is beyond any tag or length that can be valid. */
  varint(end: number): number {
    const p = this.position;
    if (p < end) {
      const byte = this.buffer[p]!;
      if (byte < 0x80) {
        this.position = p + 1;
        return byte;
      }
    }
    return this.#longVarint(end);
  }

  #longVarint(end: number): number {
    const start = this.position;
    let value = 0;
    let scale = 1;
    for (let p = start; p < end && p - start < MAX_VARINT_BYTES; p++) {
      const byte = this.buffer[p]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.position = p + 1;
        return value;
      }
      scale *= 0x80;
    }
    return this.fail(
      end - start < MAX_VARINT_BYTES
        ? "expected a varint, got the end of the message"
        : "expected a varint of at most 10 bytes",
      start,
    );
  }

  /** The low 32 bits of a varint, unsigned: how uint32, int32 and enum fields are read. */
  uint32(end: number): number {
    const start = this.position;
    let value = 0;
    for (let p = start, shift = 0; p < end && p - start < MAX_VARINT_BYTES; p++, shift += 7) {
      const byte = this.buffer[p]!;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.position = p + 1;
        return value >>> 0;
      }
    }
    return this.fail("expected a varint", start);
  }

  /** The end of a length-delimited field whose length stands here; `position` is its start afterwards. */
  delimited(end: number): number {
    const at = this.position;
    const length = this.varint(end);
    if (length > end - this.position) {
      this.fail(`expected ${length} bytes, got ${end - this.position}`, at);
    }
    return this.position + length;
  }

  /** Moves over `bytes` bytes and returns where they begin. */
  fixed(bytes: number, end: number): number {
    const start = this.position;
    if (end - start < bytes) this.fail(`expected ${bytes} bytes, got ${end - start}`, start);
    this.position = start + bytes;
    return start;
  }

  /** An unsigned fixed32. */
  fixed32(end: number): number {
    const p = this.fixed(4, end);
    const b = this.buffer;
    return (b[p]! | (b[p + 1]! << 8) | (b[p + 2]! << 16) | (b[p + 3]! << 24)) >>> 0;
  }

  /** Skips the value of a field that is not known here, by its tag. */
  skip(tag: number, end: number, depth = 0): void {
    const start = this.position;
    if (tag >>> 3 === 0 || tag > 0xffff_ffff)
      this.fail("expected a field number from 1 to 2^29 - 1", start);
    switch (tag & 7) {
      case 0:
        this.varint(end);
        return;
      case 1:
        this.fixed(8, end);
        return;
      case 2:
        this.position = this.delimited(end);
        return;
      case 3:
        this.#skipGroup(tag, end, depth);
        return;
      case 5:
        this.fixed(4, end);
        return;
      default:
        this.fail(`expected a wire type, got ${tag & 7} in tag ${tag}`, start);
    }
  }

  #skipGroup(startTag: number, end: number, depth: number): void {
    if (depth >= MAX_DEPTH) this.fail(`expected at most ${MAX_DEPTH} nested groups`, this.position);
    for (;;) {
      const tag = this.varint(end);
      if ((tag & 7) === 4) {
        if (tag !== startTag + 1)
          this.fail(
            `expected the end of group ${startTag >>> 3}, got that of ${tag >>> 3}`,
            this.position,
          );
        return;
      }
      this.skip(tag, end, depth + 1);
    }
  }
}
