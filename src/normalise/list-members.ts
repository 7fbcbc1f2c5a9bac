import { Cursor } from "../core/wire.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import { CHAR } from "./ascii.ts";
import { type Expansion, MAX_NAME_BYTES } from "./expansion.ts";
import { MAX_MEMBERS, MAX_NESTING } from "./json-members.ts";

const { array, kvlist, none } = VALUE_TYPES;

/**
 * Makes the entries of an OTLP list of values (AnyValue.kvlist_value) attributes: nested ones under dotted names, as JsonMembers does with JSON.
 * Arrays of plain values stay what they are. Field numbers: opentelemetry-proto 1.11, common.proto.
 */
export class ListMembers {
  readonly #cursor = new Cursor();
  #into!: Expansion;
  #members = 0;
  /** What `#readValue` and `#readEntry` found. */
  #type: number = none;
  #start = 0;
  #end = 0;
  #keyStart = 0;
  #keyEnd = 0;

  /**
   * Reads the list, or the array of lists, that stands in [start, end) of the expansion's own bytes. False when not all of it could become attributes.
   * Throws: WireError when it is not valid protobuf.
   */
  read(
    into: Expansion,
    prefix: number,
    prefixEnd: number,
    start: number,
    end: number,
    type: number = kvlist,
  ): boolean {
    this.#into = into;
    this.#members = 0;
    return this.#readList(type, prefix, prefixEnd, start, end, 1);
  }

  #readList(
    type: number,
    prefix: number,
    prefixEnd: number,
    start: number,
    end: number,
    depth: number,
  ): boolean {
    const into = this.#into;
    let isComplete = true;
    let index = 0;
    for (let p = start; p < end;) {
      const item = this.#nextItem(p, end);
      p = this.#end;
      if (item < 0) continue;
      const itemEnd = this.#end;
      if (type === kvlist) this.#readEntry(item, itemEnd);
      else {
        this.#keyStart = into.length;
        for (const digit of String(index++)) into.appendByte(digit.charCodeAt(0));
        this.#keyEnd = into.length;
        this.#readValue(item, itemEnd);
      }
      const itemLength = prefixEnd - prefix + 1 + this.#keyEnd - this.#keyStart;
      const before = into.attributes.count;
      if (!this.#addMember(prefix, prefixEnd, depth)) isComplete = false;
      if (type === array) into.foldPair(before, itemLength, prefix, prefixEnd);
      if (this.#members > MAX_MEMBERS) return false;
    }
    return isComplete;
  }

  /** The member that was read last, behind the prefix. */
  #addMember(prefix: number, prefixEnd: number, depth: number): boolean {
    const into = this.#into;
    const type = this.#type;
    const start = this.#start;
    const end = this.#end;
    let name = this.#keyStart;
    let nameEnd = this.#keyEnd;
    const length = nameEnd - name + (prefixEnd > prefix ? prefixEnd - prefix + 1 : 0);
    if (++this.#members > MAX_MEMBERS || length > MAX_NAME_BYTES) return false;
    if (prefixEnd > prefix) {
      const keyStart = name;
      const keyEnd = nameEnd;
      name = into.append(into.bytes, prefix, prefixEnd);
      into.appendByte(CHAR.dot);
      into.append(into.bytes, keyStart, keyEnd);
      nameEnd = into.length;
    }
    const isNested =
      depth < MAX_NESTING &&
      start < end &&
      (type === kvlist || (type === array && this.#holdsNested(start, end))) &&
      !into.isSecretName(into.bytes, name, nameEnd);
    if (isNested) return this.#readList(type, name, nameEnd, start, end, depth + 1);
    into.attributes.push(name, nameEnd, type, start, end);
    return true;
  }

  /** Is the first item of the array a list or an array? */
  #holdsNested(start: number, end: number): boolean {
    const item = this.#nextItem(start, end);
    if (item < 0) return false;
    this.#readValue(item, this.#end);
    return this.#type === kvlist || this.#type === array;
  }

  /** Start of the item (field 1 of KeyValueList and ArrayValue) at `p`, or -1 when another field stands there; `#end` is behind it. */
  #nextItem(p: number, end: number): number {
    const cursor = this.#cursor;
    cursor.reset(this.#into.bytes, p);
    const tag = cursor.varint(end);
    if (tag === 0x0a) {
      this.#end = cursor.delimited(end);
      return cursor.position;
    }
    cursor.skip(tag, end);
    this.#end = cursor.position;
    return -1;
  }

  /** A KeyValue. */
  #readEntry(start: number, end: number): void {
    const cursor = this.#cursor;
    this.#keyStart = this.#keyEnd = start;
    let value = 0;
    let valueEnd = 0;
    cursor.reset(this.#into.bytes, start);
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      if (tag === 0x0a) {
        this.#keyEnd = cursor.delimited(end);
        this.#keyStart = cursor.position;
        cursor.position = this.#keyEnd;
      } else if (tag === 0x12) {
        valueEnd = cursor.delimited(end);
        value = cursor.position;
        cursor.position = valueEnd;
      } else cursor.skip(tag, end);
    }
    this.#readValue(value, valueEnd);
  }

  /** An AnyValue: type and range as in AttributeList. */
  #readValue(start: number, end: number): void {
    const cursor = this.#cursor;
    this.#type = none;
    this.#start = this.#end = start;
    cursor.reset(this.#into.bytes, start);
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      if (tag === 0x0a || tag === 0x2a || tag === 0x32 || tag === 0x3a) {
        this.#end = cursor.delimited(end);
        this.#start = cursor.position;
        cursor.position = this.#end;
      } else if (tag === 0x10 || tag === 0x18) {
        this.#start = cursor.position;
        cursor.varint(end);
        this.#end = cursor.position;
      } else if (tag === 0x21) {
        this.#start = cursor.fixed(8, end);
        this.#end = cursor.position;
      } else {
        cursor.skip(tag, end);
        continue;
      }
      this.#type = tag >>> 3;
    }
  }
}

/** Is the value in [start, end), whose type is one of VALUE_TYPES, a list, or an array whose first item is one? */
export function isListed(from: Uint8Array, type: number, start: number, end: number): boolean {
  if (type !== array || end - start < 2 || from[start] !== 0x0a) return type === kvlist;
  let p = start + 1;
  while (p < end && from[p]! >= 0x80) p++;
  return p + 1 < end && from[p + 1] === 0x32;
}
