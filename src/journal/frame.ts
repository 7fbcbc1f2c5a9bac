import { strict as assert } from "node:assert";
import { hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { KINDS, type Kind } from "../core/kinds.ts";
import {
  LEAF_INDEX_OFFSET,
  ROW_PREFIX_LENGTH,
  type PlacedBatch,
  type RowBatch,
  type RowSection,
} from "../core/rows.ts";

/**
 * One frame: a batch with all that a resent batch must be answered. Integers are little endian.
 *
 *    0  mark            8 bytes, random, those of the segment
 *    8  length          u32, of the whole frame
 *   12  CRC-32          u32, of all before the rows but these four bytes, then of each section's LogId and of the SHA-256 of its rows
 *   16  first index     u64, leaf index of the first row
 *   24  durable offset  u64, this many bytes of the segment were durable before this frame was written
 *   32  received        i64, nanoseconds since the epoch
 *   40  rows            u32
 *   44  rejected        u32, records of the request that became no row
 *   48  message length  u32
 *   52  signal          u8
 *   53  sections        u8
 *   54  has key         u8
 *   55  has originals   u8
 *   56  key             32 bytes
 *   88  cut             u32, records of the request that were cut to fit
 *   92  sender length   u32
 *   96  message         UTF-8
 *       sender          UTF-8
 *       originals       where there are some: length u32, then the records as they came in (core/originals.ts)
 *       per section     kind u32, rows u32, then the end of each row, u32, counted from the section's first byte
 *       per section     the rows, each behind its prefix (core/rows.ts)
 */
export const FRAME_HEADER_LENGTH = 96;
export const MARK_LENGTH = 8;
export const KEY_LENGTH = 32;
const CRC_OFFSET = 12;
const MAX_FRAME_BYTES = 2 ** 32 - 1;
const SIGNALS = [undefined, "logs", "traces", "internal"] as const;
const KNOWN_KINDS = new Set<number>(Object.values(KINDS));

/** What a frame says of its batch besides the rows. */
export interface FrameMeta {
  readonly signal: "logs" | "traces" | "internal";
  /** Deduplication key of the request, 32 bytes; null when it cannot be sent twice. */
  readonly key: Uint8Array | null;
  readonly receivedAtNs: bigint;
  /** Partial success as the sender was told, so that a resent batch gets the same answer after a restart. */
  readonly rejected: number;
  readonly message: string;
  /** Who sent the request and how many of its records were cut: with `rejected`, what findings say of it. */
  readonly sender: string;
  readonly cut: number;
  /** The records as they came in, where they are to be passed on. */
  readonly originals?: Uint8Array;
}

/** What a frame says of rows of our own: control records, findings. */
export function internalMeta(nowNs: bigint): FrameMeta {
  return {
    signal: "internal",
    key: null,
    receivedAtNs: nowNs,
    rejected: 0,
    message: "",
    sender: "",
    cut: 0,
  };
}

/** A batch as it comes back from disk. */
export interface Frame extends PlacedBatch {
  readonly meta: FrameMeta;
}

/** The head of a frame, decoded. */
export interface FrameHead {
  readonly firstIndex: number;
  readonly count: number;
  readonly durableOffset: number;
  readonly meta: FrameMeta;
}

/**
 * Everything of a frame that stands before the rows; the CRC and the durable offset are filled in by `sealFrame`.
 * Cost: one small allocation; the rows are not copied.
 */
export function encodeHead(
  batch: RowBatch,
  meta: FrameMeta,
  firstIndex: number,
  count: number,
): { head: Buffer; length: number } {
  assert(meta.key === null || meta.key.length === KEY_LENGTH, "a deduplication key has 32 bytes");
  assert(batch.sections.length < 256, "a batch has fewer than 256 sections");
  const messageLength = Buffer.byteLength(meta.message);
  const senderLength = Buffer.byteLength(meta.sender);
  const { originals } = meta;
  const senderEnd = FRAME_HEADER_LENGTH + messageLength + senderLength;
  const tables = senderEnd + (originals === undefined ? 0 : 4 + originals.length);
  const headLength = tables + 8 * batch.sections.length + 4 * count;
  let length = headLength;
  for (const section of batch.sections) length += section.bytes.length;
  assert(length <= MAX_FRAME_BYTES, "a frame is shorter than 4 GiB");

  const head = Buffer.allocUnsafe(headLength).fill(0, 0, FRAME_HEADER_LENGTH);
  head.writeUInt32LE(length, 8);
  writeUint64(head, firstIndex, 16);
  head.writeBigInt64LE(meta.receivedAtNs, 32);
  head.writeUInt32LE(count, 40);
  head.writeUInt32LE(meta.rejected, 44);
  head.writeUInt32LE(messageLength, 48);
  head[52] = SIGNALS.indexOf(meta.signal);
  head[53] = batch.sections.length;
  if (meta.key !== null) {
    head[54] = 1;
    head.set(meta.key, 56);
  }
  head.writeUInt32LE(meta.cut, 88);
  head.writeUInt32LE(senderLength, 92);
  head.write(meta.message, FRAME_HEADER_LENGTH);
  head.write(meta.sender, FRAME_HEADER_LENGTH + messageLength);
  if (originals !== undefined) {
    head[55] = 1;
    head.set(originals, head.writeUInt32LE(originals.length, senderEnd));
  }
  let position = tables;
  for (const { kind, count: rows, bytes, offsets } of batch.sections) {
    assert(offsets[rows] === bytes.length, "the last offset of a section is its length");
    position = head.writeUInt32LE(kind, position);
    position = head.writeUInt32LE(rows, position);
    for (let row = 1; row <= rows; row++) position = head.writeUInt32LE(offsets[row]!, position);
  }
  return { head, length };
}

/** Fills in what is known only when the frame is written: the segment's mark, its durable offset, the CRC. */
export function sealFrame(
  head: Buffer,
  batch: RowBatch,
  mark: Uint8Array,
  durableOffset: number,
): void {
  head.set(mark, 0);
  writeUint64(head, durableOffset, 24);
  head.writeUInt32LE(frameCrc(head, batch.sections), CRC_OFFSET);
}

/** Writes leaf indexes from `firstIndex` on into the prefixes of the rows. */
export function patchLeafIndexes(batch: RowBatch, firstIndex: number): void {
  let index = firstIndex;
  for (const { bytes, offsets, count } of batch.sections) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let row = 0; row < count; row++, index++) {
      const position = offsets[row]! + LEAF_INDEX_OFFSET;
      view.setUint32(position, index >>> 0, true);
      view.setUint32(position + 4, Math.floor(index / 2 ** 32), true);
    }
  }
}

