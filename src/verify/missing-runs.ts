import type { ReportBuilder } from "./report.ts";

/** So many rows of one table in a row are no single deletions: a partition, or a stretch of time, was dropped. */
export const DROPPED_ROWS = 256;

interface MissingRun {
  readonly first: number;
  last: number;
  lastOrdinal: number;
  count: number;
  /** Number of its fault in the report; -1 while there is none. */
  fault: number;
}

/** Finds rows of one table that are missing one behind the other, with none between them that is there. */
export class MissingRuns {
  readonly #report: ReportBuilder;
  readonly #runs = new Map<string, MissingRun>();

  constructor(report: ReportBuilder) {
    this.#report = report;
  }

  /** Takes a missing row. `ordinal` counts the rows of its table that should be there. */
  add(table: string, leafIndex: number, ordinal: number): void {
    const run = this.#runs.get(table);
    if (run?.lastOrdinal === ordinal - 1) {
      run.last = leafIndex;
      run.lastOrdinal = ordinal;
      run.count++;
      // At once, before the list of faults is full of the rows themselves.
      if (run.count === DROPPED_ROWS)
        run.fault = this.#report.add("expired_not_sealed", describe(run), run.first, table);
      return;
    }
    if (run !== undefined) this.#end(run);
    const first = { first: leafIndex, last: leafIndex, lastOrdinal: ordinal };
    this.#runs.set(table, { ...first, count: 1, fault: -1 });
  }

  /** No more come. */
  finish(): void {
    for (const run of this.#runs.values()) this.#end(run);
    this.#runs.clear();
  }

  #end(run: MissingRun): void {
    if (run.fault >= 0) this.#report.amend(run.fault, describe(run));
  }
}

function describe({ first, last, count }: MissingRun): string {
  return `${count} rows in a row, records ${first} to ${last}, are gone together, and no sealed record says that they expired or were erased`;
}
