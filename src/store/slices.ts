import { createHash } from "node:crypto";
import type { Kind } from "../core/kinds.ts";
import type { PlacedBatch, RowSection } from "../core/rows.ts";

/** Rows `start` … `end - 1` of a section, whose row 0 has the leaf index `base`. No bytes are copied. */
export interface RowSlice {
  readonly section: RowSection;
  readonly base: number;
  readonly start: number;
  readonly end: number;
}

const HASH_LENGTH = 32;

/** The rows of some batches by kind, each in ascending order of leaf index. */
export function slicesByKind(batches: readonly PlacedBatch[]): Map<Kind, RowSlice[]> {
  const byKind = new Map<Kind, RowSlice[]>();
  for (const batch of batches) {
    let base = batch.firstIndex;
    for (const section of batch.sections) {
      if (section.count > 0) {
        let slices = byKind.get(section.kind);
        if (slices === undefined) byKind.set(section.kind, (slices = []));
        slices.push({ section, base, start: 0, end: section.count });
      }
      base += section.count;
    }
  }
  return byKind;
}

/** How many rows the slices hold. */
export function rowCount(slices: readonly RowSlice[]): number {
  return slices.reduce((count, { start, end }) => count + end - start, 0);
}

/** Leaf index of the first row. There must be one. */
export function firstLeaf(slices: readonly RowSlice[]): number {
  const first = slices[0]!;
  return first.base + first.start;
}

/** Leaf index of the last row. There must be one. */
export function lastLeaf(slices: readonly RowSlice[]): number {
  const last = slices.at(-1)!;
  return last.base + last.end - 1;
}

/** The bytes of the rows, prefixes included: the body of an INSERT in RowBinary. */
export function chunksOf(slices: readonly RowSlice[]): Uint8Array[] {
  return slices.map(({ section, start, end }) =>
    section.bytes.subarray(section.offsets[start], section.offsets[end]),
  );
}

/** The rows whose leaf indexes do not stand in `present` (ascending). */
export function withoutIndexes(slices: readonly RowSlice[], present: BigUint64Array): RowSlice[] {
  const rest: RowSlice[] = [];
  let at = 0;
  for (const { section, base, start, end } of slices) {
    let from = start;
    for (let row = start; row < end; row++) {
      while (at < present.length && Number(present[at]) < base + row) at++;
      if (at >= present.length || Number(present[at]) !== base + row) continue;
      if (from < row) rest.push({ section, base, start: from, end: row });
      from = row + 1;
    }
    if (from < end) rest.push({ section, base, start: from, end });
  }
  return rest;
}

/** The rows in two halves, both with at least one row. There must be two. */
export function halve(slices: readonly RowSlice[]): [RowSlice[], RowSlice[]] {
  let left = Math.floor(rowCount(slices) / 2);
  const halves: [RowSlice[], RowSlice[]] = [[], []];
  for (const slice of slices) {
    const middle = slice.start + Math.min(left, slice.end - slice.start);
    if (middle > slice.start) halves[0].push({ ...slice, end: middle });
    if (middle < slice.end) halves[1].push({ ...slice, start: middle });
    left -= middle - slice.start;
  }
  return halves;
}

/**
 * insert_deduplication_token of an INSERT of these rows: hex SHA-256 of log, table, leaf indexes and the rows' own hashes.
 * Other rows get another token: ClickHouse drops other bytes under a used token without an error.
 * `generation` tells INSERTs of the same rows apart, when one is known to have been dropped.
 */
export function deduplicationToken(
  logId: string,
  table: string,
  slices: readonly RowSlice[],
  generation: number,
): string {
  const hash = createHash("sha256");
  let ranges = "";
  for (const { section, base, start, end } of slices) {
    hash.update(section.hashes.subarray(start * HASH_LENGTH, end * HASH_LENGTH));
    ranges += ` ${base + start}-${base + end - 1}`;
  }
  hash.update(`${logId} ${table} ${generation}${ranges}`);
  return hash.digest("hex");
}
