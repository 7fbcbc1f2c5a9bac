import { VALUE_TYPES } from "../records/attributes.ts";
import type { LogView } from "../records/views.ts";
import { ascii, equalsText } from "./ascii.ts";
import { typedNumber } from "./numbers.ts";

interface Value {
  readonly bytes: Uint8Array;
  /** NaN for a text that is no number. */
  readonly number: number;
  readonly isTrue: boolean;
  readonly isFalse: boolean;
}

/** What has to hold for a record's attributes: keys that are there, each with one of some values. */
export class Conditions {
  readonly #keys: readonly string[];
  /** Keys with the values that they may have. */
  readonly #values: readonly (readonly [key: string, values: readonly Value[]])[];

  /** No value stands for any. */
  constructor(conditions: Readonly<Record<string, readonly string[]>>) {
    this.#keys = Object.keys(conditions);
    this.#values = Object.entries(conditions)
      .filter(([, values]) => values.length > 0)
      .map(([key, values]) => [key, values.map(toValue)]);
  }

  /** Are all the keys there? Of none, they are not. */
  keysAreIn(keySet: ReadonlySet<string>): boolean {
    return this.#keys.length > 0 && this.#keys.every((key) => keySet.has(key));
  }

  /** Has each key, `keys` being those of the view's attributes, one of its values? No strings, no objects. */
  valuesAreIn(view: LogView, keys: readonly string[]): boolean {
    for (let c = 0; c < this.#values.length; c++) {
      const [key, values] = this.#values[c]!;
      let i = keys.indexOf(key);
      while (i >= 0 && !isOneOf(view, i, values)) i = keys.indexOf(key, i + 1);
      if (i < 0) return false;
    }
    return true;
  }
}

function toValue(text: string): Value {
  return {
    bytes: ascii(text),
    number: text.trim() === "" ? NaN : Number(text),
    isTrue: text === "true",
    isFalse: text === "false",
  };
}

function isOneOf(view: LogView, attribute: number, values: readonly Value[]): boolean {
  for (let i = 0; i < values.length; i++) if (isValue(view, attribute, values[i]!)) return true;
  return false;
}

function isValue({ buffer, attributes }: LogView, i: number, value: Value): boolean {
  const start = attributes.valueStart[i]!;
  const type = attributes.valueType[i]!;
  if (type === VALUE_TYPES.string)
    return equalsText(buffer, start, attributes.valueEnd[i]!, value.bytes);
  if (type === VALUE_TYPES.bool) return buffer[start] === 0 ? value.isFalse : value.isTrue;
  if (type === VALUE_TYPES.int || type === VALUE_TYPES.double)
    return typedNumber(buffer, type, start) === value.number;
  return false;
}
