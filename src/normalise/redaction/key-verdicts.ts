const SLOT_BITS = 8;
const SLOTS = 1 << SLOT_BITS;
/** Longer keys are rare, and shorter ones quickly looked at. */
const MAX_KEY = 96;
const MIN_KEY = 4;

/** The key is not among those that were looked at lately. */
export const UNKNOWN = -2;

/**
 * A number for each of the keys that were looked at lately: sources repeat their keys in every record.
 * A table of fixed size in which the last key with a hash stays, so that a sender who invents keys fills nothing.
 */
export class KeyVerdicts {
  readonly #keys = new Uint8Array(SLOTS * MAX_KEY);
  readonly #lengths = new Uint8Array(SLOTS);
  readonly #verdicts = new Int32Array(SLOTS);

  /** What was kept for the key [start, end) of `from`, or UNKNOWN. */
  find(from: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length < MIN_KEY || length > MAX_KEY) return UNKNOWN;
    const slot = slotOf(from, start, end);
    if (this.#lengths[slot] !== length) return UNKNOWN;
    const keys = this.#keys;
    let at = slot * MAX_KEY;
    for (let p = start; p < end; p++) if (keys[at++] !== from[p]) return UNKNOWN;
    return this.#verdicts[slot]!;
  }

  keep(from: Uint8Array, start: number, end: number, verdict: number): void {
    const length = end - start;
    if (length < MIN_KEY || length > MAX_KEY) return;
    const slot = slotOf(from, start, end);
    for (let i = 0; i < length; i++) this.#keys[slot * MAX_KEY + i] = from[start + i]!;
    this.#lengths[slot] = length;
    this.#verdicts[slot] = verdict;
  }

  clear(): void {
    this.#lengths.fill(0);
  }
}

/** Of the length, the last four bytes and two in the middle: where the keys of one source differ. */
function slotOf(from: Uint8Array, start: number, end: number): number {
  const middle = (start + end) >>> 1;
  const last =
    from[end - 1]! | (from[end - 2]! << 8) | (from[end - 3]! << 16) | (from[end - 4]! << 24);
  const others = from[middle]! | (from[middle - 1]! << 8) | ((end - start) << 16);
  return Math.imul(last ^ Math.imul(others, 0x85eb_ca6b), 0x9e37_79b1) >>> (32 - SLOT_BITS);
}
