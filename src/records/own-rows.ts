import type { RowSection } from "../core/rows.ts";
import { TABLES, type Table } from "./columns.ts";
import type { ControlKind } from "./own-kinds.ts";
import { encodeColumns, type MapInput, type RowInput } from "./row-codec.ts";
import { RowHead, SectionBuilder } from "./section-builder.ts";

/** Columns that RowHead writes for kinds 4 to 6: LeafVersion, Kind, Salt. */
const HEAD_COLUMNS = 3;

export interface ControlRecord {
  readonly timestampNs: bigint;
  readonly controlKind: ControlKind;
  readonly detail: Readonly<Record<string, string>>;
}

export interface FindingRecord {
  /** Start of the minute that the finding covers. */
  readonly timestampNs: bigint;
  readonly findingKind: string;
  readonly severity: "info" | "warning" | "error";
  readonly state: "open" | "resolved";
  readonly subject: string;
  readonly traceId: string;
  readonly message: string;
  readonly evidence: readonly number[];
  readonly detail: Readonly<Record<string, string>>;
}

/** Rows of control_records, not yet placed in the log. `logId` may be zeros for row 0, which decides it. */
export function controlSection(logId: string, records: readonly ControlRecord[]): RowSection {
  return section(logId, TABLES.control, records, (r) => [
    r.timestampNs,
    r.controlKind,
    sortedPairs(r.detail),
  ]);
}

/** Rows of findings, not yet placed in the log. */
export function findingSection(logId: string, records: readonly FindingRecord[]): RowSection {
  return section(logId, TABLES.finding, records, (r) => [
    r.timestampNs,
    r.findingKind,
    r.severity,
    r.state,
    r.subject,
    r.traceId,
    r.message,
    r.evidence,
    sortedPairs(r.detail),
  ]);
}

function section<T>(
  logId: string,
  table: Table,
  records: readonly T[],
  values: (record: T) => readonly RowInput[],
): RowSection {
  const builder = new SectionBuilder(table.kind);
  const head = new RowHead(logId, table.kind, undefined);
  const columns = table.columns.slice(HEAD_COLUMNS);
  for (const record of records) {
    builder.open(head, 0);
    encodeColumns(builder.out, columns, values(record));
    builder.close();
  }
  return builder.take();
}

/** Maps are sorted by the bytes of their keys, as in every row. */
function sortedPairs(detail: Readonly<Record<string, string>>): MapInput {
  return Object.entries(detail)
    .map(([key, value]) => [Buffer.from(key), value] as const)
    .sort((a, b) => Buffer.compare(a[0], b[0]));
}
