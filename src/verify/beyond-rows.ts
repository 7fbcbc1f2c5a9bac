import { toHex } from "../core/bytes.ts";
import type { RowSource } from "../core/verification.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import type { KeptRows } from "./missing-rows.ts";
import type { ReportBuilder } from "./report.ts";

/** Rows of a table beyond the tree that are looked at: those with the highest indexes, which are the least likely to be sealed soon. */
const MAX_ROWS = 10_000;

interface BeyondRow {
  readonly leafIndex: number;
  readonly table: string;
  /** What a row has to share with a kept one to be the same. */
  readonly identity: string;
}

/** Rows whose leaf indexes lie beyond the tree. */
export class BeyondRows {
  #rows: BeyondRow[];

  private constructor(rows: BeyondRow[]) {
    this.#rows = rows;
  }

  /** The rows from `size` on, as they are now. */
  static async read(rows: RowSource, size: number): Promise<BeyondRows> {
    const found: BeyondRow[] = [];
    for (const { table, kind } of rows.tables) {
      for await (const { indexes, rowHashes } of rows.newest(table, size, MAX_ROWS)) {
        for (const [i, index] of indexes.entries()) {
          const leafIndex = Number(index);
          const hash = rowHashes.subarray(i * HASH_LENGTH, (i + 1) * HASH_LENGTH);
          found.push({ leafIndex, table, identity: identify(leafIndex, kind, hash) });
        }
      }
    }
    return new BeyondRows(found.toSorted((a, b) => a.leafIndex - b.leafIndex));
  }

  /** Is there one with an index from `size` on? */
  hasFrom(size: number): boolean {
    const last = this.#rows.at(-1);
    return last !== undefined && last.leafIndex >= size;
  }

  /** Drops the rows that are kept elsewhere too. */
  async drop(kept: KeptRows): Promise<void> {
    const first = this.#rows[0];
    if (first === undefined) return;
    const identities = new Set(this.#rows.map(({ identity }) => identity));
    for await (const { leafIndex, kind, rowHash } of kept(first.leafIndex, Infinity))
      identities.delete(identify(leafIndex, kind, rowHash));
    this.#rows = this.#rows.filter(({ identity }) => identities.has(identity));
  }

  /** Reports those from `size` on. */
  report(report: ReportBuilder, size: number): void {
    const detail = `the row has an index beyond the ${size} leaves of the newest checkpoint: it was never sealed`;
    for (const { leafIndex, table } of this.#rows)
      if (leafIndex >= size) report.add("row_added", detail, leafIndex, table);
  }
}

function identify(leafIndex: number, kind: number, rowHash: Uint8Array): string {
  return `${leafIndex} ${kind} ${toHex(rowHash)}`;
}
