import { FALSE, HEX, JsonCursor, LETTER_T, QUOTE, TRUE } from "./json-cursor.ts";
import { numberEnd, toDouble, WideInteger } from "./json-number.ts";
import { ProtobufOutput } from "./json-output.ts";
import {
  BASE64,
  BOOL,
  DOUBLE,
  DOUBLE_VALUE_TAG,
  ENUM,
  type Field,
  FIXED32,
  FIXED64,
  INT64,
  SPAN_ID,
  TEXT,
  TRACE_ID,
  UINT32,
} from "./json-schema.ts";

/** What the output may need beyond nine eighths of the input: lengths kept wide in front of open messages. */
const SLACK_BYTES = 4096;
/** A text with escapes is decoded so far behind the output: further than its tag and length reach. */
const HEADROOM_BYTES = 16;

const EQUALS = 0x3d;

/** No smaller double needs more than 64 bits. */
const MIN_LARGE = 2 ** 63;

/** Value of a base64 digit, of the standard and the URL-safe alphabet (RFC 4648, sections 4 and 5); -1 for every other byte. */
const BASE64_DIGITS = new Int8Array(256).fill(-1);
for (const alphabet of ["+/", "-_"]) {
  const digits = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789${alphabet}`;
  for (let i = 0; i < 64; i++) BASE64_DIGITS[digits.charCodeAt(i)] = i;
}

const NAN = Buffer.from("NaN");
const INFINITY = Buffer.from("Infinity");
const MINUS_INFINITY = Buffer.from("-Infinity");

/**
 * Reads single values of JSON and writes them as protobuf fields.
 *
 * The output cannot outgrow nine eighths of the input: no field is longer in protobuf than in JSON, key and comma included, but for a
 * negative enum (`"kind":-1,` is 10 bytes in JSON and 11 in protobuf).
 */
export class JsonScalars extends JsonCursor {
  protected readonly output: ProtobufOutput;
  private readonly integer = new WideInteger();
  /** Where `readText` left a string: `source[from, to)`, with a quote behind it. */
  protected source: Buffer;
  protected from = 0;
  protected to = 0;

  constructor(json: Uint8Array) {
    super(json);
    this.source = this.input;
    this.output = new ProtobufOutput(json.length + (json.length >> 3) + SLACK_BYTES);
  }

  /** One value of `field`, its tag in front. An empty or zero value is written too: of duplicate keys the last has to win. */
  protected scalar(field: Field): void {
    const { output, integer, position } = this;
    switch (field.kind) {
      case TEXT:
        this.text(field.tag);
        return;
      case TRACE_ID:
        this.id(field.tag, 16);
        return;
      case SPAN_ID:
        this.id(field.tag, 8);
        return;
      case BASE64:
        this.base64(field.tag);
        return;
      case BOOL:
        this.bool(field.tag);
        return;
      case DOUBLE:
        this.double(field.tag);
        return;
      case INT64:
        this.readInteger();
        if (!integer.fitsInt64) {
          this.largeInteger(position);
          return;
        }
        integer.toTwosComplement();
        output.tag(field.tag);
        output.varint64(integer.high, integer.low);
        return;
      case UINT32:
        this.readInteger();
        if (!integer.fitsUint32) this.fail("an unsigned 32-bit integer", position);
        output.tag(field.tag);
        output.varint(integer.low);
        return;
      case ENUM:
        this.readInteger();
        if (!integer.fitsInt32)
          this.fail("a 32-bit integer (OTLP has no enum names in JSON)", position);
        integer.toTwosComplement();
        output.tag(field.tag);
        output.varint64(integer.high, integer.low);
        return;
      case FIXED32:
        this.readInteger();
        if (!integer.fitsUint32) this.fail("an unsigned 32-bit integer", position);
        output.tag(field.tag);
        output.fixed32(integer.low);
        return;
      case FIXED64:
        this.readInteger();
        if (!integer.fitsUint64) this.fail("an unsigned 64-bit integer", position);
        output.tag(field.tag);
        output.fixed32(integer.low);
        output.fixed32(integer.high);
    }
  }

  /** Reads a string to `source[from, to)`: in the input, or with its escapes decoded behind the output. */
  protected readText(expected: string): void {
    const { input } = this;
    if (input[this.position] !== QUOTE) this.fail(expected);
    const start = this.position + 1;
    const end = this.plainEnd(start);
    if (input[end] === QUOTE) {
      this.source = input;
      this.from = start;
      this.to = end;
      this.position = end + 1;
      return;
    }
    this.position = start;
    this.source = this.output.bytes;
    this.from = this.output.length + HEADROOM_BYTES;
    this.to = this.unescape(this.source, this.from);
    this.source[this.to] = QUOTE;
  }

  private text(tag: number): void {
    if (this.input[this.position] !== QUOTE) this.fail("a string");
    const { output } = this;
    output.tag(tag);
    const start = this.position + 1;
    const at = output.length + 1;
    const end = this.copyPlain(start, output.view, at);
    if (this.input[end] === QUOTE) {
      this.position = end + 1;
      output.length = at + end - start;
    } else {
      this.position = start;
      output.length = this.unescape(output.bytes, at);
    }
    output.closeLength(at, 1);
  }

  /**
   * A trace or span ID. Hex of any even length is decoded. What is not hex goes on as the text that came, with a zero byte behind it
   * where it would pass for an ID: by its wrong length the decoder of protobuf tells a bad ID, and rejects that one record.
   */
  private id(tag: number, idBytes: number): void {
    this.readText("a string of hex digits");
    const { output, source, from, to } = this;
    output.tag(tag);
    if (isHex(source, from, to)) {
      output.varint((to - from) >> 1);
      for (let p = from; p < to; p += 2)
        output.bytes[output.length++] = (HEX[source[p]!]! << 4) | HEX[source[p + 1]!]!;
      return;
    }
    const filler = to - from === idBytes ? 1 : 0;
    output.varint(to - from + filler);
    output.copy(source, from, to);
    if (filler === 1) output.bytes[output.length++] = 0;
  }

  private base64(tag: number): void {
    const { output, position } = this;
    this.readText("a string of base64");
    const { source, from, to } = this;
    let end = to;
    while (end > from && to - end < 2 && source[end - 1] === EQUALS) end--;
    const left = (end - from) % 4;
    if (left === 1 || (end < to && (to - from) % 4 !== 0))
      this.fail("base64 of whole bytes", position);
    output.tag(tag);
    output.varint(((end - from - left) / 4) * 3 + Math.max(left - 1, 0));
    let bits = 0;
    let held = 0;
    for (let p = from; p < end; p++) {
      const digit = BASE64_DIGITS[source[p]!]!;
      if (digit < 0) this.fail("base64", position);
      bits = ((bits & 0x3f) << 6) | digit;
      held += 6;
      if (held < 8) continue;
      held -= 8;
      output.bytes[output.length++] = (bits >> held) & 0xff;
    }
  }

  private bool(tag: number): void {
    const value = this.input[this.position] === LETTER_T;
    this.literal(value ? TRUE : FALSE, "true or false");
    this.output.tag(tag);
    this.output.varint(value ? 1 : 0);
  }

  private double(tag: number): void {
    const { position } = this;
    let value: number | undefined;
    if (this.input[position] === QUOTE) {
      this.readText("a number");
      value =
        this.namedDouble() ??
        (numberEnd(this.source, this.from) === this.to
          ? toDouble(this.source, this.from, this.to)
          : undefined);
    } else {
      const end = numberEnd(this.input, position);
      if (end > 0) value = toDouble(this.input, position, end);
      this.position = end;
    }
    if (value === undefined)
      this.fail('a finite number, "NaN", "Infinity" or "-Infinity"', position);
    this.output.tag(tag);
    this.output.double(value);
  }

  /**
   * A whole number beyond 64 bits, written as a number: a double that its sender took for an integer, as the JavaScript SDK does in JSON (its
   * protobuf has it as a double). Refusing it would refuse all records of the request.
   */
  private largeInteger(position: number): void {
    const value =
      this.input[position] === QUOTE || this.position < 0
        ? undefined
        : toDouble(this.input, position, this.position);
    if (value === undefined || !Number.isInteger(value) || Math.abs(value) < MIN_LARGE)
      this.fail("a 64-bit integer", position);
    this.output.tag(DOUBLE_VALUE_TAG);
    this.output.double(value);
  }

  /** The double that the text names, which JSON cannot write as a number. */
  private namedDouble(): number | undefined {
    const text = this.source.subarray(this.from, this.to);
    if (NAN.equals(text)) return Number.NaN;
    if (INFINITY.equals(text)) return Infinity;
    return MINUS_INFINITY.equals(text) ? -Infinity : undefined;
  }

  /** Reads a JSON number, or a string that is one, to `integer`; anything else makes it no number. */
  private readInteger(): void {
    const { input, integer, position } = this;
    const quoted = input[position] === QUOTE;
    const plain = integer.readPlain(input, quoted ? position + 1 : position);
    if (plain > 0 && (!quoted || input[plain] === QUOTE)) {
      this.position = quoted ? plain + 1 : plain;
      return;
    }
    if (quoted) this.readText("a number");
    else {
      this.source = input;
      this.from = position;
      this.to = this.position = numberEnd(input, position);
    }
    if (this.to < 0 || numberEnd(this.source, this.from) !== this.to) integer.setNone();
    else integer.read(this.source, this.from, this.to);
  }
}

function isHex(bytes: Uint8Array, start: number, end: number): boolean {
  if (((end - start) & 1) !== 0) return false;
  for (let p = start; p < end; p++) if (HEX[bytes[p]!]! < 0) return false;
  return true;
}
