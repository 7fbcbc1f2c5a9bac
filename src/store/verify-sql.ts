import type { Table } from "../records/columns.ts";
import { quoteIdentifier, quoteLiteral } from "./sql.ts";
import type { TableShape } from "./table-shape.ts";

const IN_RANGE = "LogId = {log:String} AND LeafIndex BETWEEN {first:UInt64} AND {last:UInt64}";

/** A table and what it is like now. */
export interface ShapedTable {
  readonly table: Table;
  readonly shape: TableShape;
}

/**
 * SQL for the bytes of a row: its canonical bytes, and behind them the unsealed columns where one of them is not its type's default.
 * A column that is gone counts as its type's default.
 */
export function rowExpression({ table, shape: { absent, unsealed } }: ShapedTable): string {
  const row = format(
    table.columns.map(({ name, type }) =>
      absent.has(name) ? defaultOf(type) : quoteIdentifier(name),
    ),
  );
  if (unsealed.length === 0) return row;
  const values = format(unsealed.map(({ name }) => quoteIdentifier(name)));
  const defaults = format(unsealed.map(({ type }) => defaultOf(type)));
  return `concat(${row}, if(${values} = ${defaults}, '', ${values}))`;
}

function defaultOf(type: string): string {
  return `defaultValueOfTypeName(${quoteLiteral(type)})`;
}

function format(values: readonly string[]): string {
  return `formatRow('RowBinary', ${values.join(", ")})`;
}

/** LeafIndex and SHA-256 of each row in a range. */
export function leafStatement(shaped: ShapedTable): string {
  return `SELECT LeafIndex, SHA256(${rowExpression(shaped)}) FROM ${quoteIdentifier(shaped.table.name)} WHERE ${IN_RANGE} FORMAT RowBinary`;
}

/** The same for the rows of one partition. */
export function partitionLeafStatement(shaped: ShapedTable): string {
  return `SELECT LeafIndex, SHA256(${rowExpression(shaped)}) FROM ${quoteIdentifier(shaped.table.name)} WHERE ${IN_RANGE} AND _partition_id = {partition:String} FORMAT RowBinary`;
}

/** The same for rows that are named one by one. */
export function selectedLeafStatement(shaped: ShapedTable): string {
  return `SELECT LeafIndex, SHA256(${rowExpression(shaped)}) FROM ${quoteIdentifier(shaped.table.name)} WHERE ${IN_RANGE} AND LeafIndex IN {indexes:Array(UInt64)} FORMAT RowBinary`;
}

/** LeafIndex and bytes of control records of some kinds. */
export function controlRowStatement(shaped: ShapedTable): string {
  return `SELECT LeafIndex, ${rowExpression(shaped)} FROM ${quoteIdentifier(shaped.table.name)} WHERE ${IN_RANGE} AND ControlKind IN {kinds:Array(String)} ORDER BY LeafIndex FORMAT RowBinary`;
}

/** The same for the rows with the highest indexes. */
export function newestStatement(shaped: ShapedTable): string {
  return `SELECT LeafIndex, SHA256(${rowExpression(shaped)}) FROM ${quoteIdentifier(shaped.table.name)} WHERE ${IN_RANGE}
    ORDER BY LeafIndex DESC LIMIT {limit:UInt32} FORMAT RowBinary`;
}

/** LeafIndex and bytes of each row in a range. */
export function rowStatement(shaped: ShapedTable): string {
  return `SELECT LeafIndex, ${rowExpression(shaped)} FROM ${quoteIdentifier(shaped.table.name)} WHERE ${IN_RANGE} FORMAT RowBinary`;
}

/**
 * Bundle, number of rows and digest (see BundleBatch), over all tables at once.
 * An array is sorted, not the rows: 256 short strings at a time. It holds one more than a bundle can have, so that doubled rows cannot fill
 * the server's memory; their number shows them.
 */
export function bundleStatement(tables: readonly ShapedTable[]): string {
  const entries = tables.map(
    (shaped) =>
      `SELECT LeafIndex, concat(char(bitAnd(LeafIndex, 255)), '\\x01', char(${shaped.table.kind}), SHA256(${rowExpression(shaped)})) AS Entry
       FROM ${quoteIdentifier(shaped.table.name)} WHERE ${IN_RANGE}`,
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
