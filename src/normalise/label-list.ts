import { Cursor } from "../core/wire.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import { CHAR, startsWith } from "./ascii.ts";

/**
 * Finds one label in a list of labels, `["k8s:app=orders", "k8s:io.kubernetes.pod.namespace=shop"]`, as JSON text or as an OTLP array.
 * Cost: linear in the list.
 */
export class LabelList {
  /** Where the value of the label that was found stands. */
  start = 0;
  end = 0;
  readonly #cursor = new Cursor();

  /** Does the list in [start, end), whose type is one of VALUE_TYPES, hold a label that begins with `name`, the equals sign included? The first counts. */
  find(from: Uint8Array, start: number, end: number, type: number, name: Uint8Array): boolean {
    return type === VALUE_TYPES.array
      ? this.#findInArray(from, start, end, name)
      : this.#findInText(from, start, end, name);
  }

  #findInText(from: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
    for (let p = start; p < end; p++) {
      if (from[p] !== CHAR.quote) continue;
      const first = ++p;
      while (p < end && from[p] !== CHAR.quote) p += from[p] === CHAR.backslash ? 2 : 1;
      if (p < end && this.#isNamed(from, first, p, name)) return true;
    }
    return false;
  }

  /** Field numbers: opentelemetry-proto 1.11, common.proto, ArrayValue and AnyValue. */
  #findInArray(from: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
    const cursor = this.#cursor;
    cursor.reset(from, start);
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      if (tag !== 0x0a) {
        cursor.skip(tag, end);
        continue;
      }
      const itemEnd = cursor.delimited(end);
      if (cursor.position < itemEnd && cursor.varint(itemEnd) === 0x0a) {
        const labelEnd = cursor.delimited(itemEnd);
        if (this.#isNamed(from, cursor.position, labelEnd, name)) return true;
      }
      cursor.position = itemEnd;
    }
    return false;
  }

  #isNamed(from: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
    if (!startsWith(from, start, end, name)) return false;
    this.start = start + name.length;
    this.end = end;
    return true;
  }
}
