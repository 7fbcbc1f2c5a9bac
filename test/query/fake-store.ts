import type { Kind } from "../../src/core/kinds.ts";
import { PLACE_COLUMNS, TABLE_OF_KIND } from "../../src/records/columns.ts";
import type { RecordRoutesOptions } from "../../src/query/record-routes.ts";
import type { ReadDetail } from "../../src/query/reads.ts";
import {
  ACCESS_FILTERS,
  type AccessFilter,
  COVERAGE,
  NEWEST_HOUR,
  RECORD_KEYS,
  RECORDS_KEYS,
  rowsStatement,
  TRACE_KEYS,
} from "../../src/query/statements.ts";
import type { ReadingStore, StatementParameters } from "../../src/query/store.ts";
import { encodeRow, encodeValue, type Values } from "../store/encode.ts";

/** A record of the fake store. What its row does not say has its default. */
export interface FakeRecord {
  readonly kind: Kind;
  readonly timeNs: bigint;
  readonly logId: string;
  readonly leafIndex: bigint;
  readonly values: Values;
}

export interface FakeStore extends ReadingStore {
  /** May be changed between requests. */
  readonly records: FakeRecord[];
  /** Statements and parameters, as they came. */
  readonly asked: { readonly statement: string; readonly parameters: StatementParameters }[];
  /** Runs before each statement: to fail, to wait, to see the signal. */
  before: (signal: AbortSignal | undefined) => Promise<void>;
}

export const OWN_LOG = "0123456789abcdef";

/** Records in memory behind the statements of the API, which are told apart by their text and mean here what their names say. */
export function createFakeStore(records: FakeRecord[]): FakeStore {
  const store: FakeStore = {
    records,
    asked: [],
    before: async () => {},
    async query<T>(
      statement: string,
      parameters: StatementParameters,
      { signal }: { readonly signal?: AbortSignal },
    ) {
      store.asked.push({ statement, parameters });
      await store.before(signal);
      return answer(statement, parameters) as T[];
    },
    async *streamBytes(statement, parameters, { signal }) {
      store.asked.push({ statement, parameters });
      await store.before(signal);
      for (const record of rows(statement, parameters)) {
        const bytes = placed(record);
        // In pieces, as they come off a socket.
        yield bytes.subarray(0, 10);
        yield bytes.subarray(10);
      }
    },
  };

  function answer(statement: string, p: StatementParameters): object[] {
    if (statement === COVERAGE) return [];
    if (statement === RECORD_KEYS)
      return records
        .filter((r) => r.logId === p["log"] && r.leafIndex === p["leaf"])
        .slice(0, 3)
        .map(keyOf);
    if (statement === RECORDS_KEYS)
      return records
        .filter((r) => r.logId === p["log"] && (p["leaves"] as bigint[]).includes(r.leafIndex))
        .toSorted(compare)
        .map(keyOf);
    if (statement === TRACE_KEYS) {
      const start = { timeNs: p["time"], logId: p["log"], leafIndex: p["leaf"] } as FakeRecord;
      return records
        .filter((r) => r.values["TraceId"] === p["trace"] && compare(r, start) > 0)
        .toSorted(compare)
        .slice(0, p["limit"] as number)
        .map(keyOf);
    }
    const [from, to] = [p["from"], p["to"]] as [bigint, bigint];
    const inRange = records.filter((r) => r.kind === 1 && r.timeNs >= from && r.timeNs < to);
    if (statement === NEWEST_HOUR)
      return inRange
        .toSorted(compare)
        .slice(-1)
        .map(({ timeNs }) => ({ Hour: Number(timeNs / 3_600_000_000_000n) * 3600 }));
    if (!statement.includes("FROM access_records")) throw new Error(`unexpected: ${statement}`);
    const end = { timeNs: p["time"], logId: p["log"], leafIndex: p["leaf"] } as FakeRecord;
    return inRange
      .filter((r) => compare(r, end) < 0 && matches(r, p))
      .toSorted((a, b) => compare(b, a))
      .slice(0, p["limit"] as number)
      .map(keyOf);
  }

  function rows(statement: string, p: StatementParameters): FakeRecord[] {
    for (const order of ["newest first", "oldest first"] as const) {
      const table = [...TABLE_OF_KIND.values()].find((t) => rowsStatement(t, order) === statement);
      if (table === undefined) continue;
      return records
        .filter(
          (r) =>
            r.kind === table.kind &&
            (p["logs"] as string[]).includes(r.logId) &&
            (p["leaves"] as bigint[]).includes(r.leafIndex) &&
            r.timeNs >= (p["first"] as bigint) &&
            r.timeNs <= (p["last"] as bigint),
        )
        .toSorted((a, b) => (order === "newest first" ? compare(b, a) : compare(a, b)))
        .slice(0, p["limit"] as number);
    }
    throw new Error(`unexpected: ${statement}`);
  }
  return store;
}

