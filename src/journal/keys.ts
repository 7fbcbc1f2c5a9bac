import { crc32 } from "node:zlib";
import type { Logger } from "../core/logger.ts";
import { writeAll, type FileSystem } from "./files.ts";
import { KEY_LENGTH, type FrameMeta } from "./frame.ts";
import { segmentPath } from "./segment.ts";

/**
 * Deduplication keys of one segment, beside it in a file of their own that outlives it, since a segment can be released
 * seconds after it is full while its keys are needed for an hour:
 *
 *    0  "MPKEYS" 0x00 0x01
 *    8  keys     u32
 *   12  CRC-32   u32, of all that follows
 *   16  per key: key 32 bytes, received i64 (ns), rejected u32, message length u32, message
 *
 * Losing such a file loses nothing but the recognition of batches that are sent again.
 */
const MAGIC = Buffer.from("MPKEYS\0\x01", "latin1");
const HEADER_LENGTH = 16;
const KEY_FIXED_LENGTH = KEY_LENGTH + 16;
const FIRST_ALLOCATION_BYTES = 4096;

/** A key with the answer that its sender got. */
export interface RecoveredKey {
  readonly key: Uint8Array;
  readonly receivedAtNs: bigint;
  readonly rejected: number;
  readonly message: string;
}

/** The keys of the active segment, encoded as they come: 48 bytes each and the message. */
export class KeyList {
  count = 0;
  newestNs = 0n;
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_ALLOCATION_BYTES);
  #length = HEADER_LENGTH;

  add({ key, receivedAtNs, rejected, message }: FrameMeta): void {
    if (key === null) return;
    const messageLength = Buffer.byteLength(message);
    const end = this.#length + KEY_FIXED_LENGTH + messageLength;
    if (end > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * end);
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(key, this.#length);
    let position = this.#bytes.writeBigInt64LE(receivedAtNs, this.#length + KEY_LENGTH);
    position = this.#bytes.writeUInt32LE(rejected, position);
    position = this.#bytes.writeUInt32LE(messageLength, position);
    this.#bytes.write(message, position);
    this.#length = end;
    this.count++;
    if (receivedAtNs > this.newestNs) this.newestNs = receivedAtNs;
  }

  /** Writes the keys to a file, a new one or with "r+" over one that is there, durably but for its name. */
  async write(files: FileSystem, path: string, flags: "wx+" | "r+" = "wx+"): Promise<void> {
    const bytes = this.#bytes.subarray(0, this.#length);
    bytes.set(MAGIC, 0);
    bytes.writeUInt32LE(this.count, 8);
    bytes.writeUInt32LE(crc32(bytes.subarray(HEADER_LENGTH)), 12);
    const fd = await files.open(path, flags);
    try {
      await writeAll(files, fd, [bytes], 0);
      if (flags === "r+") await files.truncate(fd, bytes.length);
      await files.datasync(fd);
    } finally {
      await files.close(fd);
    }
  }
}

/** The keys of one file, in the order of their receipt, or null when it is damaged. */
export async function readKeys(files: FileSystem, path: string): Promise<RecoveredKey[] | null> {
  const fd = await files.open(path, "r");
  let bytes: Buffer;
  try {
    bytes = Buffer.alloc(await files.size(fd));
    if (bytes.length < HEADER_LENGTH || (await files.read(fd, bytes, 0)) < bytes.length)
      return null;
  } finally {
    await files.close(fd);
  }
  if (
    !bytes.subarray(0, MAGIC.length).equals(MAGIC) ||
    bytes.readUInt32LE(12) !== crc32(bytes.subarray(HEADER_LENGTH))
  )
    return null;
  const keys: RecoveredKey[] = [];
  let position = HEADER_LENGTH;
  for (let remaining = bytes.readUInt32LE(8); remaining > 0; remaining--) {
    const messageStart = position + KEY_FIXED_LENGTH;
    if (messageStart > bytes.length) return null;
    const messageEnd = messageStart + bytes.readUInt32LE(position + KEY_LENGTH + 12);
    if (messageEnd > bytes.length) return null;
    keys.push({
      key: bytes.subarray(position, position + KEY_LENGTH),
      receivedAtNs: bytes.readBigInt64LE(position + KEY_LENGTH),
      rejected: bytes.readUInt32LE(position + KEY_LENGTH + 8),
      message: bytes.toString("utf8", messageStart, messageEnd),
    });
    position = messageEnd;
  }
  return keys;
}

