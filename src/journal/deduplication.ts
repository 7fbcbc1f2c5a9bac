import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { KEY_LENGTH } from "./frame.ts";

const DEFAULT_WINDOW_MS = 3_600_000;
const DEFAULT_MAX_KEYS = 1_000_000;
/** Partial success is rare: so many answers keep their text, the older ones only their number of rejected records. */
const MAX_MESSAGES = 65_536;
/** Each call drops at most so many keys that are too old, so that none takes long after a quiet hour. */
const EXPIRED_PER_CALL = 16;
const EMPTY = -1;

/** What a sender was told: how many records were rejected, and why. */
export interface Answer {
  readonly rejected: number;
  readonly message: string;
}

export type Claim =
  /** Not seen: the caller does the work, then calls `settle` or `abandon`. */
  | { readonly state: "new" }
  /** Somebody is at work on the same batch; `result` settles as that does. */
  | { readonly state: "in_flight"; readonly result: Promise<Answer> }
  | { readonly state: "done"; readonly answer: Answer };

/**
 * The window in which a batch that is sent again gets the answer of the first one.
 * Keys are 32 bytes (SHA-256); at most `maxKeys` are kept, for `windowMs`, and the oldest go first.
 *
 * Settled keys lie in a ring of typed arrays in the order in which they came, found by a table with open addressing:
 * 52 bytes a key.
 * Cost: O(1) a call.
 */
export class DeduplicationWindow {
  readonly #windowMs: number;
  readonly #maxKeys: number;
  readonly #clock: () => number;
  readonly #inFlight = new Map<string, PromiseWithResolvers<Answer> | null>();

  // The ring: entry e has its key at #keys[32 e]. The oldest is #head, and #count of them follow one another.
  readonly #keys: Buffer;
  readonly #times: Float64Array;
  readonly #rejected: Uint32Array;
  readonly #messages = new Map<number, string>();
  #head = 0;
  #count = 0;

  // The table: a power of two of slots, at most half full, linear probing; each is an entry or EMPTY.
  readonly #slots: Int32Array;
  readonly #shift: number;
  // Random, or whoever can choose keys could make them all fall into one slot.
  readonly #factor = randomBytes(4).readInt32LE() | 1;

  constructor({
    windowMs = DEFAULT_WINDOW_MS,
    maxKeys = DEFAULT_MAX_KEYS,
    clock = Date.now,
  }: { windowMs?: number; maxKeys?: number; clock?: () => number } = {}) {
    assert(maxKeys >= 1 && maxKeys <= 2 ** 24, "maxKeys is 1 to 16,777,216");
    this.#windowMs = windowMs;
    this.#maxKeys = maxKeys;
    this.#clock = clock;
    const bits = Math.max(3, Math.ceil(Math.log2(2 * maxKeys)));
    this.#shift = 32 - bits;
    this.#slots = new Int32Array(2 ** bits).fill(EMPTY);
    this.#keys = Buffer.from(new ArrayBuffer(KEY_LENGTH * maxKeys)); // zeroed memory that takes no room until it is written
    this.#times = new Float64Array(maxKeys);
    this.#rejected = new Uint32Array(maxKeys);
  }

  /** Settled keys in memory. */
  get size(): number {
    return this.#count;
  }

