import type { Kind } from "../core/kinds.ts";
import { PLACE_COLUMNS, TABLE_OF_KIND } from "../records/columns.ts";
import { RowReader, readColumns } from "../records/row-codec.ts";
import { nowNanos } from "../core/time.ts";
import { type PlacedRow, placedRows } from "../records/row-json.ts";
import type { Position } from "./cursor.ts";
import {
  type AccessFilter,
  accessKeys,
  COVERAGE,
  type KeyRow,
  NEWEST_HOUR,
  type Order,
  RECORD_KEYS,
  RECORDS_KEYS,
  rowsStatement,
  TRACE_KEYS,
} from "./statements.ts";
import type { StatementParameters, StatementRunner } from "./store.ts";
import { clampTime, END_OF_TIME_NS } from "./times.ts";

/** Rows asked for at once. */
const ROWS_PER_QUERY = 200;
/** Bytes of rows in one answer, behind which it ends with a cursor; a single row may be larger. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

const MINUTE_NS = 60_000_000_000n;
const HOUR_NS = 3_600_000_000_000n;
const NS_PER_SECOND = 1_000_000_000n;
const MAX_WORKLOADS = 10_000;
/** A link may be made, by our clock, before the record happened, by its proxy's. */
const CLOCK_SLACK_NS = HOUR_NS;

/** A record and where it stands. */
export interface FoundRecord extends PlacedRow {
  readonly kind: Kind;
}

/** Part of an answer, and where the next part begins, null behind the last. */
export interface Page {
  readonly records: readonly FoundRecord[];
  readonly next: Position | null;
}

export interface AccessQuery {
  readonly filters: Readonly<Partial<Record<AccessFilter, string>>>;
  /** From inclusive, to exclusive. */
  readonly fromNs: bigint;
  readonly toNs: bigint;
  /** The last record of the page before. */
  readonly after: Position | null;
  readonly limit: number;
}

/** What the answer of `/api/v1/coverage` says of one workload: counts as decimal strings. */
export interface WorkloadCoverage {
  readonly Workload: string;
  readonly spans: string;
  readonly accessRecords: string;
  readonly linked: string;
  readonly untraced: string;
  readonly blind: string;
}

interface Key extends Position {
  readonly kind: Kind;
}

/** Access records, newest first. */
export async function readAccessRecords(run: StatementRunner, query: AccessQuery): Promise<Page> {
  const { after, limit } = query;
  const keys = await newestKeys(run, query, limit + 1);
  const page = await readRows(run, keys.slice(0, limit), "newest first", after);
  return { ...page, next: page.next ?? (keys.length > limit ? keys[limit - 1]! : null) };
}

/** Everything of a trace, in the order of time, behind the position `after`. */
export async function readTrace(
  run: StatementRunner,
  trace: string,
  after: Position | null,
  limit: number,
): Promise<Page> {
  const start = after ?? { timeNs: -(2n ** 63n), logId: "", leafIndex: 0n };
  const keys = await readKeys(run, TRACE_KEYS, {
    trace,
    time: start.timeNs,
    log: start.logId,
    leaf: start.leafIndex,
    limit: limit + 1,
  });
  const page = await readRows(run, keys.slice(0, limit), "oldest first", after);
  return { ...page, next: page.next ?? (keys.length > limit ? keys[limit - 1]! : null) };
}

/**
 * The rows that the tables hold under one leaf index of one log: one, unless the store was changed, or none.
 * Cost: two queries one after the other; at the same time where `sealedKind` says what kind of record to expect.
 */
export async function readRecord(
  run: StatementRunner,
  logId: string,
  leafIndex: bigint,
  sealedKind?: Kind,
): Promise<readonly FoundRecord[]> {
  const finding = readKeys(run, RECORD_KEYS, { log: logId, leaf: leafIndex });
  if (sealedKind !== undefined) {
    const anyTime = [0n, END_OF_TIME_NS].map((timeNs) => ({
      kind: sealedKind,
      timeNs,
      logId,
      leafIndex,
    }));
    const [keys, rows] = await Promise.all([
      finding,
      readKind(run, sealedKind, anyTime, "oldest first", MAX_ANSWER_BYTES),
    ]);
    const row = rows.take(anyTime[0]!);
    if (keys.length === 1 && row !== undefined) return [{ ...row, kind: sealedKind }];
  }
  return (await readRows(run, await finding, "oldest first", null)).records;
}