/** The key files of a journal. None of its failures is one of the journal: they are logged, and the keys are forgotten. */
export class KeyFiles {
  readonly #files: FileSystem;
  readonly #directory: string;
  readonly #windowMs: number;
  readonly #maxKeys: number;
  readonly #logger: Logger;
  readonly #clock: () => number;
  /** Oldest first. */
  #written: { path: string; count: number; newestNs: bigint }[] = [];
  /** Keys of segments that have ended whose file could not be written, by the segments' first index. */
  readonly #unwritten = new Map<number, KeyList>();

  /** `windowMs`: how long a key is kept; `maxKeys`: whole files go, oldest first, when there are more. */
  constructor(options: {
    files: FileSystem;
    directory: string;
    windowMs: number;
    maxKeys: number;
    logger: Logger;
    clock: () => number;
  }) {
    this.#files = options.files;
    this.#directory = options.directory;
    this.#windowMs = options.windowMs;
    this.#maxKeys = options.maxKeys;
    this.#logger = options.logger;
    this.#clock = options.clock;
  }

  /** Hands the keys of a segment that is gone to `onKey`; its file goes when it is damaged or out of the window. */
  async recover(firstIndex: number, onKey: (key: RecoveredKey) => void): Promise<void> {
    const path = segmentPath(this.#directory, firstIndex, "keys");
    await this.#tolerate(path, async () => {
      const keys = await readKeys(this.#files, path);
      if (keys === null) {
        this.#logger.warn(
          { path },
          "a file of deduplication keys is damaged and was dropped; batches sent again may be taken as new",
        );
        await this.#files.remove(path);
        return;
      }
      let newestNs = 0n;
      for (const key of keys) {
        onKey(key);
        if (key.receivedAtNs > newestNs) newestNs = key.receivedAtNs;
      }
      this.#written.push({ path, count: keys.length, newestNs });
    });
  }

  /** Makes the keys of a full segment outlive it. `present`: a file of that name may be there, whole or not. */
  async write(firstIndex: number, keys: KeyList, present = false): Promise<void> {
    const path = segmentPath(this.#directory, firstIndex, "keys");
    await this.#tolerate(path, async () => {
      const whole = present && (await readKeys(this.#files, path)) !== null;
      if (present && !whole) await this.#files.remove(path);
      if (!whole) {
        if (keys.count === 0 || this.#expired(keys.newestNs)) return;
        this.#unwritten.set(firstIndex, keys);
        await keys.write(this.#files, path);
        // Before the segment's own name goes.
        await this.#files.syncDirectory(this.#directory);
        this.#unwritten.delete(firstIndex);
      }
      this.#written.push({ path, count: keys.count, newestNs: keys.newestNs });
    });
    await this.expire();
  }

  /**
   * Makes the keys of a segment that is released outlive it, where their file could not be written: over the segment itself, since that takes no room
   * on a disk that has none.
   * Returns: whether the segment became their file.
   */
  async writeOver(firstIndex: number, segment: string): Promise<boolean> {
    const keys = this.#unwritten.get(firstIndex);
    if (keys === undefined) return false;
    this.#unwritten.delete(firstIndex);
    const path = segmentPath(this.#directory, firstIndex, "keys");
    // Under its own name it would be a damaged segment while it is written over.
    const spare = segmentPath(this.#directory, firstIndex, "spare");
    await this.#files.rename(segment, spare);
    await this.#files.syncDirectory(this.#directory);
    await this.#tolerate(path, async () => {
      await keys.write(this.#files, spare, "r+");
      await this.#files.rename(spare, path);
      this.#written.push({ path, count: keys.count, newestNs: keys.newestNs });
    });
    return true;
  }

  /** Deletes the files that no answer needs any more. */
  async expire(): Promise<void> {
    let total = 0;
    for (const file of this.#written) total += file.count;
    for (;;) {
      const oldest = this.#written[0];
      if (oldest === undefined || (total <= this.#maxKeys && !this.#expired(oldest.newestNs)))
        return;
      this.#written.shift();
      total -= oldest.count;
      await this.#tolerate(oldest.path, () => this.#files.remove(oldest.path));
    }
  }

  #expired(newestNs: bigint): boolean {
    return newestNs < BigInt(this.#clock() - this.#windowMs) * 1_000_000n;
  }

  async #tolerate(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#logger.warn(
        { path, err: error },
        "a file of deduplication keys could not be used; batches sent again may be taken as new after a restart",
      );
    }
  }
}
