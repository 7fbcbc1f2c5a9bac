import { Cursor, MAX_DEPTH } from "../core/wire.ts";
import { VALUE_TYPES } from "./attributes.ts";
import type { RowBuffer } from "./row-buffer.ts";

type HidesSecret = (from: Uint8Array, start: number, end: number) => boolean;

/**
 * Writes OTLP AnyValues as the text that the OpenTelemetry ClickHouse exporter stores: strings as they are, numbers and booleans as their JSON,
 * bytes as base64, arrays and lists as JSON. Keys of lists keep their order and their duplicates.
 */
export class ValueWriter {
  readonly #cursor = new Cursor();
  readonly #hidesSecret: HidesSecret;

  /** `hidesSecret` says of bytes whether base64 would hide a secret in them: then `[redacted]` is written in their place. */
  constructor(hidesSecret: HidesSecret = () => false) {
    this.#hidesSecret = hidesSecret;
  }

  /**
   * Writes the value [start, end) of `type` (VALUE_TYPES) of `from` as one String.
   * Throws: WireError when a nested value is not valid protobuf or deeper than MAX_DEPTH.
   */
  writeText(out: RowBuffer, from: Uint8Array, type: number, start: number, end: number): void {
    if (type === VALUE_TYPES.string) {
      out.writeText(from, start, end);
      return;
    }
    if (type === VALUE_TYPES.none) {
      out.writeByte(0);
      return;
    }
    if (type === VALUE_TYPES.int && end - start === 1) {
      // 0 to 127: the commonest numbers.
      writeSmallInt(out, from[start]!);
      return;
    }
    const at = out.position;
    out.ensure(64);
    out.position = at + 1;
    if (type === VALUE_TYPES.array || type === VALUE_TYPES.kvlist)
      this.#writeJson(out, from, type, start, end, 0);
    else if (type === VALUE_TYPES.bytes) this.#writeBytes(out, from, start, end);
    else this.#writeScalar(out, from, type, start, false);
    prependLength(out, at);
  }

  #writeBytes(out: RowBuffer, from: Uint8Array, start: number, end: number): void {
    if (this.#hidesSecret(from, start, end)) writeAscii(out, "[redacted]");
    else writeBase64(out, from, start, end);
  }

  #writeScalar(
    out: RowBuffer,
    from: Uint8Array,
    type: number,
    start: number,
    inJson: boolean,
  ): void {
    if (type === VALUE_TYPES.bool) writeAscii(out, isTrue(from, start) ? "true" : "false");
    else if (type === VALUE_TYPES.int) writeInt(out, from, start);
    else {
      const value = doubleAt(from, start);
      // NaN and the infinities are no JSON numbers; protobuf's JSON mapping makes them strings.
      const text = Number.isFinite(value)
        ? Object.is(value, -0)
          ? "-0"
          : String(value)
        : String(value);
      writeAscii(out, inJson && !Number.isFinite(value) ? `"${text}"` : text);
    }
  }

  #writeJson(
    out: RowBuffer,
    from: Uint8Array,
    type: number,
    start: number,
    end: number,
    depth: number,
  ): void {
    const cursor = this.#cursor;
    if (depth >= MAX_DEPTH) cursor.fail(`expected values nested at most ${MAX_DEPTH} deep`, start);
    out.ensure(2);
    const isList = type === VALUE_TYPES.kvlist;
    out.writeByte(isList ? 0x7b : 0x5b);
    let first = true;
    cursor.reset(from, start);
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      if (tag !== 0x0a) {
        cursor.skip(tag, end);
        continue;
      }
      const itemEnd = cursor.delimited(end);
      out.ensure(8);
      if (!first) out.writeByte(0x2c);
      first = false;
      if (isList) this.#writeMember(out, from, cursor.position, itemEnd, depth);
      else this.#writeValue(out, from, cursor.position, itemEnd, depth);
      cursor.reset(from, itemEnd);
    }
    out.ensure(1);
    out.writeByte(isList ? 0x7d : 0x5d);
  }

  /** A KeyValue as `"key":value`. */
  #writeMember(out: RowBuffer, from: Uint8Array, start: number, end: number, depth: number): void {
    const cursor = this.#cursor;
    let keyStart = 0;
    let keyEnd = 0;
    let valueStart = 0;
    let valueEnd = 0;
    cursor.reset(from, start);
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      if (tag === 0x0a) {
        keyEnd = cursor.delimited(end);
        keyStart = cursor.position;
        cursor.position = keyEnd;
      } else if (tag === 0x12) {
        valueEnd = cursor.delimited(end);
        valueStart = cursor.position;
        cursor.position = valueEnd;
      } else cursor.skip(tag, end);
    }
    writeJsonString(out, from, keyStart, keyEnd);
    out.ensure(8);
    out.writeByte(0x3a);
    this.#writeValue(out, from, valueStart, valueEnd, depth);
  }

  /** An AnyValue as JSON; without a value, null. */
  #writeValue(out: RowBuffer, from: Uint8Array, start: number, end: number, depth: number): void {
    const cursor = this.#cursor;
    let type: number = VALUE_TYPES.none;
    let valueStart = 0;
    let valueEnd = 0;
    cursor.reset(from, start);
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      const field = tag >>> 3;
      if (tag === 0x0a || tag === 0x2a || tag === 0x32 || tag === 0x3a) {
        type = field;
        valueEnd = cursor.delimited(end);
        valueStart = cursor.position;
        cursor.position = valueEnd;
      } else if (tag === 0x10 || tag === 0x18) {
        type = field;
        valueStart = cursor.position;
        cursor.varint(end);
      } else if (tag === 0x21) {
        type = field;
        valueStart = cursor.fixed(8, end);
      } else cursor.skip(tag, end);
    }
    if (type === VALUE_TYPES.string) writeJsonString(out, from, valueStart, valueEnd);
    else if (type === VALUE_TYPES.array || type === VALUE_TYPES.kvlist)
      this.#writeJson(out, from, type, valueStart, valueEnd, depth + 1);
    else if (type === VALUE_TYPES.bytes) {
      out.ensure(2);
      out.writeByte(0x22);
      this.#writeBytes(out, from, valueStart, valueEnd);
      out.ensure(1);
      out.writeByte(0x22);
    } else {
      out.ensure(64);
      if (type === VALUE_TYPES.none) writeAscii(out, "null");
      else this.#writeScalar(out, from, type, valueStart, true);
    }
  }
}

