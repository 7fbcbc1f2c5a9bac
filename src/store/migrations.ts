import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { StoreClient } from "./client.ts";
import {
  createTables,
  createTraceTimesView,
  onCluster,
  storageTable,
  tableShapes,
  type ColumnShape,
  type SchemaOptions,
  type TableShape,
} from "./schema.ts";
import { qualify, quoteIdentifier } from "./sql.ts";

/** ClickHouse takes indexes of type `text` without a flag from here on. */
const TEXT_INDEXES_SINCE = [26, 2] as const;

/**
 * Brings the database to the columns that this version writes: creates what is missing, adds columns that are behind,
 * and checks every table. What is there stays as it is, so it may run at every start and on several replicas at once.
 * The client's user may create and alter; its own database need not exist yet.
 * Throws: SCHEMA_MISMATCH when a table's columns are others; STORE_FAILED when ClickHouse does not do it.
 */
export async function migrate(
  client: StoreClient,
  options: SchemaOptions & { readonly logger: Logger },
): Promise<void> {
  const { logger, ...schema } = options;
  const textIndexes = schema.textIndexes ?? (await knowsTextIndexes(client));
  for (const statement of createTables({ ...schema, textIndexes })) await client.command(statement);
  for (const declared of tableShapes()) {
    // On a cluster: the table that stores, then the Distributed one in front of it.
    for (const name of new Set([storageTable(declared.name, schema.cluster), declared.name])) {
      const shape = { ...declared, name };
      await addColumns(client, schema, shape, logger);
      const fault = await tableFault(client, schema.database, shape);
      if (fault !== undefined)
        throw new MeshproofError(
          "SCHEMA_MISMATCH",
          `${fault}; meshproof needs a database of its own`,
        );
    }
  }
  await client.command(createTraceTimesView(schema));
}

/** What is wrong with a table's columns, in a sentence that names table, column, expectation and finding; undefined when nothing is. Columns behind ours are left alone. */
export async function tableFault(
  client: StoreClient,
  database: string,
  shape: TableShape,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const found = await readColumns(client, database, shape.name, signal);
  for (const [position, expected] of shape.columns.entries()) {
    const column = found[position];
    if (column?.name === expected.name && column.type === expected.type) continue;
    const seen = column === undefined ? "none" : describe(column);
    return `${database}.${shape.name}, column ${position + 1}: expected ${describe(expected)}, found ${seen}`;
  }
  return undefined;
}

function describe({ name, type }: ColumnShape): string {
  return `${quoteIdentifier(name)} ${type}`;
}

/** A table of an older version has the first of our columns and no others: the rest is added behind. */
async function addColumns(
  client: StoreClient,
  { database, cluster }: SchemaOptions,
  shape: TableShape,
  logger: Logger,
): Promise<void> {
  const found = await readColumns(client, database, shape.name);
  const older =
    found.length < shape.columns.length &&
    found.every((column, i) => describe(column) === describe(shape.columns[i]!));
  if (!older) return;
  logger.info(
    { table: shape.name, columns: shape.columns.slice(found.length).map(({ name }) => name) },
    "adding columns to a table of an older version",
  );
  for (let i = found.length; i < shape.columns.length; i++) {
    const after = i === 0 ? "FIRST" : `AFTER ${quoteIdentifier(shape.columns[i - 1]!.name)}`;
    await client.command(
      `ALTER TABLE ${qualify(database, shape.name)}${onCluster(cluster)} ADD COLUMN IF NOT EXISTS ${shape.definitions[i]} ${after}`,
    );
  }
}

/** Columns that are stored, in order. */
async function readColumns(
  client: StoreClient,
  database: string,
  table: string,
  signal?: AbortSignal,
): Promise<ColumnShape[]> {
  return await client.query<ColumnShape>(
    `SELECT name, type FROM system.columns
     WHERE database = {database:String} AND table = {table:String} AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL') ORDER BY position`,
    { database, table },
    signal === undefined ? {} : { signal },
  );
}

async function knowsTextIndexes(client: StoreClient): Promise<boolean> {
  const [row] = await client.query<{ version: string }>("SELECT version() AS version");
  const [major = 0, minor = 0] = (row?.version ?? "").split(".").map(Number);
  return (
    major > TEXT_INDEXES_SINCE[0] ||
    (major === TEXT_INDEXES_SINCE[0] && minor >= TEXT_INDEXES_SINCE[1])
  );
}
