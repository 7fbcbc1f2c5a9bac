import { AttributeList, VALUE_TYPES } from "../records/attributes.ts";
import { LogView } from "../records/views.ts";
import { ascii, CHAR, equalsText } from "./ascii.ts";

const INITIAL_BYTES = 16 * 1024;
/** A buffer that one large record has grown beyond this is not kept for the next one. */
const MAX_KEPT_BYTES = 1024 * 1024;
const TRACE_ID_BYTES = 16;
const EIGHT_BYTES = 8;
const DOT_KEYS = [ascii(".key"), ascii(".name")] as const;
const DOT_VALUE = ascii(".value");
/** Longest dotted name; what would get a longer one stays in Body. Without it, a long name repeated for each member would grow a small text into a large one. */
export const MAX_NAME_BYTES = 256;

/**
 * A record whose body has become attributes: the fields of a line, the members of a JSON text or of a list of values, each under its name; nested ones under
 * dotted names. Behind this a record reads the same whatever its source wrote, and one path fills the columns.
 *
 * The record stands in a buffer of its own: texts are copied once, as a whole, and names and values are ranges of the copy. It is valid until the next `begin`.
 */
export class Expansion {
  readonly view = new LogView();
  /** Is the value under the name [start, end) of `from` a secret? Then a list or object stays one value, so that all of it is redacted by its name. */
  readonly isSecretName: (from: Uint8Array, start: number, end: number) => boolean;
  #bytes = new Uint8Array(INITIAL_BYTES);
  #length = 0;

  constructor(isSecretName: Expansion["isSecretName"] = () => false) {
    this.isSecretName = isSecretName;
  }

  /** The buffer. Another one after an `append` that had no room; positions stay. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get attributes(): AttributeList {
    return this.view.attributes;
  }

  /** Takes over times, IDs and body of `view`; no attributes. */
  begin(view: LogView): void {
    if (this.#bytes.length > MAX_KEPT_BYTES) this.#bytes = new Uint8Array(INITIAL_BYTES);
    this.#length = 0;
    const own = this.view;
    const { buffer } = view;
    own.reset(this.#bytes);
    own.severityNumber = view.severityNumber;
    own.droppedAttributesCount = view.droppedAttributesCount;
    own.flags = view.flags;
    own.timeOffset = this.#copyFixed(buffer, view.timeOffset, EIGHT_BYTES);
    own.observedOffset = this.#copyFixed(buffer, view.observedOffset, EIGHT_BYTES);
    own.traceIdOffset = this.#copyFixed(buffer, view.traceIdOffset, TRACE_ID_BYTES);
    own.spanIdOffset = this.#copyFixed(buffer, view.spanIdOffset, EIGHT_BYTES);
    own.severityTextStart = this.append(buffer, view.severityTextStart, view.severityTextEnd);
    own.severityTextEnd = this.#length;
    own.eventNameStart = this.append(buffer, view.eventNameStart, view.eventNameEnd);
    own.eventNameEnd = this.#length;
    own.bodyType = view.bodyType;
    own.bodyStart = this.append(buffer, view.bodyStart, view.bodyEnd);
    own.bodyEnd = this.#length;
  }

  /** Copies an attribute of another list as it is. */
  copyAttribute(from: Uint8Array, list: AttributeList, i: number): void {
    const key = this.append(from, list.keyStart[i]!, list.keyEnd[i]!);
    const value = this.append(from, list.valueStart[i]!, list.valueEnd[i]!);
    this.attributes.push(key, value, list.valueType[i]!, value, this.#length);
  }

  /** An attribute of text: both ranges are of `bytes`. */
  push(keyStart: number, keyEnd: number, start: number, end: number): void {
    this.attributes.push(keyStart, keyEnd, VALUE_TYPES.string, start, end);
  }

  /**
   * An item of an array that is a pair, `{"key": "X-Request-Id", "value": "…"}` in either order, or with `name`, becomes one attribute under the key, so that its name says what
   * it holds. The item's attributes are those from `first` on, under names of `itemLength` bytes that begin with [prefix, prefixEnd).
   */
  foldPair(first: number, itemLength: number, prefix: number, prefixEnd: number): void {
    const list = this.attributes;
    if (list.count !== first + 2) return;
    const isKey = (i: number): boolean =>
      DOT_KEYS.some((ending) => this.#endsWith(i, itemLength, ending));
    const key = isKey(first) ? first : first + 1;
    const value = key === first ? first + 1 : first;
    if (
      !isKey(key) ||
      !this.#endsWith(value, itemLength, DOT_VALUE) ||
      list.valueType[key] !== VALUE_TYPES.string
    )
      return;
    const keyStart = list.valueStart[key]!;
    const keyEnd = list.valueEnd[key]!;
    if (keyStart === keyEnd || prefixEnd - prefix + 1 + keyEnd - keyStart > MAX_NAME_BYTES) return;
    const name = this.append(this.#bytes, prefix, prefixEnd);
    this.appendByte(CHAR.dot);
    this.append(this.#bytes, keyStart, keyEnd);
    const type = list.valueType[value]!;
    const start = list.valueStart[value]!;
    const end = list.valueEnd[value]!;
    list.count = first;
    list.push(name, this.#length, type, start, end);
  }

  /** Is the attribute's name the item's and `ending`? */
  #endsWith(attribute: number, itemLength: number, ending: Uint8Array): boolean {
    const start = this.attributes.keyStart[attribute]! + itemLength;
    return equalsText(this.#bytes, start, this.attributes.keyEnd[attribute]!, ending);
  }

  /** Copies the bytes [start, end) of `from`, which may be `bytes` itself, and returns where they stand. */
  append(from: Uint8Array, start: number, end: number): number {
    const at = this.#length;
    this.reserve(end - start);
    const to = this.#bytes;
    if (end - start < 64) for (let i = start, p = at; i < end; i++, p++) to[p] = from[i]!;
    else to.set(from.subarray(start, end), at);
    this.#length = at + end - start;
    return at;
  }

  /** Where the next byte goes. */
  get length(): number {
    return this.#length;
  }

  /** Appends one byte. */
  appendByte(byte: number): void {
    this.reserve(1);
    this.#bytes[this.#length++] = byte;
  }

  /** Forgets what was added behind the first `length` bytes and `count` attributes. */
  rewind(length: number, count: number): void {
    this.#length = length;
    this.attributes.count = count;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, needed));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.view.buffer = larger;
  }

  #copyFixed(from: Uint8Array, offset: number, count: number): number {
    return offset < 0 ? -1 : this.append(from, offset, offset + count);
  }
}