  /** Has a batch with this key come before? The first to ask gets `new`, and must settle or abandon it. */
  claim(key: Uint8Array): Claim {
    const name = nameOf(key);
    const waiting = this.#inFlight.get(name);
    if (waiting !== undefined) {
      return { state: "in_flight", result: (waiting ?? this.#share(name)).promise };
    }
    this.#expire();
    const entry = this.#slots[this.#find(key)]!;
    if (entry !== EMPTY && this.#times[entry]! >= this.#clock() - this.#windowMs) {
      return {
        state: "done",
        answer: { rejected: this.#rejected[entry]!, message: this.#messages.get(entry) ?? "" },
      };
    }
    this.#inFlight.set(name, null);
    return { state: "new" };
  }

  /** The batch is durable and was answered: whoever waits, and whoever sends it again, gets the same answer. */
  settle(key: Uint8Array, answer: Answer): void {
    const name = nameOf(key);
    const waiting = this.#inFlight.get(name);
    assert(waiting !== undefined, "settle follows a claim that was new");
    this.#inFlight.delete(name);
    this.#remember(key, this.#clock(), answer);
    waiting?.resolve(answer);
  }

  /** The batch was not kept: whoever waits gets `reason`, and the next that sends it begins anew. */
  abandon(key: Uint8Array, reason: Error): void {
    const name = nameOf(key);
    const waiting = this.#inFlight.get(name);
    assert(waiting !== undefined, "abandon follows a claim that was new");
    this.#inFlight.delete(name);
    waiting?.reject(reason);
  }

  /** A key that the journal kept. Called in the order of receipt, before the first claim. */
  restore(key: Uint8Array, receivedAtMs: number, answer: Answer): void {
    if (receivedAtMs >= this.#clock() - this.#windowMs) this.#remember(key, receivedAtMs, answer);
  }

  /** The promise of a batch in flight is made when somebody else asks for it. */
  #share(name: string): PromiseWithResolvers<Answer> {
    const shared = Promise.withResolvers<Answer>();
    shared.promise.catch(() => {}); // those who wait may have hung up
    this.#inFlight.set(name, shared);
    return shared;
  }

  #remember(key: Uint8Array, timeMs: number, { rejected, message }: Answer): void {
    assert(key.length === KEY_LENGTH, "a deduplication key has 32 bytes");
    this.#expire();
    if (this.#count === this.#maxKeys) this.#dropOldest();
    const entry = (this.#head + this.#count++) % this.#maxKeys;
    this.#keys.set(key, KEY_LENGTH * entry);
    this.#times[entry] = timeMs;
    this.#rejected[entry] = rejected;
    if (message !== "") this.#rememberMessage(entry, message);
    // An older entry of the same key, expired or restored twice, loses its slot; it leaves the ring in its turn.
    this.#slots[this.#find(key)] = entry;
  }

  #rememberMessage(entry: number, message: string): void {
    if (this.#messages.size === MAX_MESSAGES) {
      const [oldest] = this.#messages.keys();
      this.#messages.delete(oldest!);
    }
    this.#messages.set(entry, message);
  }

  #expire(): void {
    const limit = this.#clock() - this.#windowMs;
    for (
      let dropped = 0;
      dropped < EXPIRED_PER_CALL && this.#count > 0 && this.#times[this.#head]! < limit;
      dropped++
    )
      this.#dropOldest();
  }

  #dropOldest(): void {
    const entry = this.#head;
    const slot = this.#find(this.#keys.subarray(KEY_LENGTH * entry, KEY_LENGTH * (entry + 1)));
    if (this.#slots[slot] === entry) this.#vacate(slot);
    this.#messages.delete(entry);
    this.#head = (entry + 1) % this.#maxKeys;
    this.#count--;
  }

  /** The slot that holds `key`, or the empty one where it belongs. */
  #find(key: Uint8Array): number {
    const mask = this.#slots.length - 1;
    for (let slot = this.#home(key, 0); ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot]!;
      if (entry === EMPTY || this.#isKeyOf(entry, key)) return slot;
    }
  }

  #isKeyOf(entry: number, key: Uint8Array): boolean {
    const start = KEY_LENGTH * entry;
    for (let byte = 0; byte < KEY_LENGTH; byte++)
      if (this.#keys[start + byte] !== key[byte]) return false;
    return true;
  }

  /** Empties a slot and moves up those behind it that it stood in the way of (Knuth, volume 3, section 6.4, algorithm R). */
  #vacate(slot: number): void {
    const mask = this.#slots.length - 1;
    let hole = slot;
    for (let next = (hole + 1) & mask; this.#slots[next] !== EMPTY; next = (next + 1) & mask) {
      const home = this.#home(this.#keys, KEY_LENGTH * this.#slots[next]!);
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      this.#slots[hole] = this.#slots[next]!;
      hole = next;
    }
    this.#slots[hole] = EMPTY;
  }

  /** The slot where the search for the key at `position` of `bytes` begins: the upper bits of a product, which depend on all four bytes. */
  #home(bytes: Uint8Array, position: number): number {
    const word =
      bytes[position]! |
      (bytes[position + 1]! << 8) |
      (bytes[position + 2]! << 16) |
      (bytes[position + 3]! << 24);
    return Math.imul(word, this.#factor) >>> this.#shift;
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}