/** Length that a frame's header claims; `header` has at least FRAME_HEADER_LENGTH bytes. */
export function claimedLength(header: Buffer): number {
  return header.readUInt32LE(8);
}

/** The head of a frame whose CRC holds, or what is wrong in it. */
export function decodeHead(frame: Buffer): FrameHead | string {
  const messageEnd = FRAME_HEADER_LENGTH + frame.readUInt32LE(48);
  const senderEnd = messageEnd + frame.readUInt32LE(92);
  const signal = SIGNALS[frame[52]!];
  if (signal === undefined) return `expected signal 1 to ${SIGNALS.length - 1}, got ${frame[52]}`;
  if (senderEnd > frame.length)
    return `expected message and sender within ${frame.length} bytes, got them up to ${senderEnd}`;
  const tables = tablesStart(frame);
  if (tables > frame.length)
    return `expected the originals within ${frame.length} bytes, got them up to ${tables}`;
  const meta: FrameMeta = {
    signal,
    key: frame[54] === 1 ? new Uint8Array(frame.subarray(56, 56 + KEY_LENGTH)) : null,
    receivedAtNs: frame.readBigInt64LE(32),
    rejected: frame.readUInt32LE(44),
    message: frame.toString("utf8", FRAME_HEADER_LENGTH, messageEnd),
    sender: frame.toString("utf8", messageEnd, senderEnd),
    cut: frame.readUInt32LE(88),
    ...(frame[55] === 1 ? { originals: frame.subarray(senderEnd + 4, tables) } : {}),
  };
  return {
    firstIndex: readUint64(frame, 16),
    count: frame.readUInt32LE(40),
    durableOffset: readUint64(frame, 24),
    meta,
  };
}

/** Where the tables of the sections begin; beyond the end of the frame when they do not fit. */
function tablesStart(frame: Buffer): number {
  const senderEnd = FRAME_HEADER_LENGTH + frame.readUInt32LE(48) + frame.readUInt32LE(92);
  if (frame[55] !== 1) return senderEnd;
  return senderEnd + 4 + (senderEnd + 4 <= frame.length ? frame.readUInt32LE(senderEnd) : 0);
}

