import type { Table } from "../records/columns.ts";
import { quoteIdentifier, quoteLiteral } from "./sql.ts";

/** A column that a table has beside those that are declared: nothing seals it. */
export interface UnsealedColumn {
  readonly name: string;
  readonly type: string;
}

/** Undeclared columns of each table, by its name. */
export type UnsealedColumns = ReadonlyMap<string, readonly UnsealedColumn[]>;

/**
 * Columns of these tables that hold values of their own and are not among those in `declared`. ALIAS and MATERIALIZED columns are computed
 * from the others, so they say nothing that is not sealed.
 */
export const UNSEALED_COLUMNS = `SELECT table, name, type FROM system.columns
  WHERE database = currentDatabase() AND table IN {tables:Array(String)} AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL')
    AND NOT has({declared:Array(String)}, concat(table, '.', name)) ORDER BY table, position`;

const IN_RANGE = "LogId = {log:String} AND LeafIndex BETWEEN {first:UInt64} AND {last:UInt64}";

/** SQL for the bytes of a row: its canonical bytes, and behind them the unsealed columns where one of them is not its type's default. */
export function rowExpression(table: Table, unsealed: UnsealedColumns): string {
  const row = format(table.columns.map(({ name }) => quoteIdentifier(name)));
  const others = unsealed.get(table.name) ?? [];
  if (others.length === 0) return row;
  const values = format(others.map(({ name }) => quoteIdentifier(name)));
  const defaults = format(
    others.map(({ type }) => `defaultValueOfTypeName(${quoteLiteral(type)})`),
  );
  return `concat(${row}, if(${values} = ${defaults}, '', ${values}))`;
}

function format(values: readonly string[]): string {
  return `formatRow('RowBinary', ${values.join(", ")})`;
}

/** LeafIndex and SHA-256 of each row in a range. */
export function leafStatement(table: Table, unsealed: UnsealedColumns): string {
  return `SELECT LeafIndex, SHA256(${rowExpression(table, unsealed)}) FROM ${quoteIdentifier(table.name)} WHERE ${IN_RANGE} FORMAT RowBinary`;
}

/** The same for the rows with the highest indexes. */
export function newestStatement(table: Table, unsealed: UnsealedColumns): string {
  return `SELECT LeafIndex, SHA256(${rowExpression(table, unsealed)}) FROM ${quoteIdentifier(table.name)} WHERE ${IN_RANGE}
    ORDER BY LeafIndex DESC LIMIT {limit:UInt32} FORMAT RowBinary`;
}

/** LeafIndex and bytes of each row in a range. */
export function rowStatement(table: Table, unsealed: UnsealedColumns): string {
  return `SELECT LeafIndex, ${rowExpression(table, unsealed)} FROM ${quoteIdentifier(table.name)} WHERE ${IN_RANGE} FORMAT RowBinary`;
}

/**
 * Bundle, number of rows and digest (see BundleBatch), over all tables at once.
 * An array is sorted, not the rows: 256 short strings at a time. It holds one more than a bundle can have, so that doubled rows cannot fill
 * the server's memory; their number shows them.
 */
export function bundleStatement(tables: readonly Table[], unsealed: UnsealedColumns): string {
  const entries = tables.map(
    (table) =>
      `SELECT LeafIndex, concat(char(bitAnd(LeafIndex, 255)), '\\x01', char(${table.kind}), SHA256(${rowExpression(table, unsealed)})) AS Entry
       FROM ${quoteIdentifier(table.name)} WHERE ${IN_RANGE}`,
  );
  return `SELECT bitShiftRight(LeafIndex, 8) AS Bundle, count(), SHA256(arrayStringConcat(arraySort(groupArray(257)(Entry))))
    FROM (${entries.join(" UNION ALL ")}) GROUP BY Bundle FORMAT RowBinary`;
}

/** The newest checkpoints of a log. */
export const NEWEST_CHECKPOINTS = `SELECT TreeSize, Note FROM checkpoints WHERE LogId = {log:String}
  ORDER BY TreeSize DESC, PublishedAt DESC LIMIT {limit:UInt32}`;

/** One checkpoint of each `step` leaves, of those with fewer leaves than `below`. */
export const SPREAD_CHECKPOINTS = `SELECT TreeSize, Note FROM checkpoints WHERE LogId = {log:String} AND TreeSize < {below:UInt64}
  ORDER BY TreeSize DESC, PublishedAt DESC LIMIT 1 BY intDiv(TreeSize, {step:UInt64})`;

/** Rows of other logs in one table. */
export function strangerStatement(table: Table): string {
  return `SELECT LogId AS logId, count() AS rows FROM ${quoteIdentifier(table.name)} WHERE LogId != {log:String} GROUP BY LogId ORDER BY LogId LIMIT 100`;
}

/** Open findings by kind. A finding that was resolved has a second row with the same identity: kind, subject and minute. */
export const OPEN_FINDINGS = `SELECT FindingKind, count() AS open FROM (
    SELECT FindingKind, Subject, Timestamp, argMax(State, LeafIndex) AS LastState FROM findings
    WHERE LogId = {log:String} GROUP BY FindingKind, Subject, Timestamp
  ) WHERE LastState = 'open' GROUP BY FindingKind ORDER BY FindingKind`;
