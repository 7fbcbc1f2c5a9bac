import type { Kind } from "../core/kinds.ts";
import type { RowSource } from "../core/verification.ts";
import { ENTRY_LENGTH, writeEntry } from "../tlog/entry.ts";
import { HASH_LENGTH, writeLeafHash } from "../tlog/merkle.ts";
import type { ReportBuilder } from "./report.ts";
import type { LeafWindow } from "./tree-check.ts";

/** The row of a leaf was found, and was looked at. */
const HOLDS = 1;

/** A sealed row that no table holds. */
export interface MissingRow {
  readonly leafIndex: number;
  /** Table where it belongs, by the kind in its entry; null when the entry is missing too. */
  readonly table: string | null;
}

/** Rows that the store refused: they count as present where the bytes that were kept of them are what was sealed. */
export type QuarantinedRows = ReadonlyMap<number, { readonly kind: Kind; readonly rowHash: Uint8Array }>;

/**
 * Compares all rows of a window of leaves with the log: each row, hashed as it stands in its table, must give the leaf at its index,
 * and each leaf must have one row.
 */
export async function checkRows(window: LeafWindow, rows: RowSource, quarantined: QuarantinedRows, report: ReportBuilder): Promise<MissingRow[]> {
  const count = window.to - window.from;
  const state = new Uint8Array(count);
  const wrong: { leafIndex: number; table: string }[] = [];
  const leaf = new LeafHasher();
  for (const { table, kind } of rows.tables) {
    for await (const batch of rows.leaves(table, window.from, window.to)) {
      for (let i = 0; i < batch.indexes.length; i++) {
        const leafIndex = Number(batch.indexes[i]);
        const at = leafIndex - window.from;
        report.records++;
        if (!leaf.matches(kind, batch.rowHashes, i, window.hashes, at)) wrong.push({ leafIndex, table });
        else if (state[at] === HOLDS) report.add("row_duplicated", "the row is there more than once", leafIndex, table);
        else state[at] = HOLDS;
      }
    }
  }
  for (const { leafIndex, table } of wrong) {
    const at = leafIndex - window.from;
    if (state[at] === HOLDS) report.add("row_added", "a second row, which was never sealed, has the index of a sealed one", leafIndex, table);
    else report.add("row_changed", "the row does not hash to its sealed entry: one of its columns was changed", leafIndex, table);
  }
  for (const { leafIndex } of wrong) state[leafIndex - window.from] = HOLDS;
  const missing: MissingRow[] = [];
  for (let at = 0; at < count; at++) {
    if (state[at] === HOLDS) continue;
    const leafIndex = window.from + at;
    const kept = quarantined.get(leafIndex);
    if (kept !== undefined && leaf.matches(kept.kind, kept.rowHash, 0, window.hashes, at)) report.records++;
    else missing.push({ leafIndex, table: rows.tables.find(({ kind }) => kind === window.kinds[at])?.table ?? null });
  }
  return missing;
}

/** Hashes entries into leaves in buffers of its own. */
class LeafHasher {
  readonly #entry = Buffer.alloc(ENTRY_LENGTH);
  readonly #leaf = Buffer.alloc(HASH_LENGTH);

  /** Does row hash `i` of `rowHashes`, as a record of `kind`, give leaf number `at` of `hashes`? */
  matches(kind: Kind, rowHashes: Uint8Array, i: number, hashes: Buffer, at: number): boolean {
    const bytes = Buffer.from(rowHashes.buffer, rowHashes.byteOffset, rowHashes.length);
    writeEntry(this.#entry, 0, kind, bytes, i * HASH_LENGTH);
    writeLeafHash(this.#leaf, 0, this.#entry, 0, ENTRY_LENGTH);
    return this.#leaf.compare(hashes, at * HASH_LENGTH, (at + 1) * HASH_LENGTH) === 0;
  }
}

/** Have the rows at `indexes` appeared since? Returns those that have not. `window` must hold them all. */
export async function recheckMissing(missing: readonly MissingRow[], windows: readonly LeafWindow[], rows: RowSource, report: ReportBuilder): Promise<MissingRow[]> {
  const still = new Map(missing.map((row) => [row.leafIndex, row]));
  const leaf = new LeafHasher();
  const from = missing[0]!.leafIndex;
  const to = missing.at(-1)!.leafIndex + 1;
  for (const { table, kind } of rows.tables) {
    for await (const batch of rows.leaves(table, from, to)) {
      for (let i = 0; i < batch.indexes.length; i++) {
        const leafIndex = Number(batch.indexes[i]);
        if (!still.has(leafIndex)) continue;
        still.delete(leafIndex);
        report.records++;
        const window = windows.find((one) => one.from <= leafIndex && leafIndex < one.to)!;
        if (!leaf.matches(kind, batch.rowHashes, i, window.hashes, leafIndex - window.from)) {
          report.add("row_changed", "the row does not hash to its sealed entry: one of its columns was changed", leafIndex, table);
        }
      }
    }
  }
  return [...still.values()];
}

