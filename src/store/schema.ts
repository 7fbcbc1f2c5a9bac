import { PLACE_COLUMNS, TABLES, type Column, type Table } from "../records/columns.ts";
import { LAYOUTS, partitionKey, type Layout, type RetentionDays } from "./layout.ts";
import { qualify, quoteIdentifier, quoteLiteral } from "./sql.ts";

/** What the DDL depends on. */
export interface SchemaOptions {
  readonly database: string;
  /** A cluster of the server's configuration: tables become Replicated, with Distributed ones in front. */
  readonly cluster?: string;
  /** Days that each retention class is kept. Classes of at most 60 days are partitioned by day. */
  readonly retention: RetentionDays;
  /** Does the server know indexes of type `text` (ClickHouse 26.2)? Bloom filters stand in where it does not. Default true. */
  readonly textIndexes?: boolean;
}

/** A column as `system.columns` shows it. */
export interface ColumnShape {
  readonly name: string;
  readonly type: string;
}

/** A table that migrations create and check. */
export interface TableShape {
  readonly name: string;
  /** Ordinary columns in order; ALIAS and MATERIALIZED columns are not listed. */
  readonly columns: readonly ColumnShape[];
  /** Definition of each column for CREATE TABLE and ALTER TABLE ADD COLUMN, parallel to `columns`. */
  readonly definitions: readonly string[];
}

/** Published checkpoints. Not sealed: they are the seal. */
export const CHECKPOINTS = {
  name: "checkpoints",
  comment: "Published checkpoints: signed tree heads of each log",
  columns: [
    { name: "LogId", type: "LowCardinality(String)", comment: "The log" },
    { name: "TreeSize", type: "UInt64", comment: "Leaves under the root" },
    { name: "RootHash", type: "String", comment: "Merkle root, 64 lower-case hex digits" },
    { name: "Note", type: "String", comment: "The checkpoint as a C2SP signed note" },
    { name: "PublishedAt", type: "DateTime64(9)", comment: "When it was published" },
  ],
} as const;

/** Where Grafana's trace view looks up the time range of a trace, in the exporter's columns; behind them what the partition needs. */
export const TRACE_TIMES = {
  name: "otel_traces_trace_id_ts",
  comment: "First and last second of each trace, several rows a trace: aggregate with min and max",
  columns: [
    { name: "TraceId", type: "String", comment: "32 lower-case hex digits" },
    {
      name: "Start",
      type: "SimpleAggregateFunction(min, DateTime)",
      comment: "Start of the earliest span",
    },
    {
      name: "End",
      type: "SimpleAggregateFunction(max, DateTime)",
      comment: "Start of the latest span",
    },
    { name: "RetentionClass", type: "LowCardinality(String)", comment: "As in otel_traces" },
    {
      name: "ReceivedPeriod",
      type: "UInt32",
      comment: "Month (yyyymm) or day (yyyymmdd) of arrival, as in the partition of otel_traces",
    },
  ],
} as const;

type AnyColumn = { readonly name: string; readonly type: string; readonly comment: string };

/** Columns of a sealed table as they stand in ClickHouse and in an INSERT: place, then row. */
export function insertColumns(table: Table): readonly Column[] {
  return [...PLACE_COLUMNS, ...table.columns];
}

/**
 * SQL for SHA-256 of a row's canonical bytes, recomputed from its columns as they stand now: 32 raw bytes.
 * With `char(Kind)` in front and 0x00 0x01 before that, its SHA-256 is the leaf hash.
 */
export function rowHashExpression(table: Table): string {
  return `SHA256(formatRow('RowBinary', ${table.columns.map((column) => quoteIdentifier(column.name)).join(", ")}))`;
}

/** Every table with its columns, for creation and for the check of what exists. */
export function tableShapes(): readonly TableShape[] {
  return [
    ...Object.values(TABLES).map((table) => shape(table.name, insertColumns(table))),
    shape(CHECKPOINTS.name, CHECKPOINTS.columns),
    shape(TRACE_TIMES.name, TRACE_TIMES.columns),
  ];
}

function shape(name: string, columns: readonly AnyColumn[]): TableShape {
  return {
    name,
    columns: columns.map(({ name, type }) => ({ name, type })),
    definitions: columns.map(columnDefinition),
  };
}

/**
 * The statements that create the database, its tables and then its view. Each is a no-op where its object exists,
 * so that replicas may run them at the same time.
 */
export function createStatements(options: SchemaOptions): readonly string[] {
  return [...createTables(options), createTraceTimesView(options)];
}

