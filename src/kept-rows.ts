import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROW_PREFIX_LENGTH } from "./core/rows.ts";
import { SHA256_BYTES, sha256Into } from "./core/sha256.ts";
import { readJournal } from "./journal/read-only.ts";
import { TABLES } from "./records/columns.ts";
import { readQuarantine } from "./store/quarantine.ts";
import { readStoredThrough } from "./store/stored-mark.ts";
import type { KeptRow, OtherPlaces } from "./verify/missing-rows.ts";

/** A row that a data directory keeps beside the tables, with its bytes. */
export interface KeptRecord extends KeptRow {
  readonly row: Uint8Array;
}

/** A running server deletes segments while they are read: so often a reading begins again where it was interrupted. */
const MAX_ATTEMPTS = 10;

/** Where rows of log `logId` may be that no table holds: for `verify`, beside a running server and without one. */
export function otherPlaces(dataDirectory: string, logId: string): OtherPlaces {
  return {
    quarantine: () => quarantinedRows(dataDirectory, logId),
    journal: (from, to) => journalRows(dataDirectory, from, to),
    storedThrough: () => readStoredThrough(dataDirectory),
  };
}

/**
 * Rows of log `logId` that a data directory keeps beside the tables: those that the store refused, and with `journal` those of the journal,
 * which also holds rows that were stored already.
 */
export function keptRows(
  dataDirectory: string,
  logId: string,
  { journal }: { journal: boolean },
): (from: number, to: number) => AsyncGenerator<KeptRecord> {
  return async function* (from, to) {
    yield* quarantinedRows(dataDirectory, logId);
    if (journal) yield* journalRows(dataDirectory, from, to);
  };
}

async function* quarantinedRows(dataDirectory: string, logId: string): AsyncGenerator<KeptRecord> {
  const path = join(dataDirectory, "quarantine.jsonl");
  if (!existsSync(path)) return;
  for await (const { table, leafIndex, row, logId: ownLogId } of readQuarantine(path)) {
    const declared = Object.values(TABLES).find(({ name }) => name === table);
    if (declared === undefined || ownLogId !== logId) continue;
    yield { leafIndex, kind: declared.kind, rowHash: hashOf(row), row };
  }
}

/** Rows of the journal with indexes in [from, to). A segment that is released while it is read holds rows that are stored: it is passed over. */
async function* journalRows(
  dataDirectory: string,
  from: number,
  to: number,
): AsyncGenerator<KeptRecord> {
  const directory = join(dataDirectory, "journal");
  let next = from;
  for (let attempt = 1; ; attempt++) {
    try {
      for await (const { firstIndex, count, sections } of readJournal(directory, next, to)) {
        let leafIndex = firstIndex;
        for (const { kind, count: rows, bytes, offsets } of sections) {
          for (let i = 0; i < rows; i++, leafIndex++) {
            if (leafIndex < next || leafIndex >= to) continue;
            const row = bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]);
            // Hashed here: the hashes in the frame say what the row was.
            yield { leafIndex, kind, rowHash: hashOf(row), row };
          }
        }
        next = firstIndex + count;
      }
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || attempt === MAX_ATTEMPTS)
        throw error;
    }
  }
}

function hashOf(row: Uint8Array): Buffer {
  const rowHash = Buffer.alloc(SHA256_BYTES);
  sha256Into(row, rowHash, 0);
  return rowHash;
}
