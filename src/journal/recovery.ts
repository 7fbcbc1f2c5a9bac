import type { Logger } from "../core/logger.ts";
import type { FileSystem } from "./files.ts";
import { KeyList, type KeyFiles, type RecoveredKey } from "./keys.ts";
import { FrameReader } from "./reader.ts";
import {
  createSegment,
  journalCorrupt,
  listSegments,
  readSegmentHeader,
  SEGMENT_HEADER_LENGTH,
  segmentPath,
  type Segment,
} from "./segment.ts";

export interface RecoveryOptions {
  readonly files: FileSystem;
  readonly directory: string;
  /** Of a segment that is made. */
  readonly segmentVersion: number;
  /** First index of a journal that has no segment yet. */
  readonly nextIndex: number;
  readonly keyFiles: KeyFiles;
  readonly onRecoveredKey: (key: RecoveredKey) => void;
  readonly logger: Logger;
}

export interface RecoveredJournal {
  /** In order, without a gap; the last one is the active one. */
  readonly segments: Segment[];
  readonly active: ActiveSegment;
}

/** What is needed to write to the last segment. */
export interface ActiveSegment {
  readonly segment: Segment;
  readonly fd: number;
  readonly mark: Uint8Array;
  /** Deduplication keys of its durable frames. */
  readonly keys: KeyList;
}

/**
 * The journal as a crash left it, made good: every frame is read and checked, the torn end of the last segment is cut off,
 * and what is left is durable before anyone builds on it.
 * Memory: one frame.
 * Throws: JOURNAL_CORRUPT for damage before the end, and for segments whose indexes leave a gap or overlap.
 */
export async function recoverJournal(options: RecoveryOptions): Promise<RecoveredJournal> {
  const { files, directory } = options;
  await files.makeDirectory(directory);
  const names = await files.list(directory);
  const firstIndexes = listSegments(names, "frames");
  const keyFiles = new Set(listSegments(names, "keys"));
  const present = new Set(firstIndexes);
  for (const firstIndex of listSegments(names, "spare"))
    await files.remove(segmentPath(directory, firstIndex, "spare"));
  for (const firstIndex of keyFiles) {
    if (!present.has(firstIndex))
      await options.keyFiles.recover(firstIndex, options.onRecoveredKey);
  }

  const segments: Segment[] = [];
  let active: ActiveSegment | undefined;
  let expected = firstIndexes[0] ?? options.nextIndex;
  for (const [number, firstIndex] of firstIndexes.entries()) {
    const path = segmentPath(directory, firstIndex, "frames");
    if (firstIndex !== expected) {
      const fault = firstIndex > expected ? "rows are missing" : "the indexes overlap";
      throw journalCorrupt(
        path,
        0,
        `expected the segment that begins at index ${expected}, got ${firstIndex}: ${fault}`,
      );
    }
    const last = number === firstIndexes.length - 1;
    const recovered = await recoverSegment(options, path, firstIndex, firstIndexes[number + 1]);
    if (recovered === null) break;
    segments.push(recovered.segment);
    expected = recovered.segment.endIndex;
    if (last) {
      active = recovered;
      break;
    }
    await files.close(recovered.fd);
    await options.keyFiles.write(firstIndex, recovered.keys, keyFiles.has(firstIndex));
  }

  if (active === undefined) {
    const created = await createSegment(files, directory, expected, options.segmentVersion);
    segments.push(created.segment);
    active = { ...created, keys: new KeyList() };
  }
  // A killed process leaves whole frames that were never synced: they count from now on, so they must be durable from now on.
  await files.datasync(active.fd);
  await files.syncDirectory(directory);
  await options.keyFiles.expire();
  return { segments, active };
}

/**
 * One segment, its frames read through; null when its creation was cut short, and it was removed.
 * `nextFirstIndex` is where the next one begins, undefined for the last.
 */
async function recoverSegment(
  options: RecoveryOptions,
  path: string,
  firstIndex: number,
  nextFirstIndex: number | undefined,
): Promise<ActiveSegment | null> {
  const { files, directory, logger } = options;
  const last = nextFirstIndex === undefined;
  const fd = await files.open(path, last ? "r+" : "r");
  let keep = false;
  try {
    const end = await files.size(fd);
    const header = await readSegmentHeader(files, fd);
    if (typeof header === "string") {
      // The header is durable before the first frame is written, so a broken one with nothing behind it holds nothing.
      if (!last || end > SEGMENT_HEADER_LENGTH) throw journalCorrupt(path, 0, header);
      logger.warn(
        { path, bytes: end },
        "a journal segment whose creation was cut short was removed",
      );
      await files.remove(path);
      await files.syncDirectory(directory);
      return null;
    }
    if (header.firstIndex !== firstIndex)
      throw journalCorrupt(
        path,
        16,
        `expected first index ${firstIndex} as in the name, got ${header.firstIndex}`,
      );

    const reader = new FrameReader({ files, fd, path, mark: header.mark, end, reuse: true });
    const keys = new KeyList();
    let endIndex = firstIndex;
    for (;;) {
      const offset = reader.offset;
      const frame = await reader.next();
      if (frame === null) break;
      const { head } = frame;
      if (head.firstIndex !== endIndex)
        throw journalCorrupt(
          path,
          offset,
          `expected a frame that begins at index ${endIndex}, got ${head.firstIndex}`,
        );
      endIndex += head.count;
      keys.add(head.meta);
      if (head.meta.key !== null) options.onRecoveredKey({ ...head.meta, key: head.meta.key });
    }
    // A segment that was written over an older one ends with what is left of that.
    const isComplete = endIndex === nextFirstIndex;
    if (reader.damage !== null && !isComplete) {
      if (!last || (await reader.damageIsInDurablePart()))
        throw journalCorrupt(path, reader.offset, reader.damage);
      logger.warn(
        {
          path,
          offset: reader.offset,
          bytes: end - reader.offset,
          nextIndex: endIndex,
          damage: reader.damage,
        },
        "what follows the last whole frame of the journal was cut off: unused space, or a write that was never acknowledged",
      );
      await files.truncate(fd, reader.offset);
    }
    keep = true;
    return {
      segment: { path, firstIndex, size: reader.offset, endIndex },
      fd,
      mark: header.mark,
      keys,
    };
  } finally {
    if (!keep) await files.close(fd);
  }
}
