import { existsSync } from "node:fs";
import { join } from "node:path";
import { SHA256_BYTES, sha256Into } from "./core/sha256.ts";
import { readJournal } from "./journal/read-only.ts";
import { TABLES } from "./records/columns.ts";
import { readQuarantine } from "./store/quarantine.ts";
import type { KeptRow, KeptRows } from "./verify/row-check.ts";

/**
 * Rows of log `logId` that a data directory keeps beside the tables: those that the store refused, and with `journal` those of the journal,
 * which the next start brings into the store. The journal also holds rows that were stored already, so it is no substitute for the tables
 * while a server runs, or after one has stopped cleanly.
 */
export function keptRows(
  dataDirectory: string,
  logId: string,
  { journal }: { journal: boolean },
): KeptRows {
  return async function* (from, to) {
    yield* quarantinedRows(join(dataDirectory, "quarantine.jsonl"), logId);
    if (journal) yield* journalRows(join(dataDirectory, "journal"), from, to);
  };
}

async function* quarantinedRows(path: string, logId: string): AsyncGenerator<KeptRow> {
  if (!existsSync(path)) return;
  for await (const { table, leafIndex, row, logId: ownLogId } of readQuarantine(path)) {
    const declared = Object.values(TABLES).find(({ name }) => name === table);
    if (declared === undefined || ownLogId !== logId) continue;
    const rowHash = Buffer.alloc(SHA256_BYTES);
    sha256Into(row, rowHash, 0);
    yield { leafIndex, kind: declared.kind, rowHash };
  }
}

async function* journalRows(directory: string, from: number, to: number): AsyncGenerator<KeptRow> {
  for await (const { firstIndex, sections } of readJournal(directory, from, to)) {
    let leafIndex = firstIndex;
    for (const { kind, count, hashes } of sections) {
      for (let i = 0; i < count; i++, leafIndex++) {
        if (leafIndex < from || leafIndex >= to) continue;
        yield {
          leafIndex,
          kind,
          rowHash: hashes.subarray(i * SHA256_BYTES, (i + 1) * SHA256_BYTES),
        };
      }
    }
  }
}
