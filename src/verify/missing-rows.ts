import { setTimeout } from "node:timers/promises";
import type { Kind } from "../core/kinds.ts";
import type { RowSource } from "../core/verification.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { MissingRuns } from "./missing-runs.ts";
import type { ReportBuilder } from "./report.ts";
import { asBuffer, isSealed } from "./sealed-leaf.ts";
import type { LeafWindow } from "./tree-check.ts";

/** A row that is kept beside the tables. It counts as present where it is what was sealed. */
export interface KeptRow {
  readonly leafIndex: number;
  readonly kind: Kind;
  readonly rowHash: Uint8Array;
}

/** Rows that are kept beside the tables: those with indexes in [from, to), and perhaps others. */
export type KeptRows = (from: number, to: number) => AsyncIterable<KeptRow>;

/** Where rows may be that no table holds. */
export interface OtherPlaces {
  /** Rows that the store refused. They never come into a table. */
  readonly quarantine: KeptRows;
  /** Rows on their way to the store. It may keep them for a while after they are stored. */
  readonly journal: KeptRows;
  /** Rows below this index were stored: the journal is no place for them any more. It only grows. */
  readonly storedThrough: () => number;
}

/** A leaf whose row was not found. */
interface Missing {
  readonly leafIndex: number;
  readonly sealedKind: number;
  /** As in a LeafWindow. */
  readonly sealed: Buffer;
  /** Its place among the rows of its table that should be there. */
  readonly ordinal: number;
}

const POLL_MS = 250;
/** So many rows wait for another look; beyond, those with the lowest indexes are given up. */
const MAX_WAITING = 100_000;

export const CHANGED =
  "the row does not hash to its sealed entry: one of its columns was changed, or one that is not sealed holds a value";
const MISSING = "the log holds the record's entry, no table holds its row";

/** Finds out whether rows that no table holds are missing, or are somewhere else for a reason. */
export class MissingRows {
  readonly #rows: RowSource;
  readonly #places: OtherPlaces;
  readonly #report: ReportBuilder;
  readonly #tables: ReadonlyMap<number, string>;
  readonly #runs: MissingRuns;
  #waiting: Missing[] = [];

  constructor(rows: RowSource, places: OtherPlaces, report: ReportBuilder) {
    this.#rows = rows;
    this.#places = places;
    this.#report = report;
    this.#runs = new MissingRuns(report);
    this.#tables = new Map(rows.tables.map(({ table, kind }) => [kind, table]));
  }

  /**
   * Takes the leaves of `window` without a row, ascending, and of each its place among the rows of its table. `storedThrough` is what it was before their tables were read: a row below is missing
   * for good. One above is looked for in the journal, then in its table again: a row is let go of there once it is here.
   */
  async add(
    window: LeafWindow,
    indexes: readonly number[],
    ordinals: readonly number[],
    storedThrough: number,
  ): Promise<void> {
    const missing = indexes.map((leafIndex, i): Missing => {
      const at = leafIndex - window.from;
      const sealed = window.hashes.subarray(at * HASH_LENGTH, (at + 1) * HASH_LENGTH);
      const sealedKind = window.kinds[at]!;
      return { leafIndex, sealedKind, sealed: Buffer.from(sealed), ordinal: ordinals[i]! };
    });
    const lost = await this.#without(missing, this.#places.quarantine);
    this.#report.quarantined += missing.length - lost.length;
    for (const row of lost) if (row.leafIndex < storedThrough) this.#add(row);
    this.#waiting.push(
      ...(await this.#look(lost.filter(({ leafIndex }) => leafIndex >= storedThrough))),
    );
    for (const row of this.#waiting.splice(0, this.#waiting.length - MAX_WAITING)) this.#add(row);
  }

  /** Looks again for what is still missing until `deadline` (milliseconds since the epoch), then reports it. */
  async settle(deadline: number): Promise<void> {
    while (this.#waiting.length > 0 && Date.now() < deadline) {
      await setTimeout(POLL_MS);
      const storedThrough = this.#places.storedThrough();
      const missing = await this.#look(this.#waiting);
      this.#waiting = missing.filter(({ leafIndex }) => leafIndex >= storedThrough);
      for (const row of missing) if (row.leafIndex < storedThrough) this.#add(row);
    }
    for (const row of this.#waiting.splice(0)) this.#add(row);
    this.#runs.finish();
  }

  #add({ leafIndex, sealedKind, ordinal }: Missing): void {
    const table = this.#tables.get(sealedKind) ?? null;
    this.#report.add("row_missing", MISSING, leafIndex, table);
    if (table !== null) this.#runs.add(table, leafIndex, ordinal);
  }

  /** Those of `missing` that are neither in the journal nor, after that, in a table. */
  async #look(missing: Missing[]): Promise<Missing[]> {
    return this.#notStored(await this.#without(missing, this.#places.journal));
  }

  async #without(missing: Missing[], kept: KeptRows): Promise<Missing[]> {
    if (missing.length === 0) return missing;
    const still = byIndex(missing);
    for await (const { leafIndex, kind, rowHash } of kept(...rangeOf(missing))) {
      const row = still.get(leafIndex);
      if (row === undefined) continue;
      if (!isSealed(row.sealedKind, row.sealed, 0, kind, asBuffer(rowHash), 0)) continue;
      still.delete(leafIndex);
      this.#report.records++;
    }
    return [...still.values()];
  }

  async #notStored(missing: Missing[]): Promise<Missing[]> {
    if (missing.length === 0) return missing;
    const still = byIndex(missing);
    for (const { table, kind } of this.#rows.tables) {
      for await (const { indexes, rowHashes } of this.#rows.leaves(table, ...rangeOf(missing))) {
        const hashes = asBuffer(rowHashes);
        for (let i = 0; i < indexes.length; i++) {
          const leafIndex = Number(indexes[i]);
          const row = still.get(leafIndex);
          if (row === undefined) continue;
          still.delete(leafIndex);
          this.#report.records++;
          if (!isSealed(row.sealedKind, row.sealed, 0, kind, hashes, i * HASH_LENGTH))
            this.#report.add("row_changed", CHANGED, leafIndex, table);
        }
      }
    }
    return [...still.values()];
  }
}

function byIndex(rows: readonly Missing[]): Map<number, Missing> {
  return new Map(rows.map((row) => [row.leafIndex, row]));
}

/** The smallest range of leaf indexes that has all of these, which are ascending. */
function rangeOf(rows: readonly Missing[]): [from: number, to: number] {
  return [rows[0]!.leafIndex, rows.at(-1)!.leafIndex + 1];
}
