import type { ColumnType, Table } from "../../src/records/columns.ts";
import { encodeRow, type RowInput } from "../../src/records/row-codec.ts";

const EMPTY: Readonly<Record<string, RowInput>> = {
  "FixedString(16)": Buffer.alloc(16),
  IPv6: Buffer.alloc(16),
  String: "",
  "LowCardinality(String)": "",
};

function emptyOf(type: ColumnType): RowInput {
  return EMPTY[type] ?? (/^(?:Array|Map)/.test(type) ? [] : 0);
}

/** A row of `table`, of version 1 and the table's kind; columns that are not given hold their defaults. */
export function rowOf(table: Table, given: Readonly<Record<string, RowInput>> = {}): Uint8Array {
  const values: Readonly<Record<string, RowInput>> = { LeafVersion: 1, Kind: table.kind, ...given };
  return encodeRow(
    table,
    table.columns.map(({ name, type }) => values[name] ?? emptyOf(type)),
  );
}
