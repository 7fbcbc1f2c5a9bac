import { MeshproofError } from "../core/errors.ts";

/** One frame of a zstd body: bytes [start, end) of it. */
export interface ZstdFrame {
  readonly start: number;
  readonly end: number;
  /** The length of its content, when `exact`; else no content of these blocks is longer. */
  readonly maxContentBytes: number;
  readonly exact: boolean;
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50; // to …5f
const MAX_BLOCK_BYTES = 128 * 1024;
/** Each frame costs a call of zstd. pzstd and the like cut a body into a few dozen. */
const MAX_FRAMES = 1024;

/**
 * The frames that a zstd body consists of, without the skippable ones; found from headers alone, without inflating.
 * Cost:   one step a block (up to 128 KiB of content).
 * Throws: BAD_ENCODING when a header is broken, or the body ends within a frame or has other bytes behind one.
 * Source: RFC 8878, section 3.1.
 */
export function zstdFrames(body: Buffer): ZstdFrame[] {
  const frames: ZstdFrame[] = [];
  let at = 0;
  let count = 0;
  while (at < body.length || count === 0) {
    if (++count > MAX_FRAMES) throw broken(at, `at most ${MAX_FRAMES} frames`);
    const magic = read(body, at, 4);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + read(body, at + 4, 4);
      if (at > body.length) throw broken(body.length, "the rest of a skippable frame");
    } else if (magic === MAGIC) {
      const frame = frameAt(body, at);
      frames.push(frame);
      at = frame.end;
    } else {
      throw broken(at, "a zstd frame");
    }
  }
  return frames;
}

function frameAt(body: Buffer, start: number): ZstdFrame {
  const descriptor = read(body, start + 4, 1);
  const singleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] as number;
  const contentSizeFlag = descriptor >> 6;
  const contentSizeBytes = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  let at = start + 5 + (singleSegment ? 0 : 1) + dictionaryIdBytes;
  const contentSize =
    contentSizeBytes === 0
      ? undefined
      : read(body, at, contentSizeBytes) + (contentSizeBytes === 2 ? 256 : 0);
  at += contentSizeBytes;

  let blocksMax = 0;
  for (let last = false; !last;) {
    const header = read(body, at, 3);
    last = (header & 1) !== 0;
    const type = (header >> 1) & 3; // 0 raw, 1 one byte repeated, 2 compressed
    const size = header >> 3;
    if (type === 3) throw broken(at, "a block type below 3");
    blocksMax += type === 2 ? MAX_BLOCK_BYTES : size;
    at += 3 + (type === 1 ? 1 : size);
  }
  at += hasChecksum ? 4 : 0;
  if (at > body.length) throw broken(body.length, "the rest of a zstd frame");
  return {
    start,
    end: at,
    maxContentBytes: contentSize ?? blocksMax,
    exact: contentSize !== undefined,
  };
}

/** Unsigned little-endian integer of `length` bytes (1, 2, 3, 4 or 8; beyond 2^53 it is only near). */
function read(body: Buffer, at: number, length: number): number {
  if (at + length > body.length) throw broken(body.length, "the rest of a zstd header");
  return length === 8
    ? body.readUInt32LE(at) + body.readUInt32LE(at + 4) * 2 ** 32
    : body.readUIntLE(at, length);
}

function broken(at: number, expected: string): MeshproofError {
  return new MeshproofError(
    "BAD_ENCODING",
    `Content-Encoding: zstd, byte ${at}: expected ${expected}`,
  );
}
