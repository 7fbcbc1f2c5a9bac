import { countOriginals } from "../core/originals.ts";

/** The originals of one frame of the journal. */
export interface FrameOriginals {
  readonly firstIndex: number;
  readonly signal: "logs" | "traces";
  readonly bytes: Uint8Array;
}

/** Frames, one behind the other in the log, that are passed on together. */
export interface Chunk {
  readonly firstIndex: number;
  endIndex: number;
  bytes: number;
  readonly records: Record<"logs" | "traces", number>;
  /** When the first frame was added. */
  readonly sinceMs: number;
  /** null: memory had no room, and the journal alone has them. */
  frames: FrameOriginals[] | null;
}

/** A chunk that is so large takes no more frames. */
const CHUNK_BYTES = 1024 * 1024;

export interface ForwardQueueOptions {
  /** Bound of all that waits, in memory or in the journal. */
  readonly maxBytes: number;
  /** Bound of what is held in memory. */
  readonly maxMemoryBytes: number;
}

/** What waits to be passed on, oldest first. In memory stand one object for each MiB, and the newest originals as far as there is room. */
export class ForwardQueue {
  readonly #options: ForwardQueueOptions;
  readonly #chunks: Chunk[] = [];
  #isHeadTaken = false;
  #memoryBytes = 0;
  bytes = 0;

  constructor(options: ForwardQueueOptions) {
    this.#options = options;
  }

  get head(): Chunk | undefined {
    return this.#chunks[0];
  }

  get maxBytes(): number {
    return this.#options.maxBytes;
  }

  /** Adds a frame; with `inMemory` its bytes may be kept. Returns the oldest chunks, which had to go to make room. */
  add(frame: FrameOriginals, endIndex: number, nowMs: number, inMemory: boolean): readonly Chunk[] {
    const { length } = frame.bytes;
    let chunk = this.#chunks.at(-1);
    const isOpen = chunk !== undefined && !(this.#isHeadTaken && this.#chunks.length === 1);
    if (chunk === undefined || !isOpen || chunk.bytes >= CHUNK_BYTES) {
      const { firstIndex } = frame;
      chunk = {
        firstIndex,
        endIndex,
        bytes: 0,
        records: { logs: 0, traces: 0 },
        sinceMs: nowMs,
        frames: [],
      };
      this.#chunks.push(chunk);
    }
    chunk.endIndex = endIndex;
    chunk.bytes += length;
    chunk.records[frame.signal] += countOriginals(frame.bytes);
    this.bytes += length;
    const fits = inMemory && this.#memoryBytes + length <= this.#options.maxMemoryBytes;
    if (chunk.frames !== null && fits) {
      chunk.frames.push(frame);
      this.#memoryBytes += length;
    } else this.#forget(chunk);
    return this.bytes > this.maxBytes ? this.drop(this.bytes - this.maxBytes) : [];
  }

  /** The oldest chunk, which takes no more frames and is not dropped until `done`. */
  take(): Chunk | undefined {
    this.#isHeadTaken = this.#chunks.length > 0;
    return this.head;
  }

  /** The chunk that was taken has been dealt with. */
  done(): void {
    this.#isHeadTaken = false;
    this.#remove(0);
  }

  /** Drops the oldest chunks that are not taken, until `bytes` are gone. */
  drop(bytes: number): readonly Chunk[] {
    const dropped: Chunk[] = [];
    const at = this.#isHeadTaken ? 1 : 0;
    for (let gone = 0; gone < bytes && this.#chunks.length > at;) {
      const chunk = this.#remove(at);
      gone += chunk.bytes;
      dropped.push(chunk);
    }
    return dropped;
  }

  #remove(at: number): Chunk {
    const [chunk] = this.#chunks.splice(at, 1);
    this.bytes -= chunk!.bytes;
    this.#forget(chunk!);
    return chunk!;
  }

  #forget(chunk: Chunk): void {
    for (const { bytes } of chunk.frames ?? []) this.#memoryBytes -= bytes.length;
    chunk.frames = null;
  }
}
