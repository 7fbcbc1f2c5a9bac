import type { Kind, KindName } from "./core/kinds.ts";
import type { PlacedBatch } from "./core/rows.ts";
import { TABLES } from "./records/columns.ts";

const KINDS_BY_NAME = Object.entries(TABLES).map(
  ([name, { kind }]) => [name as KindName, kind] as const,
);

/**
 * What came, since this process started: for heartbeats. Whoever counts the rows of a kind with leaf indexes in [from, through) has to find as many.
 */
export class RunningTotals {
  readonly #from: number;
  #through: number;
  readonly #rows = new Map<Kind, number>();
  #accepted = 0;
  #rejected = 0;
  #refused = 0;
  #deduplicated = 0;

  /** Counts begin with the row at `from`. */
  constructor(from: number) {
    this.#from = this.#through = from;
  }

  /** Rows are durable: of senders, and of our own. Batches come in the order of the log. */
  durable({ firstIndex, count, sections }: PlacedBatch): void {
    for (const { kind, count: rows } of sections)
      this.#rows.set(kind, (this.#rows.get(kind) ?? 0) + rows);
    this.#through = firstIndex + count;
  }

  /** A request was answered with 200. */
  accepted(records: number, rejected: number): void {
    this.#accepted += records;
    this.#rejected += rejected;
  }

  /** A request was refused whole. */
  refused(): void {
    this.#refused++;
  }

  /** A batch had come before. */
  deduplicated(): void {
    this.#deduplicated++;
  }

  detail(): Record<string, string> {
    const rows = KINDS_BY_NAME.map(([name, kind]) => [
      `rows_${name}`,
      String(this.#rows.get(kind) ?? 0),
    ]);
    return {
      from: String(this.#from),
      through: String(this.#through),
      ...Object.fromEntries(rows),
      accepted: String(this.#accepted),
      rejected: String(this.#rejected),
      refused: String(this.#refused),
      deduplicated: String(this.#deduplicated),
    };
  }
}