/** The statements that create the database and its tables. */
export function createTables(options: SchemaOptions): readonly string[] {
  const { database, cluster } = options;
  // The engine is left to the server (Atomic): to name it can take a grant, which no GRANT gives, as it knows engines of tables alone.
  const statements = [
    `CREATE DATABASE IF NOT EXISTS ${quoteIdentifier(database)}${onCluster(cluster)}`,
  ];
  for (const table of Object.values(TABLES)) {
    statements.push(
      ...createTable(
        options,
        shape(table.name, insertColumns(table)),
        LAYOUTS[table.name]!,
        table.comment,
      ),
    );
  }
  for (const side of [CHECKPOINTS, TRACE_TIMES]) {
    statements.push(
      ...createTable(options, shape(side.name, side.columns), LAYOUTS[side.name]!, side.comment),
    );
  }
  return statements;
}

/** Name of the table that holds the rows: behind a Distributed table stands a local one. */
export function storageTable(name: string, cluster: string | undefined): string {
  return cluster === undefined ? name : `${name}_local`;
}

/** ` ON CLUSTER …`, or nothing. */
export function onCluster(cluster: string | undefined): string {
  return cluster === undefined ? "" : ` ON CLUSTER ${quoteIdentifier(cluster)}`;
}

function createTable(
  options: SchemaOptions,
  table: TableShape,
  layout: Layout,
  comment: string,
): string[] {
  const { database, cluster, retention, textIndexes = true } = options;
  const stored = qualify(database, storageTable(table.name, cluster));
  const parts = [
    ...table.definitions,
    ...layout.aliases,
    ...layout.indexes(textIndexes),
    ...layout.projections,
  ];
  const statements = [
    [
      `CREATE TABLE IF NOT EXISTS ${stored}${onCluster(cluster)} (`,
      parts.map((part) => `  ${part}`).join(",\n"),
      `) ENGINE = ${engine(layout.engine, cluster)}`,
      `PARTITION BY ${partitionKey(layout.partition, retention)}`,
      ...(layout.primaryKey === undefined ? [] : [`PRIMARY KEY (${layout.primaryKey})`]),
      `ORDER BY (${layout.orderBy})`,
      `SETTINGS ${TABLE_SETTINGS}`,
      `COMMENT ${quoteLiteral(comment)}`,
    ].join("\n"),
  ];
  if (cluster !== undefined) {
    statements.push(
      [
        `CREATE TABLE IF NOT EXISTS ${qualify(database, table.name)}${onCluster(cluster)} AS ${stored}`,
        `ENGINE = Distributed(${[cluster, database, storageTable(table.name, cluster)].map(quoteLiteral).join(", ")}, ${layout.shardBy})`,
        `COMMENT ${quoteLiteral(comment)}`,
      ].join("\n"),
    );
  }
  return statements;
}

/**
 * A row is on disk when the INSERT is answered, and the same INSERT sent again adds nothing.
 * Parts begin compact, one file for all columns: a batch of 10,000 rows would else be written and synced as some hundred files,
 * which takes a quarter more of ClickHouse's CPU (32 against 24 µs a log of 1.5 kB, merges included). Merges make large parts wide.
 */
const TABLE_SETTINGS =
  "fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728";

function engine(family: string, cluster: string | undefined): string {
  if (cluster === undefined) return family;
  return `Replicated${family}('/clickhouse/tables/{uuid}/{shard}', '{replica}')`;
}

function columnDefinition(column: AnyColumn): string {
  return `${quoteIdentifier(column.name)} ${column.type} COMMENT ${quoteLiteral(column.comment)} CODEC(${codec(column)})`;
}

/** Salts are random: compressing them costs and gains nothing. Times and indexes grow steadily: their differences are small. */
function codec(column: AnyColumn): string {
  if (column.name === "Salt") return "NONE";
  if (column.type === "DateTime64(9)" || column.name === "LeafIndex" || column.name === "TreeSize")
    return "Delta(8), ZSTD(1)";
  return "ZSTD(1)";
}

/** The statement that creates the view that fills the times of traces. Its tables must be there. */
export function createTraceTimesView(options: SchemaOptions): string {
  const { database, cluster, retention } = options;
  const period = partitionKey("receivedPeriod", retention);
  return [
    `CREATE MATERIALIZED VIEW IF NOT EXISTS ${qualify(database, `${TRACE_TIMES.name}_mv`)}${onCluster(cluster)}`,
    `TO ${qualify(database, storageTable(TRACE_TIMES.name, cluster))} AS`,
    `SELECT TraceId, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) AS End, RetentionClass, ${period} AS ReceivedPeriod`,
    `FROM ${qualify(database, storageTable(TABLES.span.name, cluster))}`,
    `WHERE TraceId != ''`,
    `GROUP BY TraceId, RetentionClass, ReceivedPeriod`,
  ].join("\n");
}
