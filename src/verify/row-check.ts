import type { BundleBatch, RowSource } from "../core/verification.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/tiles.ts";
import { begun } from "./begun.ts";
import { BundleDigest } from "./bundle-digest.ts";
import { MissingRows, type OtherPlaces } from "./missing-rows.ts";
import type { ReportBuilder } from "./report.ts";
import { RowComparison } from "./row-comparison.ts";
import type { SealedDrops } from "./sealed-drops.ts";
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
  readonly #drops: SealedDrops;
  readonly #refreshDrops: () => Promise<boolean>;
  /** Rows of each kind so far that should be there. */
  readonly #ordinals = new Float64Array(256);

  /** `refreshDrops` reads what was sealed of drops since the last time, and says whether there is something new: rows may go while they are looked for. */
  constructor(
    rows: RowSource,
    places: OtherPlaces,
    report: ReportBuilder,
    drops: SealedDrops,
    refreshDrops: () => Promise<boolean>,
  ) {
    this.#drops = drops;
    this.#refreshDrops = refreshDrops;
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
    const dropped = this.#drops.mark(window);
    if (bundles !== null) {
      const isSeen = new Uint8Array(isOpen.length);
      for await (const batch of bundles)
        this.#compareDigests(window, batch, first, isOpen, isSeen, dropped);
      if (dropped !== null) this.#closeDropped(window, first, isOpen, isSeen, dropped);
    }
    const missing: number[] = [];
    for (let at = isOpen.indexOf(1); at >= 0;) {
      let end = at + 1;
      let next = isOpen.indexOf(1, end);
      while (next >= 0 && next - end <= RANGE_GAP_BUNDLES)
        next = isOpen.indexOf(1, (end = next + 1));
      const found = await this.#compareRows(
        window,
        first + at,
        first + end,
        (bundle) => isOpen[bundle - first] === 1,
        dropped,
      );
      for (const leafIndex of found) missing.push(leafIndex);
      at = next;
    }
    await this.#judgeMissing(window, missing, dropped, storedThrough);
  }

  /** Looks for the rows that may still be on their way until `deadline`, and reports those that are missing. */
  async settle(deadline: number): Promise<void> {
    await this.#missing.settle(deadline);
  }

  /** Closes the bundles whose rows are what was sealed, but for those that were dropped: all of these, or none. */
  #compareDigests(
    window: LeafWindow,
    { bundles, counts, digests }: BundleBatch,
    first: number,
    isOpen: Uint8Array,
    isSeen: Uint8Array,
    dropped: Uint32Array | null,
  ): void {
    const hashes = asBuffer(digests);
    const { digest } = this.#digest;
    for (let i = 0; i < bundles.length; i++) {
      const bundle = Number(bundles[i]);
      isSeen[bundle - first] = 1;
      const from = Math.max(window.from, bundle * TILE_WIDTH);
      const to = Math.min(window.to, (bundle + 1) * TILE_WIDTH);
      const at = i * HASH_LENGTH;
      const isDigest = (): boolean => digest.compare(hashes, at, at + HASH_LENGTH) === 0;
      const count = Number(counts[i]);
      if (
        count === to - from &&
        this.#digest.compute(window, from, to) &&
        isDigest() &&
        !this.#hasFinished(dropped, from - window.from, to - window.from)
      ) {
        this.#report.records += count;
        isOpen[bundle - first] = 0;
      } else if (
        dropped !== null &&
        count < to - from &&
        this.#digest.computeWithout(window, from, to, dropped) === count &&
        isDigest()
      ) {
        this.#report.records += count;
        this.#countAbsent(dropped, from - window.from, to - window.from);
        isOpen[bundle - first] = 0;
      }
    }
  }

  /** Closes the bundles of which the store has no row, where all were dropped. */
  #closeDropped(
    window: LeafWindow,
    first: number,
    isOpen: Uint8Array,
    isSeen: Uint8Array,
    dropped: Uint32Array,
  ): void {
    for (let i = 0; i < isOpen.length; i++) {
      if (isSeen[i] === 1) continue;
      const from = Math.max(window.from, (first + i) * TILE_WIDTH) - window.from;
      const to = Math.min(window.to, (first + i + 1) * TILE_WIDTH) - window.from;
      if (dropped.subarray(from, to).includes(0)) continue;
      this.#countAbsent(dropped, from, to);
      isOpen[i] = 0;
    }
  }

  #countAbsent(dropped: Uint32Array, from: number, to: number): void {
    for (let at = from; at < to; at++)
      if (dropped[at] !== 0) this.#drops.numbered(dropped[at]!).absent++;
  }

  #hasFinished(dropped: Uint32Array | null, from: number, to: number): boolean {
    if (dropped === null) return false;
    for (let at = from; at < to; at++)
      if (dropped[at] !== 0 && this.#drops.numbered(dropped[at]!).isFinished) return true;
    return false;
  }

  /** Compares the rows of the open bundles from `firstBundle` to `endBundle` one by one. Returns the indexes that have none. */
  async #compareRows(
    window: LeafWindow,
    firstBundle: number,
    endBundle: number,
    isOpen: (bundle: number) => boolean,
    dropped: Uint32Array | null,
  ): Promise<number[]> {
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
    if (dropped !== null) this.#reportPresent(window, from, to, comparison, dropped);
    return missing;
  }

  /** Reports rows that are there although a sealed record says that they are gone. */
  #reportPresent(
    window: LeafWindow,
    from: number,
    to: number,
    comparison: RowComparison,
    dropped: Uint32Array,
  ): void {
    for (let leafIndex = from; leafIndex < to; leafIndex++) {
      const number = dropped[leafIndex - window.from]!;
      if (number === 0 || !comparison.holds(leafIndex)) continue;
      const drop = this.#drops.numbered(number);
      if (drop.isFinished)
        this.#report.add(
          "expired_not_sealed",
          `the row is there, although the log says that it is gone: record ${drop.leafIndex} names it as ${drop.kind}`,
          leafIndex,
          drop.table,
        );
    }
  }

  /** Those of `missing` that no sealed record names go on to MissingRows. */
  async #judgeMissing(
    window: LeafWindow,
    missing: readonly number[],
    marked: Uint32Array | null,
    storedThrough: number,
  ): Promise<void> {
    let dropped = marked;
    let left = this.#withoutDropped(window, missing, dropped);
    if (left.length > 0 && (await this.#refreshDrops())) {
      dropped = this.#drops.mark(window, dropped);
      left = this.#withoutDropped(window, left, dropped);
    }
    const ordinals = this.#count(window, left, dropped);
    if (left.length > 0) await this.#missing.add(window, left, ordinals, storedThrough);
  }

  #withoutDropped(
    window: LeafWindow,
    missing: readonly number[],
    dropped: Uint32Array | null,
  ): readonly number[] {
    if (dropped === null) return missing;
    return missing.filter((leafIndex) => {
      const number = dropped[leafIndex - window.from]!;
      if (number !== 0) this.#drops.numbered(number).absent++;
      return number === 0;
    });
  }

  /** Counts the rows of each kind that should be there. Returns the numbers of those in `missing`. */
  #count(window: LeafWindow, missing: readonly number[], dropped: Uint32Array | null): number[] {
    const { kinds, from } = window;
    const ordinals: number[] = [];
    let next = missing[0] ?? Infinity;
    for (let at = 0; at < kinds.length; at++) {
      if (dropped !== null && dropped[at] !== 0) continue;
      const ordinal = this.#ordinals[kinds[at]!]!++;
      if (from + at !== next) continue;
      ordinals.push(ordinal);
      next = missing[ordinals.length] ?? Infinity;
    }
    return ordinals;
  }
}
