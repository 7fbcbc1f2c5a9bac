import { randomFillSync } from "node:crypto";

/** Words of a key: for the rule `span` a trace ID and a span ID. */
export const KEY_WORDS = 6;
/** Words of a trace ID. */
const TRACE_WORDS = 4;
/** Access records and spans with the same key do not find their own kind. */
export const SIDES = { access: 0, span: 1 } as const;
export type Side = (typeof SIDES)[keyof typeof SIDES];

const CHUNK_SHIFT = 14;
/** Memory comes and goes in pieces of so many records, 70 bytes each. */
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;
const NONE = -1;

const STATE = { expected: 1, linked: 2, side: 4 };
const SIDE_SHIFT = 2;

class Chunk {
  readonly keys = new Uint32Array(KEY_WORDS * CHUNK_SLOTS);
  readonly leaf = new Float64Array(CHUNK_SLOTS);
  readonly arrivedMs = new Float64Array(CHUNK_SLOTS);
  readonly receivedMs = new Float64Array(CHUNK_SLOTS);
  /** Start of the request as two words of nanoseconds each, and the same as one number. */
  readonly start = new Uint32Array(2 * CHUNK_SLOTS);
  readonly startNs = new BigInt64Array(this.start.buffer);
  /** The next older record of the same bucket, by its number modulo 2^32. */
  readonly older = new Int32Array(CHUNK_SLOTS);
  readonly subject = new Uint32Array(CHUNK_SLOTS);
  readonly state = new Uint8Array(CHUNK_SLOTS);
  readonly links = new Uint8Array(CHUNK_SLOTS);
  /** Words of the trace ID, where the key does not hold it. */
  readonly traceIds: Uint32Array;

  constructor(keepsTraceIds: boolean) {
    this.traceIds = new Uint32Array(keepsTraceIds ? TRACE_WORDS * CHUNK_SLOTS : 0);
  }
}

/** A record that enters the window. Key and IDs are copied. */
export interface Entry {
  side: Side;
  key: Uint32Array;
  /** The trace ID, and perhaps more behind it; zeros where there is none. */
  ids: Uint32Array;
  leafIndex: number;
  /** On the clock of the log, and as the sender's request was stamped: see LogClock. */
  arrivedMs: number;
  receivedMs: number;
  startLow: number;
  startHigh: number;
  /** A proxy's span that is to be accused when no access record comes, and of what subject. */
  isExpected: boolean;
  subject: number;
  links: number;
}

/**
 * The records of the last seconds, first in first out, found by side and key. A record is named by its slot for as long as it is in the window.
 *
 * Records are numbered as they come. A bucket names its newest record, and each record the one before it in its bucket. Nothing is undone
 * when a record leaves: a chain ends where it comes to a number that is no longer in the window.
 *
 * Memory: 66 bytes a record, or 82 with trace IDs, in chunks that come with the load and go with it, and up to 16 bytes a record for the buckets.
 * Buckets are chosen by universal hashing with secret factors: trace IDs come from outside, and nobody outside can make chains long.
 */
export class Window {
  readonly maxRecords: number;
  size = 0;
  readonly #chunks: (Chunk | undefined)[];
  #spare: Chunk | undefined;
  /** Slots are numbers of records modulo this power of two. */
  readonly #slotMask: number;
  /** Number of the next record, modulo 2^32. The first is 1, so that an empty bucket names one that is not there. */
  #next = 1;
  /** Two for each hash, one for each side, on one cache line. Pages that were never touched cost no memory. */
  readonly #buckets: Int32Array;
  readonly #hashMask: number;
  readonly #factors = randomFillSync(new Int32Array(4 * KEY_WORDS));
  /** First bucket of the key that was sought last. */
  #bucket = 0;

  readonly #keepsTraceIds: boolean;

  /** `keepsTraceIds`: for a rule whose key is no trace ID. */
  constructor(maxRecords: number, keepsTraceIds = false) {
    this.maxRecords = maxRecords;
    this.#keepsTraceIds = keepsTraceIds;
    // A chunk is given back when its last record has left; by then the next has begun.
    const slots = 2 ** Math.ceil(Math.log2(maxRecords + CHUNK_SLOTS));
    this.#slotMask = slots - 1;
    this.#chunks = Array.from({ length: slots >>> CHUNK_SHIFT });
    const hashes = 2 ** Math.ceil(Math.log2(maxRecords));
    this.#hashMask = hashes - 1;
    this.#buckets = new Int32Array(2 * hashes);
  }

  /** Turns to a key: `first`, `following` and `add` are about it until the next call. */
  seek(key: Uint32Array): void {
    this.#bucket = 2 * this.#hash(key);
  }

