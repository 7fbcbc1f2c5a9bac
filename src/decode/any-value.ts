import type { Cursor } from "../core/wire.ts";
import { type AttributeList, VALUE_TYPES } from "../records/attributes.ts";

/** The value that was read last: one of VALUE_TYPES and a range, as in AttributeList. */
export class ValueRange {
  type: number = VALUE_TYPES.none;
  start = 0;
  end = 0;
}

/**
 * Reads the AnyValue in [cursor.position, end) into `into`. Of several members of the oneof the last one counts.
 * Nested arrays and lists are not entered: the row writer walks them when it writes them as JSON.
 */
export function readAnyValue(cursor: Cursor, end: number, into: ValueRange): void {
  into.type = VALUE_TYPES.none;
  into.start = into.end = cursor.position;
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    switch (tag) {
      case 0x0a: // string_value
      case 0x2a: // array_value
      case 0x32: // kvlist_value
      case 0x3a: // bytes_value
        into.type = tag >>> 3;
        into.end = cursor.delimited(end);
        into.start = cursor.position;
        cursor.position = into.end;
        break;
      case 0x10: // bool_value
      case 0x18: // int_value
        into.type = tag >>> 3;
        into.start = cursor.position;
        cursor.varint(end);
        into.end = cursor.position;
        break;
      case 0x21: // double_value
        into.type = VALUE_TYPES.double;
        into.start = cursor.fixed(8, end);
        into.end = cursor.position;
        break;
      default:
        cursor.skip(tag, end);
    }
  }
}

/**
 * Reads the KeyValue in [cursor.position, end) and appends it to `list`.
 * The usual layout (key, then a value that holds one string) is read without a call; anything else takes the general path.
 */
export function readKeyValue(
  cursor: Cursor,
  end: number,
  list: AttributeList,
  value: ValueRange,
): void {
  const { buffer, position } = cursor;
  // 0x0a key length, key bytes, 0x12 value length, 0x0a string length, string bytes: all lengths below 128, and they fit.
  if (end - position >= 6 && buffer[position] === 0x0a) {
    const keyStart = position + 2;
    const keyEnd = keyStart + buffer[position + 1]!;
    const valueStart = keyEnd + 4;
    if (
      buffer[position + 1]! < 0x80 &&
      valueStart <= end &&
      buffer[keyEnd] === 0x12 &&
      buffer[keyEnd + 2] === 0x0a
    ) {
      const length = buffer[keyEnd + 3]!;
      if (length < 0x80 && valueStart + length === end && buffer[keyEnd + 1] === length + 2) {
        list.push(keyStart, keyEnd, VALUE_TYPES.string, valueStart, end);
        cursor.position = end;
        return;
      }
    }
  }
  let keyStart = 0;
  let keyEnd = 0;
  value.type = VALUE_TYPES.none;
  value.start = value.end = position;
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    if (tag === 0x0a) {
      keyEnd = cursor.delimited(end);
      keyStart = cursor.position;
      cursor.position = keyEnd;
    } else if (tag === 0x12) {
      const valueEnd = cursor.delimited(end);
      readAnyValue(cursor, valueEnd, value);
    } else {
      cursor.skip(tag, end);
    }
  }
  list.push(keyStart, keyEnd, value.type, value.start, value.end);
}
