import type { Cursor } from "../core/wire.ts";

/**
 * Offset of the ID whose length stands at the cursor, or -1 when it is empty or all zeros, which both mean "none".
 * Throws: WireError when it has another length.
 */
export function readId(cursor: Cursor, end: number, bytes: number, name: string): number {
  const idEnd = cursor.delimited(end);
  const start = cursor.position;
  cursor.position = idEnd;
  if (idEnd === start) return -1;
  if (idEnd - start !== bytes)
    cursor.fail(`${name}: expected ${bytes} bytes, got ${idEnd - start}`, start);
  for (let p = start; p < idEnd; p++) if (cursor.buffer[p] !== 0) return start;
  return -1;
}
