import { LEAF_INDEX_OFFSET, ROW_PREFIX_LENGTH } from "../../src/core/rows.ts";
import { TABLES, type Table } from "../../src/records/columns.ts";
import { actualRows, type Expected } from "./expected-rows.ts";
import type { ServerProcess } from "./server-process.ts";

/**
 * Rows of a table as ClickHouse holds them, in the order of the log and in the form of `Expected`: ClickHouse writes each as RowBinary,
 * which is read here column by column.
 */
export async function storedRows(
  server: ServerProcess,
  name: string,
  where = "1",
): Promise<Expected[]> {
  const table: Table = Object.values(TABLES).find((one) => one.name === name)!;
  const columns = table.columns.map((column) => `\`${column.name}\``).join(", ");
  const answer = await server.query<{ row: string }>(
    `SELECT base64Encode(formatRow('RowBinary', ${columns})) AS row FROM ${name} WHERE ${where} ORDER BY LeafIndex`,
  );
  const rows = answer.map(({ row }) => Buffer.from(row, "base64"));
  const offsets = new Uint32Array(rows.length + 1);
  for (const [i, row] of rows.entries())
    offsets[i + 1] = offsets[i]! + ROW_PREFIX_LENGTH + row.length;
  const prefix = Buffer.alloc(ROW_PREFIX_LENGTH);
  prefix[0] = LEAF_INDEX_OFFSET - 1;
  return actualRows({
    kind: table.kind,
    count: rows.length,
    bytes: Buffer.concat(rows.flatMap((row) => [prefix, row])),
    offsets,
    hashes: new Uint8Array(0),
  });
}

/** Waits until `statement`, a SELECT of one number, gives at least `expected`; returns what it gives. Fails when nothing changes for 30 s. */
export async function waitForCount(
  server: ServerProcess,
  statement: string,
  expected: number,
): Promise<number> {
  let count = -1;
  let changedAt = Date.now();
  while (Date.now() - changedAt < 30_000) {
    const rows = await server.query<Record<string, string>>(statement).catch(() => []);
    const now = Number(Object.values(rows[0] ?? {})[0] ?? count);
    if (now >= expected) return now;
    if (now !== count) changedAt = Date.now();
    count = now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return count;
}
