import type { BundleBatch, RowSource } from "../core/verification.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/tiles.ts";
import { begun } from "./begun.ts";
import { BundleDigest } from "./bundle-digest.ts";
import { MissingRows, type OtherPlaces } from "./missing-rows.ts";
import type { ReportBuilder } from "./report.ts";
import { RowComparison } from "./row-comparison.ts";
import { asBuffer } from "./sealed-leaf.ts";
import type { LeafWindow } from "./tree-check.ts";

/** The digests of a range of leaf indexes on their way from the store. */
export interface RowReading {
  /** null: the rows are compared one by one. */
  readonly bundles: AsyncIterable<BundleBatch> | null;
  /** As it was before the store was asked. */
  readonly storedThrough: number;
}

/** Bundles whose rows are compared one by one are read together when no more than so many others lie between them. */
const RANGE_GAP_BUNDLES = 64;

/**
 * Compares the rows with the log: each row, hashed as it stands in its table, must give the leaf at its index, and each leaf must
 * have one row. The store gives one digest for the rows of a bundle; where that is not what the entries give, the rows are compared one by one.
 */
export class RowCheck {
  readonly #rows: RowSource;
  readonly #storedThrough: () => number;
  readonly #report: ReportBuilder;
  readonly #missing: MissingRows;
  readonly #digest = new BundleDigest();

  constructor(rows: RowSource, places: OtherPlaces, report: ReportBuilder) {
    this.#rows = rows;
    this.#storedThrough = places.storedThrough;
    this.#report = report;
    this.#missing = new MissingRows(rows, places, report);
  }

  /** Asks the store for the rows in [from, to). It begins to hash them at once, while the caller checks the tree. */
  begin(from: number, to: number): RowReading {
    const storedThrough = this.#storedThrough();
    const { bundles } = this.#rows;
    return {
      storedThrough,
      bundles: bundles === undefined ? null : begun(bundles.call(this.#rows, from, to)),
    };
  }

  /** Compares all rows of `window`. Those that may still be on their way are reported by `settle`. */
  async check(window: LeafWindow, { bundles, storedThrough }: RowReading): Promise<void> {
    const first = Math.floor(window.from / TILE_WIDTH);
    const isOpen = new Uint8Array(Math.ceil(window.to / TILE_WIDTH) - first).fill(1);
    if (bundles !== null) {
      for await (const batch of bundles) this.#compareDigests(window, batch, first, isOpen);
    }
    for (let at = isOpen.indexOf(1); at >= 0;) {
      let end = at + 1;
      let next = isOpen.indexOf(1, end);
      while (next >= 0 && next - end <= RANGE_GAP_BUNDLES)
        next = isOpen.indexOf(1, (end = next + 1));
      await this.#compareRows(
        window,
        first + at,
        first + end,
        storedThrough,
        (bundle) => isOpen[bundle - first] === 1,
      );
      at = next;
    }
  }

  /** Looks for the rows that may still be on their way until `deadline`, and reports those that are missing. */
  async settle(deadline: number): Promise<void> {
    await this.#missing.settle(deadline);
  }

  /** Closes the bundles whose rows are what was sealed. */
  #compareDigests(
    window: LeafWindow,
    { bundles, counts, digests }: BundleBatch,
    first: number,
    isOpen: Uint8Array,
  ): void {
    const hashes = asBuffer(digests);
    const { digest } = this.#digest;
    for (let i = 0; i < bundles.length; i++) {
      const bundle = Number(bundles[i]);
      const from = Math.max(window.from, bundle * TILE_WIDTH);
      const to = Math.min(window.to, (bundle + 1) * TILE_WIDTH);
      const at = i * HASH_LENGTH;
      if (Number(counts[i]) !== to - from || !this.#digest.compute(window, from, to)) continue;
      if (digest.compare(hashes, at, at + HASH_LENGTH) !== 0) continue;
      this.#report.records += to - from;
      isOpen[bundle - first] = 0;
    }
  }

  /** Compares the rows of the open bundles from `firstBundle` to `endBundle` one by one. */
  async #compareRows(
    window: LeafWindow,
    firstBundle: number,
    endBundle: number,
    storedThrough: number,
    isOpen: (bundle: number) => boolean,
  ): Promise<void> {
    const from = Math.max(window.from, firstBundle * TILE_WIDTH);
    const to = Math.min(window.to, endBundle * TILE_WIDTH);
    const comparison = new RowComparison(window, from, to);
    const readings = this.#rows.tables.map(({ table, kind }) => ({
      table,
      kind,
      batches: begun(this.#rows.leaves(table, from, to)),
    }));
    for (const { table, kind, batches } of readings) {
      for await (const batch of batches)
        this.#report.records += comparison.take(table, kind, batch, isOpen);
    }
    const missing = comparison.report(this.#report, isOpen);
    if (missing.length > 0) await this.#missing.add(window, missing, storedThrough);
  }
}
