import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { MeshproofError } from "../core/errors.ts";
import { writeAll, type FileSystem } from "./files.ts";
import { MARK_LENGTH, readUint64, writeUint64 } from "./frame.ts";

/**
 * A segment file begins with
 *
 *    0  "MPJRNL" 0x00        7 bytes
 *    7  version              2, or 3 where frames may hold originals: who knows none refuses the segment, and does not take such a frame for damage
 *    8  mark                 8 random bytes, with which each of its frames begins
 *   16  first index          u64
 *   24  zero                 4 bytes
 *   28  CRC-32               u32, of the bytes before
 *
 * No sender knows the mark, so no row can be made to look like a frame.
 */
export const SEGMENT_HEADER_LENGTH = 32;
const MAGIC = Buffer.from("MPJRNL\0", "latin1");
export const SEGMENT_VERSION = { plain: 2, withOriginals: 3 } as const;
const NAME_DIGITS = 16; // 2^53 - 1 has 16 decimal digits, so that names sort as numbers

/** One file of frames. The last one of a journal is the active one, to which frames are added. */
export interface Segment {
  readonly path: string;
  readonly firstIndex: number;
  /** Durable bytes. The file may be longer: a group is being written, or it is written over an older one. */
  size: number;
  /** The index behind the last durable row. */
  endIndex: number;
}

/** Frames of a segment; the keys of one that has ended; one that was released and is kept to be written over. */
type Extension = "frames" | "keys" | "spare";

/** Path of the file of `extension` that belongs to the segment which begins at `firstIndex`: `0000000000000042.frames`. */
export function segmentPath(directory: string, firstIndex: number, extension: Extension): string {
  return join(directory, `${String(firstIndex).padStart(NAME_DIGITS, "0")}.${extension}`);
}

/** First indexes of the files of `extension` among `names`, ascending. Other names are not ours. */
export function listSegments(names: readonly string[], extension: Extension): number[] {
  const found: number[] = [];
  for (const name of names) {
    const match = /^(\d{16})\.(\w+)$/.exec(name);
    if (match !== null && match[2] === extension) found.push(Number(match[1]));
  }
  return found.sort((a, b) => a - b);
}

/**
 * A new, empty segment, written over the file at `spare` if there is one; when this returns, the file, its header and its name are durable.
 * Throws: what the file system throws; the file is gone again then.
 */
export async function createSegment(
  files: FileSystem,
  directory: string,
  firstIndex: number,
  version: number,
  spare?: string,
): Promise<{ segment: Segment; fd: number; mark: Uint8Array }> {
  const path = segmentPath(directory, firstIndex, "frames");
  const header = Buffer.alloc(SEGMENT_HEADER_LENGTH);
  const mark = randomBytes(MARK_LENGTH);
  header.set(MAGIC, 0);
  header[MAGIC.length] = version;
  header.set(mark, 8);
  writeUint64(header, firstIndex, 16);
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28);
  const fd = await (spare === undefined ? files.open(path, "wx+") : files.open(spare, "r+"));
  let name = spare ?? path;
  try {
    await writeAll(files, fd, [header], 0);
    await files.datasync(fd);
    // Not before: under this name the old header would be damage.
    if (spare !== undefined) await files.rename(spare, path);
    name = path;
    await files.syncDirectory(directory);
  } catch (cause) {
    try {
      await files.close(fd);
      await files.remove(name);
      await files.syncDirectory(directory); // else a crash could bring the name back beside a later segment
    } catch (error) {
      throw new MeshproofError(
        "JOURNAL_FAILED",
        `${path}: a segment that could not be made could not be removed: ${(error as Error).message}`,
        { cause },
      );
    }
    throw cause;
  }
  return { segment: { path, firstIndex, size: header.length, endIndex: firstIndex }, fd, mark };
}

/** The header of a segment, or what is wrong with it. */
export async function readSegmentHeader(
  files: FileSystem,
  fd: number,
): Promise<{ mark: Uint8Array; firstIndex: number } | string> {
  const header = Buffer.alloc(SEGMENT_HEADER_LENGTH);
  const length = await readFully(files, fd, header, 0);
  if (length < header.length)
    return `expected a segment header of ${header.length} bytes, got ${length} bytes`;
  const version = header[MAGIC.length]!;
  const isSegment = header.subarray(0, MAGIC.length).equals(MAGIC);
  if (isSegment && version > SEGMENT_VERSION.withOriginals)
    return `expected a journal segment of version 2 or 3, got one of version ${version}: a newer meshproof wrote it, go on with that one`;
  if (!isSegment || !Object.values<number>(SEGMENT_VERSION).includes(version))
    return `expected a journal segment of version 2 or 3, got the bytes ${header.toString("hex", 0, 8)}`;
  if (header.readUInt32LE(28) !== crc32(header.subarray(0, 28)))
    return "the CRC of the segment header does not hold";
  return { mark: header.subarray(8, 8 + MARK_LENGTH), firstIndex: readUint64(header, 16) };
}

/** The error for damage that no crash explains. */
export function journalCorrupt(path: string, offset: number, detail: string): MeshproofError {
  return new MeshproofError("JOURNAL_CORRUPT", `${path}, offset ${offset}: ${detail}`);
}

/** Fills `into` from `position` on; fewer bytes come only at the end of the file. */
export async function readFully(
  files: FileSystem,
  fd: number,
  into: Uint8Array,
  position: number,
): Promise<number> {
  let length = 0;
  while (length < into.length) {
    const got = await files.read(fd, into.subarray(length), position + length);
    if (got === 0) break;
    length += got;
  }
  return length;
}
