import { isUtf8 } from "node:buffer";
import { MAX_DEPTH } from "../core/wire.ts";
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  LETTER_N,
  NULL,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from "./json-cursor.ts";
import { firstInvalidUtf8, jsonError } from "./json-error.ts";
import { WIDEST_LENGTH_BYTES } from "./json-output.ts";
import { JsonScalars } from "./json-scalars.ts";
import { ANY_VALUE, type Field, KEY_VALUE, type Message } from "./json-schema.ts";

/** Records between two looks at other work. */
const RECORDS_PER_STEP = 32;
/** AnyValues may stand in one another so deep: the outermost, and one in each array and list that the decoder of protobuf takes. */
const MAX_VALUES = MAX_DEPTH + 1;
/** Arrays and objects below that which are read over. */
const MAX_SKIPPED_LEVELS = 8_000;

// What stands between the parts of an attribute, as words of four bytes. A comparison of words with constants is what makes the fast path fast.
const KEY_0 = word('{"ke');
const KEY_4 = word('y":"');
const KEY_BYTES = 8;
const VALUE_0 = word('","v');
const VALUE_4 = word("alue");
const VALUE_6 = word('ue":');
const VALUE_BYTES = 10;
const STRING_0 = word('{"st');
const STRING_4 = word("ring");
const STRING_8 = word("Valu");
const STRING_12 = word('e":"');
const STRING_BYTES = 16;

const KEY_TAG = 0x0a;
const VALUE_TAG = 0x12;
const STRING_TAG = 0x0a;
/** The largest length of one byte. */
const MAX_SHORT = 0x7f;

/** Four characters as a little-endian word. */
function word(text: string): number {
  return Buffer.from(text).readInt32LE();
}

/** Writes one OTLP/JSON request as protobuf. */
export class JsonTranscoder extends JsonScalars {
  private records = 0;

  /** The body as a message of type `request`; it yields after every RECORDS_PER_STEP records. */
  *transcode(request: Message): Generator<undefined, Uint8Array> {
    yield* this.holder(request);
    if (this.token() >= 0) this.fail("the end of the body");
    // Only ASCII bytes steer the reader. So UTF-8 can be checked last, when the path in the error is sure to be right.
    if (!isUtf8(this.input)) {
      const position = firstInvalidUtf8(this.input);
      throw jsonError(
        this.input,
        position,
        "UTF-8",
        `byte 0x${this.input[position]!.toString(16)}`,
      );
    }
    return this.output.finish();
  }

  /** As `message`, for a request or what records are grouped in. */
  private *holder(message: Message): Generator<undefined, void> {
    if (!this.open(OPEN_BRACE, CLOSE_BRACE, "an object")) return;
    do {
      const field = this.key(message);
      if (field === undefined) this.skip();
      else if (this.token() === LETTER_N) this.literal(NULL, "a value");
      else if (field === message.held) yield* this.held(field, field.message!);
      else this.value(field, 0);
    } while (this.another(CLOSE_BRACE));
  }

  /** The records or groups of records in a holder. */
  private *held(field: Field, message: Message): Generator<undefined, void> {
    if (!this.open(OPEN_BRACKET, CLOSE_BRACKET, "an array")) return;
    do {
      this.token();
      if (message.held === null) {
        this.value(field, 0);
        if (++this.records % RECORDS_PER_STEP === 0) yield;
      } else {
        const { output } = this;
        output.tag(field.tag);
        const start = (output.length += message.lengthBytes);
        yield* this.holder(message);
        output.closeLength(start, message.lengthBytes);
      }
    } while (this.another(CLOSE_BRACKET));
  }

  /** One object as the fields of `message`. */
  private message(message: Message, depth: number): void {
    depth += message.nesting;
    // What is nested too deep is left out where it is one too deep: by that the decoder of protobuf rejects this record, and no other.
    if (depth > MAX_VALUES) this.skip(MAX_SKIPPED_LEVELS);
    else if (this.open(OPEN_BRACE, CLOSE_BRACE, "an object")) this.members(message, depth);
  }

  /** The members of an object from a key on, and the end of the object. */
  private members(message: Message, depth: number): void {
    do {
      const field = this.key(message);
      if (field === undefined) this.skip();
      else if (this.token() === LETTER_N) this.literal(NULL, "a value");
      else if (field.repeated) this.array(field, depth);
      else this.value(field, depth);
    } while (this.another(CLOSE_BRACE));
  }

