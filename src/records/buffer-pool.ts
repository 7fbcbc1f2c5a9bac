import { allocate } from "../core/bytes.ts";

const MIN_BYTES = 256 * 1024;

/**
 * Buffers for rows, used again. Memory outside the JavaScript heap weighs on the collector as if it were inside: at 20,000 records/s
 * buffers that are left to it force a full collection every 32 MB, which cost more than the decoding (8 µs a record, measured).
 * Sizes are powers of two from 256 KiB. What does not fit into `maxIdleBytes` is freed at once.
 */
export class BufferPool {
  readonly #maxIdleBytes: number;
  readonly #idle = new Map<number, Uint8Array<ArrayBuffer>[]>();
  #idleBytes = 0;

  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes;
  }

  /** A buffer of at least `bytes` bytes, with whatever it held before. */
  lease(bytes: number): Uint8Array<ArrayBuffer> {
    const size = roundUp(bytes);
    const buffer = this.#idle.get(size)?.pop();
    if (buffer === undefined) return allocate(size);
    this.#idleBytes -= size;
    return buffer;
  }

  /** Takes a buffer back that nobody reads any more. */
  give(buffer: Uint8Array<ArrayBuffer>): void {
    const size = buffer.length;
    if (size !== roundUp(size) || this.#idleBytes + size > this.#maxIdleBytes) {
      buffer.buffer.transfer(0); // frees the memory now, not when the collector comes by
      return;
    }
    const list = this.#idle.get(size);
    if (list === undefined) this.#idle.set(size, [buffer]);
    else list.push(buffer);
    this.#idleBytes += size;
  }
}

/** The smallest size of the pool that holds `bytes`. */
export function roundUp(bytes: number): number {
  let size = MIN_BYTES;
  while (size < bytes) size *= 2;
  return size;
}
