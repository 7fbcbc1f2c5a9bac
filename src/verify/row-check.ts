import type { Kind } from "../core/kinds.ts";
import type { LeafBatch, RowSource } from "../core/verification.ts";
import { ENTRY_LENGTH, writeEntry } from "../tlog/entry.ts";
import { HASH_LENGTH, writeLeafHash } from "../tlog/merkle.ts";
import type { ReportBuilder } from "./report.ts";
import { type LeafWindow, NO_KIND, UNKNOWN_LEAF } from "./tree-check.ts";

/** A row that is kept beside the tables. It counts as present where it is what was sealed. */
export interface KeptRow {
  readonly leafIndex: number;
  readonly kind: Kind;
  readonly rowHash: Uint8Array;
}

/** Rows that are kept beside the tables: those with indexes in [from, to), and perhaps others. */
export type KeptRows = (from: number, to: number) => AsyncIterable<KeptRow>;

/** The rows of all tables in a range of leaf indexes, on their way from the store. */
export type RowReading = readonly {
  readonly table: string;
  readonly kind: Kind;
  readonly batches: AsyncIterable<LeafBatch>;
}[];

/** What was found at an index: nothing yet, the row that was sealed, or another one in its place. */
const STATE = { none: 0, holds: 1, changed: 2 } as const;
/** Rows of the newest windows may still be on their way to the store. */
const YOUNG_WINDOWS = 2;

const CHANGED = "the row does not hash to its sealed entry: one of its columns was changed";
const ADDED = "a second row, which was never sealed, has the index of a sealed one";

/** A window that was checked, and the indexes without a row. */
interface Checked {
  readonly window: LeafWindow;
  missing: number[];
}

/**
 * Compares the rows with the log: each row, hashed as it stands in its table, must give the leaf at its index, and each leaf must
 * have one row.
 */
export class RowCheck {
  readonly #rows: RowSource;
  readonly #kept: KeptRows;
  readonly #report: ReportBuilder;
  readonly #matcher = new RowMatcher();
  #young: Checked[] = [];

  constructor(rows: RowSource, kept: KeptRows, report: ReportBuilder) {
    this.#rows = rows;
    this.#kept = kept;
    this.#report = report;
  }

