import { nodeFileSystem as files } from "./files.ts";
import type { Frame } from "./frame.ts";
import { frameOf, FrameReader } from "./reader.ts";
import { listSegments, readSegmentHeader, segmentPath } from "./segment.ts";

/**
 * Frames with rows in [from, to) of the journal in `directory`, as far as they are whole; none when there is no journal.
 * Nothing is changed, so a torn end stays for the next start to cut off. No server may have the journal open.
 * Memory: one chunk of 4 MiB, or one frame where that is more.
 * Throws: JOURNAL_CORRUPT for what no crash explains.
 */
export async function* readJournal(
  directory: string,
  from: number,
  to: number,
): AsyncGenerator<Frame, void, void> {
  const names = await files.list(directory).catch(() => []);
  const firstIndexes = listSegments(names, "frames");
  for (const [number, firstIndex] of firstIndexes.entries()) {
    const next = firstIndexes[number + 1] ?? Infinity;
    if (next <= from || firstIndex >= to) continue;
    const path = segmentPath(directory, firstIndex, "frames");
    const fd = await files.open(path, "r");
    try {
      const header = await readSegmentHeader(files, fd);
      if (typeof header === "string") continue; // its creation was cut short
      const { mark } = header;
      const end = await files.size(fd);
      const reader = new FrameReader({ files, fd, path, mark, end, reuse: false });
      for (;;) {
        const view = await reader.next();
        if (view === null || view.head.firstIndex >= to) break;
        if (view.head.firstIndex + view.head.count <= from) continue;
        yield frameOf(view);
      }
    } finally {
      await files.close(fd);
    }
  }
}
