import { join } from "node:path";
import { IndexMark, readIndexMark } from "../core/index-mark.ts";

function markPath(dataDirectory: string): string {
  return join(dataDirectory, "state", "stored");
}

/**
 * How far the store has the rows of the log, in a file where `verify` finds it, beside a running server and after one: a row below
 * is in the store, or was taken away; one above may still be on its way from the journal. Nothing else depends on it.
 */
export class StoredMark extends IndexMark {
  constructor(dataDirectory: string) {
    super(markPath(dataDirectory));
  }
}

/** Every row of the log below this index was stored; 0 when nothing says so. */
export function readStoredThrough(dataDirectory: string): number {
  return readIndexMark(markPath(dataDirectory));
}