/**
 * The rows that the tables hold under these leaf indexes of one log, in the order of time; more than one of an index where the store was changed.
 * `isWhole` is false when they are more than an answer holds.
 */
export async function readRecords(
  run: StatementRunner,
  logId: string,
  leaves: readonly number[],
): Promise<{ readonly records: readonly FoundRecord[]; readonly isWhole: boolean }> {
  const keys = await readKeys(run, RECORDS_KEYS, { log: logId, leaves: leaves.map(BigInt) });
  const { records, next } = await readRows(run, keys, "oldest first", null);
  return { records, isWhole: next === null };
}

export function readCoverage(
  run: StatementRunner,
  fromNs: bigint,
  toNs: bigint,
): Promise<WorkloadCoverage[]> {
  const linkedFrom = clampTime(fromNs - CLOCK_SLACK_NS);
  return run.query(COVERAGE, { from: fromNs, to: toNs, linkedFrom, limit: MAX_WORKLOADS });
}

/**
 * Keys of the newest records. The table is sorted by hour, then by decision and policy, so ClickHouse looks at every record of a range to find the
 * newest of it; hence small ranges first: the last minute, the newest hour that has records, as many hours as that one lets expect, all.
 */
async function newestKeys(
  run: StatementRunner,
  { filters, fromNs, toNs, after }: AccessQuery,
  wanted: number,
): Promise<Key[]> {
  const statement = accessKeys(Object.keys(filters) as AccessFilter[]);
  const bound = after ?? { timeNs: END_OF_TIME_NS, logId: "", leafIndex: 0n };
  const keys: Key[] = [];
  let end = after === null || after.timeNs >= toNs ? toNs : after.timeNs + 1n;
  /** Goes down to `from`; true when no more is wanted or to be had. */
  const read = async (from: bigint): Promise<boolean> => {
    const start = from > fromNs ? from : fromNs;
    if (start < end) {
      const found = await readKeys(run, statement, {
        ...filters,
        from: start,
        to: end,
        time: bound.timeNs,
        log: bound.logId,
        leaf: bound.leafIndex,
        limit: wanted - keys.length,
      });
      keys.push(...found);
      end = start;
    }
    return keys.length >= wanted || end <= fromNs;
  };

  // The index over trace IDs finds the few records of a trace at once.
  if (filters.trace !== undefined) {
    await read(fromNs);
    return keys;
  }
  // In a mesh at work the last minute is enough; where it is not, the newest hour is known as soon.
  const now = nowNanos();
  const minuteAgo = clampTime((end < now ? end : now) - MINUTE_NS);
  const [isEnough, [newest]] = await Promise.all([
    read(minuteAgo),
    run.query<{ Hour: number }>(NEWEST_HOUR, { from: fromNs, to: minuteAgo }),
  ]);
  if (isEnough || newest === undefined) return keys;
  const hour = BigInt(newest.Hour) * NS_PER_SECOND;
  if (await read(hour)) return keys;
  const hoursPerWanted = keys.length === 0 ? 0n : BigInt(Math.ceil((2 * wanted) / keys.length));
  if (hoursPerWanted > 0n && (await read(hour - hoursPerWanted * HOUR_NS))) return keys;
  await read(fromNs);
  return keys;
}

async function readKeys(
  run: StatementRunner,
  statement: string,
  parameters: StatementParameters,
): Promise<Key[]> {
  const rows = await run.query<KeyRow>(statement, parameters);
  return rows.map(({ TableKind, Time, LogId, LeafIndex }) => ({
    kind: TableKind as Kind,
    timeNs: BigInt(Time),
    logId: LogId,
    leafIndex: BigInt(LeafIndex),
  }));
}

/** The rows of `keys`, in their order, as many as an answer holds. A row that has expired in between is left out. */
async function readRows(
  run: StatementRunner,
  keys: readonly Key[],
  order: Order,
  after: Position | null,
): Promise<Page> {
  const records: FoundRecord[] = [];
  let room = MAX_ANSWER_BYTES;
  let last = after;
  for (let at = 0; at < keys.length; at += ROWS_PER_QUERY) {
    const some = keys.slice(at, at + ROWS_PER_QUERY);
    const rowsOf = await readKinds(run, some, order, room);
    for (const key of some) {
      const rows = rowsOf.get(key.kind)!;
      if (room <= 0 || (rows.isCut && rows.left === 0)) return { records, next: last };
      const row = rows.take(key);
      if (row !== undefined) {
        records.push({ ...row, kind: key.kind });
        room -= row.row.length;
      }
      last = key;
    }
  }
  return { records, next: null };
}

