import { sha256Into } from "../core/sha256.ts";
import type { LeafBatch, RowBatchBytes, RowSource } from "../core/verification.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";

/**
 * The same rows, hashed in this process: the store is trusted to spell them and with nothing else.
 * Cost: every row crosses the connection; a third of the speed.
 */
export function hashedHere(rows: RowSource): RowSource {
  return {
    tables: rows.tables,
    async *leaves(table, from, to) {
      for await (const batch of rows.rowBytes(table, from, to)) yield hashBatch(batch);
    },
    rowBytes: (table, from, to) => rows.rowBytes(table, from, to),
    ...(rows.dropRecords === undefined ? {} : { dropRecords: () => rows.dropRecords!() }),
    newest: (table, from, limit) => rows.newest(table, from, limit),
    checkpoints: (limit) => rows.checkpoints(limit),
    strangers: () => rows.strangers(),
    alterations: () => rows.alterations(),
    findings: () => rows.findings(),
    timeline: (from, to, silenceMs) => rows.timeline(from, to, silenceMs),
    close: () => rows.close(),
  };
}

function hashBatch({ indexes, rows }: RowBatchBytes): LeafBatch {
  const rowHashes = Buffer.allocUnsafeSlow(rows.length * HASH_LENGTH);
  for (const [i, row] of rows.entries()) sha256Into(row, rowHashes, i * HASH_LENGTH);
  return { indexes, rowHashes };
}