const TESTS: Readonly<Record<AccessFilter, (values: Values, wanted: string) => boolean>> = {
  trace: (values, wanted) => values["TraceId"] === wanted,
  principal: (values, wanted) => names(values).includes(wanted),
  principalPrefix: (values, wanted) => names(values).some((name) => name.startsWith(wanted)),
  decision: (values, wanted) => values["Decision"] === wanted,
  path: (values, wanted) => values["Path"] === wanted,
  pathPrefix: (values, wanted) => String(values["Path"] ?? "").startsWith(wanted),
  service: (values, wanted) => values["ServiceName"] === wanted,
  policy: (values, wanted) => values["Policy"] === wanted,
};

function names(values: Values): string[] {
  return ["Actor", "EndUser", "PeerPrincipal"].map((name) => String(values[name] ?? ""));
}

function matches({ values }: FakeRecord, parameters: StatementParameters): boolean {
  return (Object.keys(ACCESS_FILTERS) as AccessFilter[]).every(
    (name) => parameters[name] === undefined || TESTS[name](values, parameters[name] as string),
  );
}

function keyOf({ kind, timeNs, logId, leafIndex }: FakeRecord): object {
  return { TableKind: kind, Time: String(timeNs), LogId: logId, LeafIndex: String(leafIndex) };
}

function compare(a: FakeRecord, b: FakeRecord): number {
  if (a.timeNs !== b.timeNs) return a.timeNs < b.timeNs ? -1 : 1;
  if (a.logId !== b.logId) return a.logId < b.logId ? -1 : 1;
  return a.leafIndex < b.leafIndex ? -1 : a.leafIndex > b.leafIndex ? 1 : 0;
}

/** The row of a record, without its place. */
export function rowOf({ kind, timeNs, values }: FakeRecord): Buffer {
  return encodeRow(kind, { Timestamp: timeNs, ...values });
}

export function placed(record: FakeRecord): Buffer {
  return Buffer.concat([
    encodeValue(PLACE_COLUMNS[0].type, record.logId),
    encodeValue(PLACE_COLUMNS[1].type, record.leafIndex),
    rowOf(record),
  ]);
}

/** What the API needs to serve these records, and what it did. */
export function recordsOver(records: FakeRecord[]): {
  readonly store: FakeStore;
  readonly sealed: ReadDetail[];
  readonly options: Omit<RecordRoutesOptions, "logger">;
} {
  const store = createFakeStore(records);
  const sealed: ReadDetail[] = [];
  return {
    store,
    sealed,
    options: {
      store,
      log: {
        id: OWN_LOG,
        origin: "log.example/one",
        sizes: () => ({ recorded: 100, stored: 90, published: 80 }),
        prove: () => Promise.reject(new Error("no proofs here")),
        proveMany: () => Promise.reject(new Error("no proofs here")),
        read: async () => null,
      },
      recordRead: async (detail) => void sealed.push(detail),
    },
  };
}
