import type { ColumnType, Table } from "./columns.ts";

/** Bytes that a column takes in a row; those of the other types have lengths of their own. */
export const FIXED_LENGTHS: Partial<Record<ColumnType, number>> = {
  UInt8: 1,
  UInt16: 2,
  UInt32: 4,
  UInt64: 8,
  Int8: 1,
  Int16: 2,
  Int64: 8,
  Float32: 4,
  "FixedString(16)": 16,
  "DateTime64(9)": 8,
  IPv6: 16,
};
const STEPS = { mark: 0, fixed: 1, texts: 2, pairs: 3, textArray: 4, fixedArray: 5, mapArray: 6 };

/**
 * Finds where some columns of a row begin, by the lengths in it, without decoding the others: for what looks at every row and needs little of it.
 * Cost: some 5 ns a column up to the last one that is wanted.
 */
export class ColumnFinder {
  /** Where each wanted column begins in the row that was looked at last, in the order of their names. */
  readonly positions: Uint32Array;
  /** Kind of step and its argument: a length, or how many texts or pairs side by side. */
  readonly #steps: Int32Array;

  /** `names` are columns of `table` in the order of the row. */
  constructor(table: Table, names: readonly string[]) {
    const steps: number[] = [];
    let found = 0;
    for (const { name, type } of table.columns) {
      if (found === names.length) break;
      if (name === names[found]) {
        steps.push(STEPS.mark, 0);
        found++;
        if (found === names.length) break;
      }
      addStep(steps, type);
    }
    if (found < names.length)
      throw new TypeError(`${table.name}: expected the column ${names[found]} in this place`);
    this.positions = new Uint32Array(names.length);
    this.#steps = Int32Array.from(steps);
  }

  /** Sets `positions` for the row that begins at `start`. It must be whole up to the last wanted column. */
  find(bytes: Uint8Array, start: number): void {
    const { positions } = this;
    const steps = this.#steps;
    let p = start;
    let found = 0;
    for (let i = 0; i < steps.length; i += 2) {
      const argument = steps[i + 1]!;
      switch (steps[i]) {
        case STEPS.mark:
          positions[found++] = p;
          break;
        case STEPS.fixed:
          p += argument;
          break;
        case STEPS.texts:
          p = skipTexts(bytes, p, argument);
          break;
        case STEPS.pairs:
          p = skipTexts(bytes, behindLength(bytes, p), 2 * lengthAt(bytes, p));
          break;
        case STEPS.textArray:
          p = skipTexts(bytes, behindLength(bytes, p), lengthAt(bytes, p));
          break;
        case STEPS.fixedArray:
          p = behindLength(bytes, p) + argument * lengthAt(bytes, p);
          break;
        case STEPS.mapArray: {
          let maps = lengthAt(bytes, p);
          p = behindLength(bytes, p);
          for (; maps > 0; maps--)
            p = skipTexts(bytes, behindLength(bytes, p), 2 * lengthAt(bytes, p));
        }
      }
    }
  }
}

/** Bytes of each value of an array of such columns. */
export function itemLength(type: ColumnType): number | undefined {
  return FIXED_LENGTHS[/^Array\((.*)\)$/.exec(type)?.[1] as ColumnType];
}

/** Fixed columns side by side are one step, and so are texts. */
function addStep(steps: number[], type: ColumnType): void {
  const fixed = FIXED_LENGTHS[type];
  const before = steps.at(-2);
  const last = steps.length - 1;
  if (fixed !== undefined) {
    if (before === STEPS.fixed) steps[last]! += fixed;
    else steps.push(STEPS.fixed, fixed);
  } else if (type === "String" || type === "LowCardinality(String)") {
    if (before === STEPS.texts) steps[last]!++;
    else steps.push(STEPS.texts, 1);
  } else if (type === "Map(LowCardinality(String), String)") {
    steps.push(STEPS.pairs, 0);
  } else if (type === "Array(Map(LowCardinality(String), String))") {
    steps.push(STEPS.mapArray, 0);
  } else {
    const item = itemLength(type);
    if (item === undefined) steps.push(STEPS.textArray, 0);
    else steps.push(STEPS.fixedArray, item);
  }
}

/** The LEB128 number at `p`: the length of a text, or the count of an array or map. */
export function lengthAt(bytes: Uint8Array, p: number): number {
  const first = bytes[p]!;
  if (first < 0x80) return first;
  let value = first & 0x7f;
  for (let scale = 0x80; ; scale *= 0x80) {
    const byte = bytes[++p]!;
    value += (byte & 0x7f) * scale;
    if (!(byte >= 0x80)) return value; // also at the end of the bytes
  }
}

/** Where the number at `p` ends and the text, or the first item, begins. */
export function behindLength(bytes: Uint8Array, p: number): number {
  while (bytes[p]! >= 0x80) p++;
  return p + 1;
}

/** Behind the text whose length stands at `p`; most are short. */
export function behindText(bytes: Uint8Array, p: number): number {
  const first = bytes[p]!;
  return first < 0x80 ? p + 1 + first : behindLength(bytes, p) + lengthAt(bytes, p);
}

/** Behind `count` texts side by side. */
export function skipTexts(bytes: Uint8Array, start: number, count: number): number {
  let p = start;
  for (let n = count; n > 0; n--) p = behindText(bytes, p);
  return p;
}
