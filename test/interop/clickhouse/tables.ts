import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Column } from "../../../src/records/columns.ts";
import { readColumns, RowReader } from "../../../src/records/row-codec.ts";
import type { ServerProcess } from "../../support/server-process.ts";

/** A value as the clients' programs print it: 64-bit numbers and times (nanoseconds) as text, strings as the characters of their bytes, maps as pairs. */
export type Printed = string | number | readonly Printed[];

/** Who asks, and where its unqualified tables are. */
export interface Login {
  readonly user: string;
  readonly database: string;
}
export const READER: Login = { user: "reader", database: "otel" };

/** A column as ClickHouse declares it. */
export interface Declared {
  readonly name: string;
  readonly type: string;
}

/** Columns of a table in their order; those that ClickHouse computes when they are read (ALIAS) too, those that it computes when rows are written not. */
export function columnsOf(server: ServerProcess, login: Login, table: string): Promise<Declared[]> {
  return ask<Declared>(
    server,
    login,
    `SELECT name, type FROM system.columns WHERE database = '${login.database}' AND table = '${table}' AND default_kind != 'MATERIALIZED' ORDER BY position`,
  );
}

/**
 * Rows of a table in the order that `order` says, read without a driver: ClickHouse writes each as RowBinary, which meshproof's own codec
 * reads, column by column.
 */
export async function rowsOf(
  server: ServerProcess,
  login: Login,
  { columns, from, order }: { columns: readonly Declared[]; from: string; order: string },
): Promise<Printed[][]> {
  const encoded = columns.map(encodable);
  const answer = await ask<{ row: string }>(
    server,
    login,
    `SELECT base64Encode(formatRow('RowBinary', ${encoded.map(({ expression }) => expression).join(", ")})) AS row FROM ${from} ORDER BY ${order}`,
  );
  const types = encoded.map(({ type }, i) => ({ name: columns[i]!.name, type, comment: "" }));
  return answer.map(({ row }) =>
    readColumns(new RowReader(Buffer.from(row, "base64")), types as Column[]).map(printed),
  );
}

/** Types that the rows which are sealed do not have, as one that they have. */
function encodable({ name, type }: Declared): { expression: string; type: string } {
  const column = `\`${name}\``;
  return /\bDateTime\b/.test(type)
    ? { expression: `toDateTime64(${column}, 9)`, type: "DateTime64(9)" }
    : { expression: column, type };
}

function printed(value: unknown): Printed {
  if (Buffer.isBuffer(value)) return value.toString("latin1");
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(printed);
  return value as number;
}

/** Rows of a SELECT as objects. */
export async function ask<T>(server: ServerProcess, login: Login, statement: string): Promise<T[]> {
  const text = await command(server, login, `${statement} FORMAT JSONEachRow`);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

/** The answer to any statement. Rejects with ClickHouse's words. */
export async function command(
  server: ServerProcess,
  { user, database }: Login,
  statement: string,
): Promise<string> {
  const url = `http://127.0.0.1:${server.ports.clickhouseHttp}/?database=${database}`;
  const password = readFileSync(passwordFile(server, user), "utf8").trim();
  const headers = { "X-ClickHouse-User": user, "X-ClickHouse-Key": password };
  const response = await fetch(url, { method: "POST", headers, body: statement });
  const text = await response.text();
  if (!response.ok) throw new Error(`${statement}: ${text}`);
  return text;
}

export function passwordFile({ dataDirectory }: ServerProcess, user: string): string {
  return join(dataDirectory, "secrets", `clickhouse-${user}`);
}
