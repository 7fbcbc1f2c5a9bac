/** Which field of opentelemetry.proto.common.v1.AnyValue is set; the numbers are the field numbers of that message. */
export const VALUE_TYPES = {
  none: 0,
  string: 1,
  bool: 2,
  int: 3,
  double: 4,
  array: 5,
  kvlist: 6,
  bytes: 7,
} as const;

/**
 * Attributes of one record, as positions in the request body: no key and no value becomes a string.
 * One list is filled again and again; its arrays grow to the largest record seen.
 *
 * `valueType[i]` is one of VALUE_TYPES. What lies in [valueStart, valueEnd) depends on it: the content of a string, bytes, array or
 * kvlist; the varint of a bool or an int; the eight bytes of a double; nothing for none.
 */
export class AttributeList {
  count = 0;
  keyStart = new Int32Array(64);
  keyEnd = new Int32Array(64);
  valueStart = new Int32Array(64);
  valueEnd = new Int32Array(64);
  valueType = new Uint8Array(64);

  push(
    keyStart: number,
    keyEnd: number,
    valueType: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    const i = this.count;
    if (i === this.keyStart.length) this.#grow();
    this.keyStart[i] = keyStart;
    this.keyEnd[i] = keyEnd;
    this.valueType[i] = valueType;
    this.valueStart[i] = valueStart;
    this.valueEnd[i] = valueEnd;
    this.count = i + 1;
  }

  /** Takes out one attribute; the order of the others stays. */
  remove(index: number): void {
    for (const column of [
      this.keyStart,
      this.keyEnd,
      this.valueStart,
      this.valueEnd,
      this.valueType,
    ])
      column.copyWithin(index, index + 1, this.count);
    this.count--;
  }

  /** Moves the first `count` attributes behind the others. */
  rotate(count: number): void {
    const all = this.count;
    if (count === 0 || count === all) return;
    for (let i = 0; i < count; i++)
      this.push(
        this.keyStart[i]!,
        this.keyEnd[i]!,
        this.valueType[i]!,
        this.valueStart[i]!,
        this.valueEnd[i]!,
      );
    for (const column of [
      this.keyStart,
      this.keyEnd,
      this.valueStart,
      this.valueEnd,
      this.valueType,
    ])
      column.copyWithin(0, count, this.count);
    this.count = all;
  }

  #grow(): void {
    const size = this.count * 2;
    this.keyStart = grown(this.keyStart, size);
    this.keyEnd = grown(this.keyEnd, size);
    this.valueStart = grown(this.valueStart, size);
    this.valueEnd = grown(this.valueEnd, size);
    const types = new Uint8Array(size);
    types.set(this.valueType);
    this.valueType = types;
  }
}

/** A longer copy of `from`, zeros behind it. */
export function grown(from: Int32Array, size: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(size);
  to.set(from);
  return to;
}