  /** Reads a key and its colon; the field that it names, undefined for an unknown one. */
  private key(message: Message): Field | undefined {
    if (this.token() !== QUOTE) this.fail("a key");
    let key = message.find(this.input, this.position + 1);
    if (key !== undefined) this.position += 1 + key.bytes.length;
    else {
      this.readText("a key");
      // Only a key with escapes can still be a known one.
      if (this.source !== this.input) key = message.find(this.source, this.from);
    }
    this.colon();
    return key?.field;
  }

  private array(field: Field, depth: number): void {
    if (!this.open(OPEN_BRACKET, CLOSE_BRACKET, "an array")) return;
    const attributes = field.message === KEY_VALUE && depth === 0;
    do {
      this.token();
      if (!attributes || !this.attribute(field.tag)) this.value(field, depth);
    } while (this.another(CLOSE_BRACKET));
  }

  /** One value of `field`, its tag in front. */
  private value(field: Field, depth: number): void {
    if (field.message === null) this.scalar(field);
    else this.nested(field.tag, field.message, depth);
  }

  private nested(tag: number, message: Message, depth: number): void {
    const { output } = this;
    // Inside a value, where each level would move the same bytes again, the length is kept wide from the start.
    const lengthBytes = depth > 0 ? WIDEST_LENGTH_BYTES : message.lengthBytes;
    output.tag(tag);
    output.length += lengthBytes;
    const start = output.length;
    // An array may hold null: the AnyValue without a value.
    if (message === ANY_VALUE && this.input[this.position] === LETTER_N)
      this.literal(NULL, "an object");
    else this.message(message, depth);
    output.closeLength(start, lengthBytes);
  }

  /**
   * The way of nearly all attributes: `{"key":"…","value":…}` without white space or escapes in front of the value. A short string value is
   * written in one go. False, with nothing read or written, when the attribute does not begin like that. It halves the time of a request.
   */
  private attribute(tag: number): boolean {
    const { input, words, position } = this;
    const { bytes, view, length } = this.output;
    if (position + KEY_BYTES > input.length) return false;
    if (words.getInt32(position, true) !== KEY_0 || words.getInt32(position + 4, true) !== KEY_4)
      return false;

    // In protobuf four bytes come before the key: tag and length of the attribute, tag and length of the key.
    const keyStart = position + KEY_BYTES;
    const keyEnd = this.copyPlain(keyStart, view, length + 4);
    const keyBytes = keyEnd - keyStart;
    if (keyBytes > MAX_SHORT || keyEnd + VALUE_BYTES + STRING_BYTES > input.length) return false;
    if (
      words.getInt32(keyEnd, true) !== VALUE_0 ||
      words.getInt32(keyEnd + 4, true) !== VALUE_4 ||
      words.getInt32(keyEnd + 6, true) !== VALUE_6
    )
      return false;
    bytes[length] = tag;
    bytes[length + 2] = KEY_TAG;
    bytes[length + 3] = keyBytes;

    const at = length + 4 + keyBytes;
    const value = keyEnd + VALUE_BYTES;
    if (
      words.getInt32(value, true) === STRING_0 &&
      words.getInt32(value + 4, true) === STRING_4 &&
      words.getInt32(value + 8, true) === STRING_8 &&
      words.getInt32(value + 12, true) === STRING_12
    ) {
      const textStart = value + STRING_BYTES;
      const textEnd = this.copyPlain(textStart, view, at + 4);
      const textBytes = textEnd - textStart;
      const attributeBytes = keyBytes + textBytes + 6;
      if (
        attributeBytes <= MAX_SHORT &&
        input[textEnd] === QUOTE &&
        input[textEnd + 1] === CLOSE_BRACE &&
        input[textEnd + 2] === CLOSE_BRACE
      ) {
        bytes[length + 1] = attributeBytes;
        bytes[at] = VALUE_TAG;
        bytes[at + 1] = textBytes + 2;
        bytes[at + 2] = STRING_TAG;
        bytes[at + 3] = textBytes;
        this.output.length = at + 4 + textBytes;
        this.position = textEnd + 3;
        return true;
      }
    }
    this.output.length = at;
    this.position = value;
    this.token();
    if (input[this.position] === LETTER_N) this.literal(NULL, "a value");
    else this.nested(VALUE_TAG, ANY_VALUE, 0);
    if (this.another(CLOSE_BRACE)) this.members(KEY_VALUE, 0);
    this.output.closeLength(length + 2, 1);
    return true;
  }
}
