import { TABLES, type Table } from "../records/columns.ts";
import { decodeRow, type RowValue } from "../records/row-codec.ts";

/** Where ControlKind stands in a row of control_records: behind LeafVersion, Kind, Salt and Timestamp. */
const CONTROL_KIND_OFFSET = 26;
/** ControlKind of the record that each start of the server seals, as a String. */
const START = Buffer.from("\x05start");

/** Does a row of control_records tell of a start of the server? */
export function isStart(row: Uint8Array): boolean {
  return START.every((byte, i) => row[CONTROL_KIND_OFFSET + i] === byte);
}

/** The pair that a row of trace_links is about. */
export function readLinkRow(row: Uint8Array): {
  rule: string;
  accessLeaf: number;
  spanLeaf: number;
} {
  const value = columnsOf(TABLES.link, row);
  return {
    rule: String(value("Rule")),
    accessLeaf: Number(value("AccessLeaf")),
    spanLeaf: Number(value("SpanLeaf")),
  };
}

/** What makes a row of findings this finding and no other. */
export function readFindingRow(row: Uint8Array): {
  kind: string;
  subject: string;
  intervalNs: bigint;
} {
  const value = columnsOf(TABLES.finding, row);
  return {
    kind: String(value("FindingKind")),
    subject: String(value("Subject")),
    intervalNs: value("Timestamp") as bigint,
  };
}

function columnsOf(table: Table, row: Uint8Array): (name: string) => RowValue {
  const values = decodeRow(table, row);
  return (name) => values[table.columns.findIndex((column) => column.name === name)]!;
}
