import { MeshproofError } from "../core/errors.ts";
import { TABLES, type Column, type Table } from "../records/columns.ts";
import type { StoreClient } from "./client.ts";
import { quoteIdentifier } from "./sql.ts";

/** Which part of a log is asked for. */
export interface HistoryRange {
  readonly client: StoreClient;
  readonly logId: string;
  /** Rows with leaf indexes from `from` on and below `before`. */
  readonly from: number;
  readonly before: number;
  /** Of these, what was received so long before the newest of them, and since. */
  readonly spanNs: bigint;
  /** Columns of access records and spans that are wanted; of their maps, these keys alone. */
  readonly wanted: { readonly access: readonly string[]; readonly span: readonly string[] };
  readonly keys: readonly string[];
  readonly signal: AbortSignal;
}

/** A row in its place. */
export interface HistoryRow {
  readonly leafIndex: number;
  readonly row: Uint8Array;
}

export interface History {
  /** When the oldest rows were received, nanoseconds: what came before is not in it. null: there is nothing before. */
  readonly sinceNs: bigint | null;
  /** Batches in the order of the log. */
  readonly rows: AsyncIterable<readonly HistoryRow[]>;
}

const BOUNDS = `SELECT toString(min(oldest)) AS oldest, toString(max(newest)) AS newest, sum(rows) AS rows FROM (
  SELECT toUnixTimestamp64Nano(min(ReceivedTimestamp)) AS oldest, toUnixTimestamp64Nano(max(ReceivedTimestamp)) AS newest, count() AS rows
    FROM access_records WHERE LogId = {log:String} AND LeafIndex BETWEEN {from:UInt64} AND {last:UInt64} HAVING rows > 0
  UNION ALL
  SELECT toUnixTimestamp64Nano(min(ReceivedTimestamp)), toUnixTimestamp64Nano(max(ReceivedTimestamp)), count() AS rows
    FROM otel_traces WHERE LogId = {log:String} AND LeafIndex BETWEEN {from:UInt64} AND {last:UInt64} HAVING rows > 0
)`;

/**
 * What the store holds of the last part of a log, for a correlator that starts: access records and spans up to the last column that is
 * wanted, with what was linked and found of them and the starts of the server, each as its row's bytes.
 * Throws: STORE_FAILED, also while the rows are read.
 */
export async function readHistory(range: HistoryRange): Promise<History> {
  const { client, logId, from, before, spanNs, signal } = range;
  const place = { log: logId, from, last: before - 1 };
  const [bounds] = await client.query<{ oldest: string; newest: string; rows: string }>(
    BOUNDS,
    place,
    { signal },
  );
  if (bounds === undefined || bounds.rows === "0") return { sinceNs: null, rows: nothing() };
  const oldest = BigInt(bounds.oldest);
  const since = BigInt(bounds.newest) - spanNs;
  const isWhole = from === 0 && since <= oldest;
  const parameters = { ...place, since, keys: [...range.keys] };
  const bytes = client.streamBytes(statement(range), parameters, { signal });
  return {
    sinceNs: isWhole ? null : since > oldest ? since : oldest,
    rows: parseRows(bytes),
  };
}

type Wanted = HistoryRange["wanted"];

function statement({ wanted }: { readonly wanted: Wanted }): string {
  const since = "fromUnixTimestamp64Nano({since:Int64})";
  const received = `ReceivedTimestamp >= ${since}`;
  const ids = "TraceId != '' AND SpanId != ''";
  const selects = [
    select(
      TABLES.access,
      firstColumns(TABLES.access, wanted.access),
      `${received} AND (${ids} OR RequestId != '')`,
    ),
    select(TABLES.span, firstColumns(TABLES.span, wanted.span), `${received} AND ${ids}`),
    select(TABLES.link, allColumns(TABLES.link), `Timestamp >= ${since}`),
    select(TABLES.finding, allColumns(TABLES.finding), `Timestamp >= ${since} - INTERVAL 1 MINUTE`),
    select(
      TABLES.control,
      allColumns(TABLES.control),
      `Timestamp >= ${since} AND ControlKind = 'start'`,
    ),
  ];
  return `SELECT LeafIndex, Bytes FROM (\n${selects.join("\nUNION ALL\n")}\n) ORDER BY LeafIndex FORMAT RowBinary`;
}

function select(table: Table, columns: readonly string[], condition: string): string {
  return `SELECT LeafIndex, formatRow('RowBinary', ${columns.join(", ")}) AS Bytes FROM ${quoteIdentifier(table.name)}
  WHERE LogId = {log:String} AND LeafIndex BETWEEN {from:UInt64} AND {last:UInt64} AND ${condition}`;
}

function allColumns(table: Table): string[] {
  return table.columns.map(({ name }) => quoteIdentifier(name));
}

/** The columns up to the last wanted one; texts, maps and arrays between them are left empty, which is one zero byte for each. */
function firstColumns(table: Table, wanted: readonly string[]): string[] {
  const end = table.columns.findIndex(({ name }) => name === wanted.at(-1)) + 1;
  return table.columns.slice(0, end).map((column) => {
    if (wanted.includes(column.name)) return wantedColumn(column);
    if (column.name === "Salt") return "toFixedString('', 16)";
    return /String|Array/.test(column.type) ? "''" : quoteIdentifier(column.name);
  });
}

function wantedColumn({ name, type }: Column): string {
  const column = quoteIdentifier(name);
  return type.startsWith("Map")
    ? `mapFilter((k, v) -> has({keys:Array(String)}, k), ${column})`
    : column;
}

async function* nothing(): AsyncGenerator<readonly HistoryRow[]> {}

/** LeafIndex as eight bytes, then the row behind its length as LEB128. */
async function* parseRows(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly HistoryRow[]> {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    const rows: HistoryRow[] = [];
    let position = 0;
    for (;;) {
      const row = rowAt(bytes, position);
      if (row === undefined) break;
      rows.push(row);
      position = row.row.byteOffset - bytes.byteOffset + row.row.length;
    }
    rest = bytes.subarray(position);
    if (rows.length > 0) yield rows;
  }
  if (rest.length > 0)
    throw new MeshproofError(
      "STORE_FAILED",
      `reading: the answer ends within a row, ${rest.length} bytes behind the last whole one`,
    );
}

function rowAt(bytes: Buffer, position: number): HistoryRow | undefined {
  let at = position + 8;
  let length = 0;
  for (let scale = 1; ; scale *= 0x80) {
    const byte = bytes[at++];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  if (at + length > bytes.length) return undefined;
  return {
    leafIndex: Number(bytes.readBigUInt64LE(position)),
    row: bytes.subarray(at, at + length),
  };
}