  /** Adds a record behind all others; there must be room, and its key must have been sought. */
  add(entry: Entry): void {
    const number = this.#next;
    const slot = number & this.#slotMask;
    const chunk = (this.#chunks[slot >>> CHUNK_SHIFT] ??= this.#newChunk());
    const i = slot & CHUNK_MASK;
    const { key } = entry;
    for (let word = 0, at = i * KEY_WORDS; word < KEY_WORDS; word++) chunk.keys[at++] = key[word]!;
    for (let word = 0, at = i * TRACE_WORDS; word < TRACE_WORDS && this.#keepsTraceIds; word++)
      chunk.traceIds[at++] = entry.ids[word]!;
    chunk.leaf[i] = entry.leafIndex;
    chunk.arrivedMs[i] = entry.arrivedMs;
    chunk.receivedMs[i] = entry.receivedMs;
    chunk.start[2 * i] = entry.startLow;
    chunk.start[2 * i + 1] = entry.startHigh;
    chunk.subject[i] = entry.subject;
    chunk.links[i] = entry.links;
    chunk.state[i] =
      (entry.side << SIDE_SHIFT) |
      (entry.isExpected ? STATE.expected : 0) |
      (entry.links > 0 ? STATE.linked : 0);
    const bucket = this.#bucket + entry.side;
    chunk.older[i] = this.#buckets[bucket]!;
    this.#buckets[bucket] = number;
    this.#next = (number + 1) | 0;
    this.size++;
  }

  /** Slot of the newest record of `side` with the key that was sought, -1 when there is none. */
  first(side: Side, key: Uint32Array): number {
    return this.#match(this.#buckets[this.#bucket + side]!, key);
  }

  /** Slot of the next older one. */
  following(slot: number, key: Uint32Array): number {
    return this.#match(this.#chunkOf(slot).older[slot & CHUNK_MASK]!, key);
  }

  /** Slot of the oldest record, -1 when the window is empty. */
  get oldest(): number {
    return this.size === 0 ? NONE : this.#slotAt(0);
  }

  removeOldest(): void {
    const slot = this.#slotAt(0);
    this.size--;
    if ((slot & CHUNK_MASK) !== CHUNK_MASK) return;
    this.#spare = this.#chunks[slot >>> CHUNK_SHIFT];
    this.#chunks[slot >>> CHUNK_SHIFT] = undefined;
  }

  /** Slot of the record with a leaf index, -1 when it is not in the window. */
  slotOf(leafIndex: number): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.leafIndex(this.#slotAt(middle)) < leafIndex) low = middle + 1;
      else high = middle;
    }
    if (low === this.size) return NONE;
    const slot = this.#slotAt(low);
    return this.leafIndex(slot) === leafIndex ? slot : NONE;
  }

  /** Notes one more link of the record. */
  countLink(slot: number): void {
    const chunk = this.#chunkOf(slot);
    const i = slot & CHUNK_MASK;
    chunk.state[i]! |= STATE.linked;
    chunk.links[i] = Math.min(255, chunk.links[i]! + 1);
  }

  /** How many links of the record were noted, up to 255. */
  links(slot: number): number {
    return this.#chunkOf(slot).links[slot & CHUNK_MASK]!;
  }

  side(slot: number): Side {
    return (this.#chunkOf(slot).state[slot & CHUNK_MASK]! >>> SIDE_SHIFT) as Side;
  }

  /** Is it a proxy's span that no access record was found for so far? */
  isBlind(slot: number): boolean {
    const state = this.#chunkOf(slot).state[slot & CHUNK_MASK]!;
    return (state & (STATE.expected | STATE.linked)) === STATE.expected;
  }

  isExpected(slot: number): boolean {
    return (this.#chunkOf(slot).state[slot & CHUNK_MASK]! & STATE.expected) !== 0;
  }

  leafIndex(slot: number): number {
    return this.#chunkOf(slot).leaf[slot & CHUNK_MASK]!;
  }

  arrivedMs(slot: number): number {
    return this.#chunkOf(slot).arrivedMs[slot & CHUNK_MASK]!;
  }

  receivedMs(slot: number): number {
    return this.#chunkOf(slot).receivedMs[slot & CHUNK_MASK]!;
  }

  startNs(slot: number): bigint {
    return this.#chunkOf(slot).startNs[slot & CHUNK_MASK]!;
  }

  /** Words of the trace ID, which the window must keep; zeros where there was none. */
  traceId(slot: number): Uint32Array {
    const at = (slot & CHUNK_MASK) * TRACE_WORDS;
    return this.#chunkOf(slot).traceIds.subarray(at, at + TRACE_WORDS);
  }

  subject(slot: number): number {
    return this.#chunkOf(slot).subject[slot & CHUNK_MASK]!;
  }

  #chunkOf(slot: number): Chunk {
    return this.#chunks[slot >>> CHUNK_SHIFT]!;
  }

  /** Slot of the record in a place counted from the oldest. */
  #slotAt(position: number): number {
    return (this.#next - this.size + position) & this.#slotMask;
  }

  #newChunk(): Chunk {
    const chunk = this.#spare ?? new Chunk(this.#keepsTraceIds);
    this.#spare = undefined;
    return chunk;
  }

  /** The first record with the key in the chain that begins with record `number`. */
  #match(number: number, key: Uint32Array): number {
    for (let at = number; (this.#next - at - 1) >>> 0 < this.size;) {
      const slot = at & this.#slotMask;
      const { keys, older } = this.#chunkOf(slot);
      const i = slot & CHUNK_MASK;
      const from = i * KEY_WORDS;
      if (
        keys[from + 4] === key[4] &&
        keys[from + 5] === key[5] &&
        keys[from] === key[0] &&
        keys[from + 1] === key[1] &&
        keys[from + 2] === key[2] &&
        keys[from + 3] === key[3]
      )
        return slot;
      at = older[i]!;
    }
    return NONE;
  }

  /**
   * Multilinear hashing of 16-bit halves modulo 2^32, of which the upper 17 bits are strongly universal; two of them make up the number.
   * Source: Lemire and Kaser, "Strongly universal string hashing is fast", 2013, theorem 3.1.
   */
  #hash(key: Uint32Array): number {
    const factors = this.#factors;
    let a = 0;
    let b = 0;
    for (let word = 0, f = 0; word < KEY_WORDS; word++, f += 4) {
      const value = key[word]!;
      const low = value & 0xffff;
      const high = value >>> 16;
      a = (a + Math.imul(factors[f]!, low) + Math.imul(factors[f + 1]!, high)) | 0;
      b = (b + Math.imul(factors[f + 2]!, low) + Math.imul(factors[f + 3]!, high)) | 0;
    }
    return ((a >>> 15) | ((b >>> 15) << 17)) & this.#hashMask;
  }
}