  /** Asks the store for the rows in [from, to). It begins to hash them at once, while the caller checks the tree. */
  begin(from: number, to: number): RowReading {
    return this.#rows.tables.map(({ table, kind }) => ({
      table,
      kind,
      batches: begun(this.#rows.leaves(table, from, to)),
    }));
  }

  /** Compares all rows of `window`. Those that are missing are reported when they can no longer be on their way. */
  async check(window: LeafWindow, reading: RowReading): Promise<void> {
    const count = window.to - window.from;
    const state = new Uint8Array(count);
    const wrong: { leafIndex: number; table: string; kind: Kind }[] = [];
    for (const { table, kind, batches } of reading) {
      for await (const batch of batches) {
        this.#report.records += batch.indexes.length;
        this.#matcher.take(kind, batch.rowHashes);
        for (let i = 0; i < batch.indexes.length; i++) {
          const leafIndex = Number(batch.indexes[i]);
          const at = leafIndex - window.from;
          if (!this.#matcher.matches(i, window, at)) wrong.push({ leafIndex, table, kind });
          else if (state[at] === STATE.none) state[at] = STATE.holds;
          else
            this.#report.add("row_duplicated", "the row is there more than once", leafIndex, table);
        }
      }
    }
    for (const { leafIndex, table, kind } of wrong) {
      const at = leafIndex - window.from;
      const sealedKind = window.kinds[at];
      if (sealedKind === UNKNOWN_LEAF) continue;
      if (state[at] === STATE.none && (sealedKind === kind || sealedKind === NO_KIND)) {
        state[at] = STATE.changed;
        this.#report.add("row_changed", CHANGED, leafIndex, table);
      } else this.#report.add("row_added", ADDED, leafIndex, table);
    }
    const missing: number[] = [];
    for (let at = 0; at < count; at++) {
      if (state[at] !== STATE.none || window.kinds[at] === UNKNOWN_LEAF) continue;
      missing.push(window.from + at);
    }
    const checked = { window, missing };
    await this.#dropKept(checked);
    this.#young.push(checked);
    if (this.#young.length > YOUNG_WINDOWS) await this.#reportMissing(this.#young.shift()!);
  }

  /** Does every index of the newest windows have its row? */
  get isComplete(): boolean {
    return this.#young.every(({ missing }) => missing.length === 0);
  }

  /** Looks again for the rows of the newest windows that were missing. */
  async checkMissing(): Promise<void> {
    for (const checked of this.#young) {
      const { window, missing } = checked;
      if (missing.length === 0) continue;
      const still = new Set(missing);
      for (const { table, kind, batches } of this.begin(missing[0]!, missing.at(-1)! + 1)) {
        for await (const batch of batches) {
          this.#matcher.take(kind, batch.rowHashes);
          for (let i = 0; i < batch.indexes.length; i++) {
            const leafIndex = Number(batch.indexes[i]);
            if (!still.delete(leafIndex)) continue;
            this.#report.records++;
            if (!this.#matcher.matches(i, window, leafIndex - window.from))
              this.#report.add("row_changed", CHANGED, leafIndex, table);
          }
        }
      }
      checked.missing = [...still];
    }
  }

  /** Reports the rows that are missing for good. */
  async finish(): Promise<void> {
    for (const checked of this.#young) await this.#reportMissing(checked);
  }

  async #reportMissing(checked: Checked): Promise<void> {
    await this.#dropKept(checked);
    const { window, missing } = checked;
    const tables = new Map<number, string>(
      this.#rows.tables.map(({ table, kind }) => [kind, table]),
    );
    for (const leafIndex of missing) {
      const table = tables.get(window.kinds[leafIndex - window.from]!) ?? null;
      const detail = "the log holds the record's entry, no table holds its row";
      this.#report.add("row_missing", detail, leafIndex, table);
    }
  }

  /** Of the rows that no table holds, those that are kept elsewhere are not missing. */
  async #dropKept(checked: Checked): Promise<void> {
    const { window, missing } = checked;
    if (missing.length === 0) return;
    const still = new Set(missing);
    for await (const { leafIndex, kind, rowHash } of this.#kept(missing[0]!, missing.at(-1)! + 1)) {
      if (!still.has(leafIndex)) continue;
      this.#matcher.take(kind, rowHash);
      if (!this.#matcher.matches(0, window, leafIndex - window.from)) continue;
      still.delete(leafIndex);
      this.#report.records++;
    }
    checked.missing = [...still];
  }
}

/** `batches`, asked for the first one already. */
function begun(batches: AsyncIterable<LeafBatch>): AsyncIterable<LeafBatch> {
  const iterator = batches[Symbol.asyncIterator]();
  const first = iterator.next();
  // Whoever iterates gets the error; until then it is no unhandled one.
  first.catch(() => {});
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (let next = await first; next.done !== true; next = await iterator.next())
          yield next.value;
      } finally {
        await iterator.return?.();
      }
    },
  };
}

/** Compares rows with what is sealed, in buffers of its own. */
class RowMatcher {
  readonly #entry = Buffer.alloc(ENTRY_LENGTH);
  readonly #leaf = Buffer.alloc(HASH_LENGTH);
  #rowHashes: Buffer = Buffer.alloc(0);
  #kind: Kind = 1;

  /** The rows that `matches` speaks of: records of `kind`. */
  take(kind: Kind, hashes: Uint8Array): void {
    this.#kind = kind;
    this.#rowHashes = Buffer.from(hashes.buffer, hashes.byteOffset, hashes.length);
  }

  /** Is row number `i` the one that is sealed at number `at` of `window`? */
  matches(i: number, window: LeafWindow, at: number): boolean {
    const from = at * HASH_LENGTH;
    const rowAt = i * HASH_LENGTH;
    if (window.kinds[at] === this.#kind)
      return (
        this.#rowHashes.compare(
          window.hashes,
          from,
          from + HASH_LENGTH,
          rowAt,
          rowAt + HASH_LENGTH,
        ) === 0
      );
    if (window.kinds[at] !== NO_KIND) return false;
    writeEntry(this.#entry, 0, this.#kind, this.#rowHashes, rowAt);
    writeLeafHash(this.#leaf, 0, this.#entry, 0, ENTRY_LENGTH);
    return this.#leaf.compare(window.hashes, from, from + HASH_LENGTH) === 0;
  }
}
