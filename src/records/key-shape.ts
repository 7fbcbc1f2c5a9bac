import type { AttributeList } from "./attributes.ts";

/**
 * The keys of an attribute list, in their order. Records of one source repeat the same keys in the same order, so whatever depends on keys alone
 * (the sorted order of the map, what a dialect does with each attribute) is worked out once for a shape and found again by comparing bytes.
 */
export interface KeyShape {
  readonly count: number;
  /** The keys, one behind the other. */
  readonly keys: Uint8Array;
  /** Length of each key. */
  readonly lengths: Int32Array;
  /** Positions of the attributes in the order of their keys' bytes; equal keys keep their order. */
  readonly order: Int32Array;
  /** What a dialect worked out for this shape; owned by `normalise`. */
  plan: unknown;
  /** Who looked for secrets in the keys, and whether there are none; owned by `normalise`. */
  redactor: unknown;
  areKeysClean: boolean;
}

interface CachedShape extends KeyShape {
  /** Of `keys`. */
  readonly view: DataView;
}

/** Shapes that are remembered; sources interleave in one request, but seldom more than this. */
const MAX_SHAPES = 32;
/** Longer lists of keys are not remembered: comparing them would cost more than sorting saves, and a hostile sender would fill memory. */
const MAX_REMEMBERED_BYTES = 16 * 1024;

/** The shapes seen last, the last used first. */
export class ShapeCache {
  readonly #shapes: CachedShape[] = [];
  #buffer: Uint8Array = new Uint8Array(0);
  /** Of `#buffer`: the records of a request stand in one. */
  #view = viewOf(this.#buffer);

  /** The shape of `list`, whose positions refer to `buffer`. */
  find(buffer: Uint8Array, list: AttributeList): KeyShape {
    const shapes = this.#shapes;
    if (this.#buffer !== buffer) {
      this.#buffer = buffer;
      this.#view = viewOf(buffer);
    }
    for (let i = 0; i < shapes.length; i++) {
      const shape = shapes[i]!;
      if (matches(shape, buffer, this.#view, list)) {
        if (i > 0) {
          shapes.copyWithin(1, 0, i);
          shapes[0] = shape;
        }
        return shape;
      }
    }
    const shape = createShape(buffer, list);
    if (shape.keys.length <= MAX_REMEMBERED_BYTES) {
      shapes.unshift(shape);
      if (shapes.length > MAX_SHAPES) shapes.pop();
    }
    return shape;
  }
}

/** Compares the keys four bytes at a time, the last four overlapping those before: half the time of a loop over bytes for usual keys (measured). */
function matches(
  shape: CachedShape,
  buffer: Uint8Array,
  view: DataView,
  list: AttributeList,
): boolean {
  const { count } = list;
  if (shape.count !== count) return false;
  const { keys, view: keyView, lengths } = shape;
  const { keyStart, keyEnd } = list;
  let k = 0;
  for (let i = 0; i < count; i++) {
    let p = keyStart[i]!;
    const end = keyEnd[i]!;
    const length = lengths[i]!;
    if (end - p !== length) return false;
    const next = k + length;
    if (length < 4) {
      while (p < end) if (buffer[p++] !== keys[k++]) return false;
    } else {
      for (const last = end - 4; p < last; p += 4, k += 4) {
        if (view.getInt32(p) !== keyView.getInt32(k)) return false;
      }
      if (view.getInt32(end - 4) !== keyView.getInt32(next - 4)) return false;
    }
    k = next;
  }
  return true;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function createShape(buffer: Uint8Array, list: AttributeList): CachedShape {
  const { count, keyStart, keyEnd } = list;
  const lengths = new Int32Array(count);
  let total = 0;
  for (let i = 0; i < count; i++) total += lengths[i] = keyEnd[i]! - keyStart[i]!;
  const keys = new Uint8Array(total);
  let at = 0;
  for (let i = 0; i < count; i++) {
    keys.set(buffer.subarray(keyStart[i], keyEnd[i]), at);
    at += lengths[i]!;
  }
  return {
    count,
    keys,
    view: viewOf(keys),
    lengths,
    order: sortedOrder(buffer, list, 0, count),
    plan: undefined,
    redactor: undefined,
    areKeysClean: false,
  };
}

/** Positions from `from` to `to` of the list in the order of their keys' bytes; equal keys keep their order. */
export function sortedOrder(
  buffer: Uint8Array,
  list: AttributeList,
  from: number,
  to: number,
): Int32Array {
  const order = new Int32Array(to - from);
  for (let i = from; i < to; i++) order[i - from] = i;
  // TypedArray.prototype.sort is stable (ECMA-262, since 2019).
  return order.sort((a, b) =>
    compareRanges(buffer, list.keyStart[a]!, list.keyEnd[a]!, list.keyStart[b]!, list.keyEnd[b]!),
  );
}

/** Orders two ranges of `buffer` by their bytes, a prefix first. */
export function compareRanges(
  buffer: Uint8Array,
  aStart: number,
  aEnd: number,
  bStart: number,
  bEnd: number,
): number {
  const common = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < common; i++) {
    const difference = buffer[aStart + i]! - buffer[bStart + i]!;
    if (difference !== 0) return difference;
  }
  return aEnd - aStart - (bEnd - bStart);
}