/**
 * The sections of a whole frame, views of `bytes`, or what is wrong with it: whatever is not as it was written is found here.
 * Row hashes are computed again, so that what is sealed is what is inserted.
 * Cost: one SHA-256 a row.
 */
export function decodeSections(bytes: Buffer): readonly RowSection[] | string {
  const tables: { kind: Kind; count: number; offsets: Uint32Array }[] = [];
  let position = tablesStart(bytes);
  let total = 0;
  for (let number = 0; number < bytes[53]!; number++) {
    if (position + 8 > bytes.length) return `section ${number} begins past the end of the frame`;
    const kind = bytes.readUInt32LE(position);
    const count = bytes.readUInt32LE(position + 4);
    position += 8;
    if (!KNOWN_KINDS.has(kind))
      return `section ${number}: expected a kind of 1 to ${KNOWN_KINDS.size}, got ${kind}`;
    if (position + 4 * count > bytes.length)
      return `section ${number}: ${count} row ends do not fit in the frame`;
    const offsets = new Uint32Array(count + 1);
    for (let row = 1; row <= count; row++, position += 4) {
      offsets[row] = bytes.readUInt32LE(position);
      if (offsets[row]! < offsets[row - 1]! + ROW_PREFIX_LENGTH)
        return `section ${number}: row ${row - 1} is shorter than its prefix`;
    }
    tables.push({ kind: kind as Kind, count, offsets });
    total += count;
  }
  const count = bytes.readUInt32LE(40);
  if (total !== count) return `expected ${count} rows, got ${total}`;

  const head = bytes.subarray(0, position);
  const sections: RowSection[] = [];
  let leafIndex = readUint64(bytes, 16);
  for (const table of tables) {
    const rows = bytes.subarray(position, position + table.offsets[table.count]!);
    position += table.offsets[table.count]!;
    if (position > bytes.length) return "the rows end past the end of the frame";
    const section = { ...table, bytes: rows, hashes: hashRows(rows, table.offsets, table.count) };
    if (!prefixesHold(section, leafIndex)) return "a row has another prefix than it was given";
    sections.push(section);
    leafIndex += table.count;
  }
  if (position !== bytes.length) return `${bytes.length - position} bytes follow the last row`;
  return frameCrc(head, sections) === bytes.readUInt32LE(CRC_OFFSET)
    ? sections
    : `the CRC of the frame of ${bytes.length} bytes does not hold`;
}

function hashRows(rows: Uint8Array, offsets: Uint32Array, count: number): Uint8Array {
  const hashes = Buffer.allocUnsafeSlow(32 * count);
  for (let row = 0; row < count; row++) {
    // One call without a Hash object, its result as a one-byte string: three times as fast as createHash.
    const digest = hash(
      "sha256",
      rows.subarray(offsets[row]! + ROW_PREFIX_LENGTH, offsets[row + 1]),
      "binary",
    );
    hashes.write(digest, 32 * row, 32, "binary");
  }
  return hashes;
}

/** The rows' hashes are there already and stand for them: 32 bytes instead of some 1,500. Of the prefixes the first LogId is in it, and what follows from it. */
function frameCrc(head: Buffer, sections: readonly RowSection[]): number {
  let crc = crc32(head.subarray(CRC_OFFSET + 4), crc32(head.subarray(0, CRC_OFFSET)));
  for (const { bytes, hashes } of sections)
    crc = crc32(hashes, crc32(bytes.subarray(0, LEAF_INDEX_OFFSET), crc));
  return crc;
}

/** Does each row stand behind the LogId of the first and its own index? */
function prefixesHold({ bytes, offsets, count }: RowSection, firstIndex: number): boolean {
  const rows = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let row = 0; row < count; row++) {
    const start = offsets[row]!;
    if (rows.compare(rows, 0, LEAF_INDEX_OFFSET, start, start + LEAF_INDEX_OFFSET) !== 0)
      return false;
    if (readUint64(rows, start + LEAF_INDEX_OFFSET) !== firstIndex + row) return false;
  }
  return true;
}

/** A leaf index or a file offset: below 2^53. */
export function writeUint64(into: Buffer, value: number, position: number): void {
  into.writeUInt32LE(value % 2 ** 32, position);
  into.writeUInt32LE(Math.floor(value / 2 ** 32), position + 4);
}

export function readUint64(from: Buffer, position: number): number {
  return from.readUInt32LE(position) + from.readUInt32LE(position + 4) * 2 ** 32;
}