/** Puts the length of what stands behind `at + 1` in front of it, at `at`. */
function prependLength(out: RowBuffer, at: number): void {
  const length = out.position - at - 1;
  if (length >= 0x80) {
    const extra = length < 0x4000 ? 1 : length < 0x20_0000 ? 2 : length < 0x1000_0000 ? 3 : 4;
    out.ensure(extra);
    out.bytes.copyWithin(at + 1 + extra, at + 1, at + 1 + length);
  }
  out.position = at;
  out.writeVarint(length);
  out.position += length;
}

function writeAscii(out: RowBuffer, text: string): void {
  for (let i = 0; i < text.length; i++) out.writeByte(text.charCodeAt(i));
}

function writeSmallInt(out: RowBuffer, value: number): void {
  if (value < 10) {
    out.writeByte(1);
    out.writeByte(0x30 + value);
  } else if (value < 100) {
    out.writeByte(2);
    out.writeByte(0x30 + ((value / 10) | 0));
    out.writeByte(0x30 + (value % 10));
  } else {
    out.writeByte(3);
    out.writeByte(0x31);
    out.writeByte(0x30 + (((value - 100) / 10) | 0));
    out.writeByte(0x30 + (value % 10));
  }
}

/** Any bit of a varint set? Longer forms of 0 are valid. */
function isTrue(from: Uint8Array, p: number): boolean {
  for (;;) {
    const byte = from[p++]!;
    if ((byte & 0x7f) !== 0) return true;
    if (byte < 0x80) return false;
  }
}

/** The decimal digits of the int64 whose varint begins at `p`. */
function writeInt(out: RowBuffer, from: Uint8Array, p: number): void {
  let low = 0;
  let high = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    const byte = from[p++]!;
    const bits = byte & 0x7f;
    if (shift < 28) low |= bits << shift;
    else if (shift === 28) {
      low |= bits << 28;
      high = bits >>> 4;
    } else high |= bits << (shift - 32);
    if (byte < 0x80) break;
  }
  const value = (high | 0) * 0x1_0000_0000 + (low >>> 0);
  if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) {
    writeAscii(out, ((BigInt(high | 0) << 32n) | BigInt(low >>> 0)).toString());
    return;
  }
  let rest = value;
  if (rest < 0) {
    out.writeByte(0x2d);
    rest = -rest;
  }
  let digits = 1;
  for (let power = 10; rest >= power; power *= 10) digits++;
  const end = out.position + digits;
  for (let i = end - 1; i >= out.position; i--) {
    const quotient = Math.floor(rest / 10);
    out.bytes[i] = 0x30 + (rest - quotient * 10);
    rest = quotient;
  }
  out.position = end;
}

function doubleAt(from: Uint8Array, p: number): number {
  return new DataView(from.buffer, from.byteOffset + p, 8).getFloat64(0, true);
}

function writeBase64(out: RowBuffer, from: Uint8Array, start: number, end: number): void {
  const text = Buffer.from(from.buffer, from.byteOffset + start, end - start).toString("base64");
  out.ensure(text.length + 8);
  writeAscii(out, text);
}

/** RFC 8259, section 7: quotes, backslashes and control characters are escaped; other bytes stay. */
function writeJsonString(out: RowBuffer, from: Uint8Array, start: number, end: number): void {
  out.ensure((end - start) * 6 + 8);
  out.writeByte(0x22);
  for (let p = start; p < end; p++) {
    const byte = from[p]!;
    if (byte >= 0x20 && byte !== 0x22 && byte !== 0x5c) out.writeByte(byte);
    else {
      out.writeByte(0x5c);
      if (byte >= 0x20) out.writeByte(byte);
      else if (byte === 0x0a) out.writeByte(0x6e);
      else if (byte === 0x0d) out.writeByte(0x72);
      else if (byte === 0x09) out.writeByte(0x74);
      else writeAscii(out, `u00${byte < 16 ? "0" : "1"}${"0123456789abcdef"[byte & 15]}`);
    }
  }
  out.writeByte(0x22);
}