/** The rows of `keys` by kind, of each kind at most `maxBytes`. */
async function readKinds(
  run: StatementRunner,
  keys: readonly Key[],
  order: Order,
  maxBytes: number,
): Promise<ReadonlyMap<Kind, RowsByKey>> {
  const kinds = [...new Set(keys.map(({ kind }) => kind))];
  const found = kinds.map(async (kind) => {
    const wanted = keys.filter((key) => key.kind === kind);
    return [kind, await readKind(run, kind, wanted, order, maxBytes)] as const;
  });
  return new Map(await Promise.all(found));
}

async function readKind(
  run: StatementRunner,
  kind: Kind,
  keys: readonly Key[],
  order: Order,
  maxBytes: number,
): Promise<RowsByKey> {
  const times = keys.map(({ timeNs }) => timeNs);
  const logs = [...new Set(keys.map(({ logId }) => logId))];
  const chunks = run.streamBytes(rowsStatement(TABLE_OF_KIND.get(kind)!, order), {
    logs,
    leaves: keys.map(({ leafIndex }) => leafIndex),
    first: times.reduce((a, b) => (b < a ? b : a)),
    last: times.reduce((a, b) => (b > a ? b : a)),
    limit: keys.length * logs.length,
  });
  const { bytes, isCut } = await readBytes(chunks, kind, maxBytes);
  return new RowsByKey(keys, placedRows(kind, bytes), isCut);
}

/** Rows that were read for some keys. They come in the order of the keys, so what is cut off is behind all that is there. */
class RowsByKey {
  readonly isCut: boolean;
  /** Rows that were not taken yet. */
  left = 0;
  readonly #rows = new Map<string, PlacedRow[]>();

  constructor(keys: readonly Key[], rows: readonly PlacedRow[], isCut: boolean) {
    this.isCut = isCut;
    for (const key of keys) this.#rows.set(nameOf(key), []);
    for (const row of rows) {
      const sameKey = this.#rows.get(nameOf(row));
      if (sameKey === undefined) continue; // the index of one key in the log of another
      sameKey.push(row);
      this.left++;
    }
  }

  /** The next row of this key; there are several only when the store was changed. */
  take(key: Key): PlacedRow | undefined {
    const row = this.#rows.get(nameOf(key))?.shift();
    if (row !== undefined) this.left--;
    return row;
  }
}

/** The bytes of whole rows: all, or as many as `maxBytes` hold, at least one. */
async function readBytes(
  chunks: AsyncIterable<Uint8Array>,
  kind: Kind,
  maxBytes: number,
): Promise<{ readonly bytes: Uint8Array; readonly isCut: boolean }> {
  const parts: Uint8Array[] = [];
  let length = 0;
  let limit = maxBytes;
  for await (const chunk of chunks) {
    parts.push(chunk);
    length += chunk.length;
    if (length <= limit) continue;
    const bytes = Buffer.concat(parts);
    const whole = wholeRowsLength(kind, bytes);
    if (whole > 0) return { bytes: bytes.subarray(0, whole), isCut: whole < length };
    limit = length * 2;
  }
  return { bytes: Buffer.concat(parts), isCut: false };
}

/** Where the last row ends that `bytes` hold whole. */
function wholeRowsLength(kind: Kind, bytes: Uint8Array): number {
  const columns = [...PLACE_COLUMNS, ...TABLE_OF_KIND.get(kind)!.columns];
  const reader = new RowReader(bytes);
  let end = 0;
  try {
    while (end < bytes.length) {
      readColumns(reader, columns);
      end = reader.position;
    }
  } catch {
    // The last row goes on in a chunk that was not read.
  }
  return end;
}

function nameOf({
  logId,
  leafIndex,
}: {
  readonly logId: string;
  readonly leafIndex: bigint;
}): string {
  return `${leafIndex} ${logId}`;
}
