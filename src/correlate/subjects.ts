/** Names that are in use at once, at most: what comes beyond shares one. */
const MAX_NAMES = 10_000;
/** A longer name is cut: senders choose it. */
const MAX_NAME_BYTES = 256;
const UNKNOWN = "unknown proxy";
const OTHERS = "other workloads";
const OTHERS_ID = 0;

/**
 * Names of workloads as small numbers, for as long as something refers to them.
 * Cost: records come in runs of one workload, so that most are a comparison of bytes with the one before.
 */
export class Subjects {
  readonly #ids = new Map<string, number>();
  readonly #names: string[] = [OTHERS];
  readonly #uses: number[] = [0];
  readonly #free: number[] = [];
  #lastBytes = Buffer.alloc(0);
  #lastId = -1;

  /** The number of a name, used once more. */
  use(bytes: Uint8Array, start: number, end: number): number {
    if (!this.#isLast(bytes, start, end)) this.#remember(bytes, start, end);
    this.#uses[this.#lastId]!++;
    return this.#lastId;
  }

  /** One use less. */
  release(id: number): void {
    if (--this.#uses[id]! > 0 || id === OTHERS_ID) return;
    this.#ids.delete(this.#names[id]!);
    this.#free.push(id);
    if (id === this.#lastId) this.#lastId = -1;
  }

  name(id: number): string {
    return this.#names[id]!;
  }

  #isLast(bytes: Uint8Array, start: number, end: number): boolean {
    const last = this.#lastBytes;
    if (this.#lastId < 0 || last.length !== end - start) return false;
    for (let i = 0; i < last.length; i++) if (last[i] !== bytes[start + i]) return false;
    return true;
  }

  #remember(bytes: Uint8Array, start: number, end: number): void {
    this.#lastBytes = Buffer.from(bytes.subarray(start, end));
    const cut = this.#lastBytes.subarray(0, MAX_NAME_BYTES).toString("utf8");
    const name = cut === "" ? UNKNOWN : cut;
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = this.#ids.size < MAX_NAMES ? (this.#free.pop() ?? this.#names.length) : OTHERS_ID;
      if (id !== OTHERS_ID) {
        this.#ids.set(name, id);
        this.#names[id] = name;
        this.#uses[id] = 0;
      }
    }
    this.#lastId = id;
  }
}
