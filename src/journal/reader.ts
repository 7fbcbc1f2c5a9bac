import type { FileSystem } from "./files.ts";
import type { RowSection } from "../core/rows.ts";
import {
  claimedLength,
  decodeHead,
  decodeSections,
  FRAME_HEADER_LENGTH,
  MARK_LENGTH,
  type Frame,
  type FrameHead,
} from "./frame.ts";
import {
  journalCorrupt,
  readFully,
  readSegmentHeader,
  SEGMENT_HEADER_LENGTH,
  type Segment,
} from "./segment.ts";

const READ_BYTES = 4 * 1024 * 1024;
const SEARCH_BYTES = 64 * 1024;

/** A frame as it lies in a segment; the sections are views of `bytes`. */
export interface FrameView {
  readonly head: FrameHead;
  readonly sections: readonly RowSection[];
  readonly bytes: Buffer;
}

/** The frame of a view, for those who do not care where it lies. */
export function frameOf({ head, sections }: FrameView): Frame {
  return { sections, firstIndex: head.firstIndex, count: head.count, meta: head.meta };
}

/**
 * Reads the frames of an open segment one by one, each checked as a whole.
 * Memory: one chunk of 4 MiB, or one frame where that is more.
 */
export class FrameReader {
  /** Where the next frame begins. */
  offset: number;
  /** Nothing is read from here on. Can be raised while the segment grows. */
  end: number;
  /** What is wrong at `offset`, once `next` has returned null before the end. */
  damage: string | null = null;
  readonly #files: FileSystem;
  readonly #fd: number;
  readonly #mark: Uint8Array;
  readonly #path: string;
  readonly #reuse: boolean;
  #chunk: Buffer = Buffer.alloc(0);
  #memory: Buffer = this.#chunk;
  #chunkStart = 0;

  /** `reuse`: a frame's bytes hold only until the next call. */
  constructor(options: {
    files: FileSystem;
    fd: number;
    path: string;
    mark: Uint8Array;
    end: number;
    reuse: boolean;
  }) {
    this.#files = options.files;
    this.#fd = options.fd;
    this.#path = options.path;
    this.#mark = options.mark;
    this.offset = SEGMENT_HEADER_LENGTH;
    this.end = options.end;
    this.#reuse = options.reuse;
  }

  /**
   * The next frame; null at the end, and at damage.
   * Throws: JOURNAL_CORRUPT when a frame with a right CRC cannot be decoded.
   */
  async next(): Promise<FrameView | null> {
    if (this.offset >= this.end || this.damage !== null) return null;
    const frame = await this.#frameAt(this.offset);
    if (typeof frame === "string") {
      this.damage = frame;
      return null;
    }
    this.offset += frame.bytes.length;
    return frame;
  }

