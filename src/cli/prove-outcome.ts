import type { FaultKind } from "../verify/report.ts";
import type { FoundRow } from "./record-rows.ts";

/** What `meshproof prove` finds and writes, singly or in a bundle. */

/** Proofs hold the records themselves: for their owner alone. */
export const FILE_MODE = 0o600;
export const STANDARD_OUTPUT = "-";

/** A record, and the rows that claim to be it. */
export interface Candidates {
  readonly index: bigint;
  readonly rows: readonly FoundRow[];
}

/** What became of one row: a file, or why there is none. */
export interface Outcome {
  readonly leafIndex: number;
  readonly table: string | null;
  readonly file: string | null;
  readonly fault?: FaultKind;
  readonly detail?: string;
}

/** What became of a record of which no row is stored. */
export function missingRow(leafIndex: number): Outcome {
  const detail = "no row is stored at this index: it was deleted, or has expired";
  return { leafIndex, table: null, file: null, fault: "row_missing", detail };
}
