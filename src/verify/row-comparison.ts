import type { Kind } from "../core/kinds.ts";
import type { LeafBatch } from "../core/verification.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/tiles.ts";
import { NO_KIND } from "./entries.ts";
import { CHANGED } from "./missing-rows.ts";
import type { ReportBuilder } from "./report.ts";
import { asBuffer, isSealed } from "./sealed-leaf.ts";
import { type LeafWindow, UNKNOWN_LEAF } from "./tree-check.ts";

/** Rows under one leaf index that were never sealed: so many are named. */
const MAX_NAMED = 8;

const ADDED = "a row that was never sealed has the index of a sealed one";
const DOUBLED = "the row is there more than once";

interface WrongRow {
  readonly table: string;
  readonly kind: Kind;
}

/** Compares the rows of a range of leaf indexes with what was sealed, one by one. */
export class RowComparison {
  readonly #window: LeafWindow;
  readonly #from: number;
  readonly #to: number;
  /** Which indexes have the row that was sealed. */
  readonly #holds: Uint8Array;
  /** Tables of the rows that are there more than once, by index. */
  readonly #doubled = new Map<number, string>();
  /** Rows that are not what was sealed, by index. */
  readonly #wrong = new Map<number, WrongRow[]>();

  constructor(window: LeafWindow, from: number, to: number) {
    this.#window = window;
    this.#from = from;
    this.#to = to;
    this.#holds = new Uint8Array(to - from);
  }

  /** Takes rows of one table. Returns how many of them are in bundles that count. */
  take(
    table: string,
    kind: Kind,
    { indexes, rowHashes }: LeafBatch,
    counts: (bundle: number) => boolean,
  ): number {
    const { from: start, kinds, hashes: sealed } = this.#window;
    const hashes = asBuffer(rowHashes);
    let taken = 0;
    for (let i = 0; i < indexes.length; i++) {
      const leafIndex = Number(indexes[i]);
      if (!counts(Math.floor(leafIndex / TILE_WIDTH))) continue;
      taken++;
      const at = leafIndex - start;
      if (!isSealed(kinds[at]!, sealed, at * HASH_LENGTH, kind, hashes, i * HASH_LENGTH)) {
        const others = this.#wrong.get(leafIndex);
        if (others === undefined) this.#wrong.set(leafIndex, [{ table, kind }]);
        else if (others.length < MAX_NAMED) others.push({ table, kind });
      } else if (this.#holds[leafIndex - this.#from] === 0) this.#holds[leafIndex - this.#from] = 1;
      else this.#doubled.set(leafIndex, table);
    }
    return taken;
  }

  /** Is the row there that was sealed? */
  holds(leafIndex: number): boolean {
    return this.#holds[leafIndex - this.#from] === 1;
  }

  /** Reports what is wrong with the rows that are there, in the order of the log. Returns the indexes that have none, ascending. */
  report(report: ReportBuilder, counts: (bundle: number) => boolean): number[] {
    const missing: number[] = [];
    for (let leafIndex = this.#from; leafIndex < this.#to; leafIndex++) {
      const sealedKind = this.#window.kinds[leafIndex - this.#window.from]!;
      if (sealedKind === UNKNOWN_LEAF || !counts(Math.floor(leafIndex / TILE_WIDTH))) continue;
      const holds = this.#holds[leafIndex - this.#from] === 1;
      const others = this.#wrong.get(leafIndex) ?? [];
      // In the place of the sealed row stands the first other one of its table; what else is there was added.
      const changed = holds
        ? -1
        : others.findIndex(({ kind }) => sealedKind === kind || sealedKind === NO_KIND);
      for (const [i, { table }] of others.entries()) {
        if (i === changed) report.add("row_changed", CHANGED, leafIndex, table);
        else report.add("row_added", ADDED, leafIndex, table);
      }
      const doubled = this.#doubled.get(leafIndex);
      if (doubled !== undefined) report.add("row_duplicated", DOUBLED, leafIndex, doubled);
      if (!holds && changed < 0) missing.push(leafIndex);
    }
    return missing;
  }
}