  /**
   * Was what lies at the damaged offset durable once? It was when a whole frame behind it says so: frames are written in groups,
   * and each names the offset up to which the segment was durable before its own group.
   * Without such a frame the damage is the end of a write that a crash cut short, and was never acknowledged.
   */
  async damageIsInDurablePart(): Promise<boolean> {
    let from = this.offset + 1;
    while (from + FRAME_HEADER_LENGTH <= this.end) {
      const bytes = await this.#bytes(from, Math.min(SEARCH_BYTES, this.end - from));
      if (bytes.length < FRAME_HEADER_LENGTH) return false;
      const found = bytes.indexOf(this.#mark);
      if (found < 0) {
        from += bytes.length - MARK_LENGTH + 1;
        continue;
      }
      from += found;
      const frame = await this.#frameAt(from);
      if (typeof frame !== "string" && frame.head.durableOffset > this.offset) return true;
      from += typeof frame === "string" ? 1 : frame.bytes.length;
    }
    return false;
  }

  async #frameAt(offset: number): Promise<FrameView | string> {
    const rest = this.end - offset;
    if (rest < FRAME_HEADER_LENGTH)
      return `expected a frame header of ${FRAME_HEADER_LENGTH} bytes, got ${rest} bytes`;
    const header = await this.#bytes(offset, FRAME_HEADER_LENGTH);
    if (header.length < FRAME_HEADER_LENGTH) return "the file ended while it was read";
    if (!header.subarray(0, MARK_LENGTH).equals(this.#mark)) {
      return `expected a frame with the mark ${Buffer.from(this.#mark).toString("hex")}, got ${header.toString("hex", 0, MARK_LENGTH)}`;
    }
    const length = claimedLength(header);
    if (length < FRAME_HEADER_LENGTH || length > rest)
      return `expected a frame of ${FRAME_HEADER_LENGTH} to ${rest} bytes, got a length of ${length}`;
    const bytes = await this.#bytes(offset, length);
    if (bytes.length < length) return "the file ended while it was read";
    const sections = decodeSections(bytes);
    if (typeof sections === "string") return sections;
    const head = decodeHead(bytes);
    // What has a right CRC was written like this: no crash made it, and cutting it off would lose it.
    if (typeof head === "string") throw journalCorrupt(this.#path, offset, head);
    return { head, sections, bytes };
  }

  /** `length` bytes at `offset` (fewer only at the end of the file), from the chunk in memory when it has them. */
  async #bytes(offset: number, length: number): Promise<Buffer> {
    const within = offset - this.#chunkStart;
    if (within < 0 || within + length > this.#chunk.length) {
      const wanted = Math.max(length, Math.min(READ_BYTES, this.end - offset));
      if (!this.#reuse || this.#memory.length < wanted)
        this.#memory = Buffer.allocUnsafeSlow(wanted);
      const got = await readFully(this.#files, this.#fd, this.#memory.subarray(0, wanted), offset);
      this.#chunk = this.#memory.subarray(0, got);
      this.#chunkStart = offset;
      return this.#chunk.subarray(0, length);
    }
    return this.#chunk.subarray(within, within + length);
  }
}

/**
 * Durable frames from the one that holds `fromIndex` to the last one there is when the reader gets that far.
 * `segments` is the journal's own list: it may grow at its end and lose what was released while this reads.
 * `rowless`: frames without rows come too, each behind the frame that it was written behind.
 * Throws: JOURNAL_CORRUPT.
 */
export async function* readFrames(
  files: FileSystem,
  segments: readonly Segment[],
  fromIndex: number,
  { rowless = false }: { readonly rowless?: boolean } = {},
): AsyncGenerator<Frame, void, void> {
  let index = fromIndex;
  let last: Segment | undefined;
  for (;;) {
    const segment = segments.findLast(({ firstIndex }) => firstIndex <= index);
    // The last segment may hold nothing but frames without rows, and none of them may come twice.
    if (rowless ? segment === last : index >= segments.at(-1)!.endIndex) return;
    last = segment;
    if (segment === undefined) {
      const { path, firstIndex } = segments[0]!;
      throw journalCorrupt(
        path,
        0,
        `expected rows from index ${index} on, the first on disk is ${firstIndex}`,
      );
    }
    const fd = await files.open(segment.path, "r");
    try {
      const header = await readSegmentHeader(files, fd);
      if (typeof header === "string") throw journalCorrupt(segment.path, 0, header);
      const { path } = segment;
      const reader = new FrameReader({
        files,
        fd,
        path,
        mark: header.mark,
        end: segment.size,
        reuse: false,
      });
      for (;;) {
        reader.end = segment.size; // the active one grows
        const view = await reader.next();
        if (view === null) break;
        const { count } = view.head;
        const frameEnd = view.head.firstIndex + count;
        if (frameEnd < index || (frameEnd === index && (count > 0 || !rowless))) continue;
        yield frameOf(view);
        index = frameEnd;
      }
      if (index < segment.endIndex) {
        const detail =
          reader.damage ?? `expected rows up to index ${segment.endIndex}, got ${index}`;
        throw journalCorrupt(path, reader.offset, detail);
      }
    } finally {
      await files.close(fd);
    }
  }
}
