import { randomBytes } from "node:crypto";
import t, { type Test } from "tap";
import { silentLogger } from "../../src/core/logger.ts";
import { PLACE_COLUMNS, TABLE_OF_KIND } from "../../src/records/columns.ts";
import {
  type AccessQuery,
  type Page,
  readAccessRecords,
  readCoverage,
  readRecord,
  readTrace,
} from "../../src/query/record-reader.ts";
import {
  accessKeys,
  NEWEST_HOUR,
  RECORD_KEYS,
  RECORDS_KEYS,
  TRACE_KEYS,
} from "../../src/query/statements.ts";
import { createRunner, type StatementRunner } from "../../src/query/store.ts";
import { END_OF_TIME_NS } from "../../src/query/times.ts";
import type { StoreClient } from "../../src/store/client.ts";
import { missing, startTestServer } from "../store/server.ts";
import { createFakeStore, type FakeRecord, OWN_LOG, placed } from "./fake-store.ts";

/** The statements of the API on a real ClickHouse, as the user that the API is. */

const server = await startTestServer();
t.teardown(() => server?.stop());
const skip = missing(server);

const OTHER_LOG = "fedcba9876543210";
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const T0 = 1_790_000_000_123_456_789n;
const HOUR = 3_600_000_000_000n;

async function tables(t: Test): Promise<{ admin: StoreClient; reader: StoreClient }> {
  return { admin: await server!.tables(t), reader: server!.client(t, "reader", server!.database) };
}

function runner(store: Parameters<typeof createRunner>[0]): StatementRunner {
  return createRunner(store, new AbortController().signal, silentLogger);
}

let inserts = 0;
async function insert(admin: StoreClient, records: readonly FakeRecord[]): Promise<void> {
  for (const table of TABLE_OF_KIND.values()) {
    const rows = records.filter(({ kind }) => kind === table.kind).map(placed);
    const columns = [...PLACE_COLUMNS, ...table.columns].map(({ name }) => name);
    if (rows.length > 0)
      await admin.insertRows(table.name, columns, rows, { token: `${inserts++}` });
  }
}

function record(
  kind: FakeRecord["kind"],
  leafIndex: number,
  values: FakeRecord["values"] = {},
  timeNs = T0,
  logId = OWN_LOG,
): FakeRecord {
  return {
    kind,
    timeNs,
    logId,
    leafIndex: BigInt(leafIndex),
    values: { Salt: randomBytes(16), ...values },
  };
}

async function allPages(run: StatementRunner, query: AccessQuery): Promise<Page["records"]> {
  const records: Page["records"][number][] = [];
  let page: Page = { records: [], next: query.after };
  do {
    page = await readAccessRecords(run, { ...query, after: page.next });
    records.push(...page.records);
  } while (page.next !== null);
  return records;
}

t.test("lists are what a loop over all records finds, whatever is asked", { skip }, async (t) => {
  const { admin, reader } = await tables(t);
  const ages = [0n, 1n, HOUR / 100n, HOUR, 5n * HOUR, 50n * HOUR, 10_000n * HOUR];
  const now = BigInt(Date.now()) * 1_000_000n;
  const records = Array.from({ length: 600 }, (_, i) =>
    record(
      1,
      i,
      {
        Decision: ["allowed", "denied", "failed", "unknown"][(i * 7) % 4]!,
        Policy: i % 3 === 0 ? "deny-all" : "",
        Actor: `user${i % 5}`,
        EndUser: i % 11 === 0 ? "rare" : "",
        PeerPrincipal: `spiffe://mesh/ns/${i % 4}`,
        Path: `/orders/${i % 17}`,
        ServiceName: `s${i % 3}`,
        TraceId: i % 29 === 0 ? TRACE : "",
      },
      // Half of them lie in the past, half end now; many share a time.
      (i % 2 === 0 ? T0 : now) - ages[(i * 13) % ages.length]!,
      i % 10 === 0 ? OTHER_LOG : OWN_LOG,
    ),
  );
  await insert(admin, records);
  const [real, expected] = [runner(reader), runner(createFakeStore(records))];
  const base = { fromNs: 0n, toNs: END_OF_TIME_NS, after: null, limit: 37, filters: {} };
  for (const query of [
    base,
    { ...base, limit: 1000 },
    { ...base, filters: { decision: "denied" } },
    { ...base, filters: { principal: "user3", decision: "allowed" } },
    { ...base, filters: { principal: "rare" }, limit: 3 },
    { ...base, filters: { principal: "nobody" } },
    { ...base, filters: { principalPrefix: "spiffe://mesh/ns/" } },
    { ...base, filters: { path: "/orders/1" } },
    { ...base, filters: { pathPrefix: "/orders/1" } },
    { ...base, filters: { service: "s0", policy: "deny-all" } },
    { ...base, filters: { trace: TRACE }, limit: 5 },
    { ...base, fromNs: T0 - 6n * HOUR, toNs: T0 },
    { ...base, fromNs: T0, toNs: T0 + 1n },
  ] satisfies AccessQuery[]) {
    const [given, wanted] = [await allPages(real, query), await allPages(expected, query)];
    const name = JSON.stringify({ ...query.filters, limit: query.limit });
    t.strictSame(
      given.map(({ record: one }) => one),
      wanted.map(({ record: one }) => one),
      `${name}: ${wanted.length} records`,
    );
  }
});

t.test("any text is looked for as it is, and finds itself alone", { skip }, async (t) => {
  const { admin, reader } = await tables(t);
  const texts = [
    "'",
    "''",
    "\\",
    "\\'",
    "\\\\' OR 1=1 --",
    "'; DROP TABLE access_records; --",
    '"`',
    "{path:String}",
    "a\0b",
    "\0",
    "\t",
    "\n",
    "\r\n",
    "\\N",
    "NULL",
    "%",
    "_",
    "é𝕊💥\u202e",
    "[1,2]",
    " ",
    "x".repeat(2048),
    "'".repeat(2048),
  ];
  await insert(
    admin,
    texts.map((text, i) =>
      record(1, i, { Path: text, Actor: text, ServiceName: text, Policy: text }),
    ),
  );
  const run = runner(reader);
  for (const [i, text] of texts.entries()) {
    const { records } = await readAccessRecords(run, {
      fromNs: 0n,
      toNs: END_OF_TIME_NS,
      after: { timeNs: T0 + 1n, logId: text, leafIndex: 2n ** 64n - 1n },
      limit: 50,
      filters: { path: text, principal: text, service: text, policy: text },
    });
    t.strictSame(
      records.map(({ leafIndex }) => Number(leafIndex)),
      [i],
      JSON.stringify(text).slice(0, 40),
    );
  }
  t.strictSame(
    (
      await readAccessRecords(run, {
        fromNs: 0n,
        toNs: END_OF_TIME_NS,
        after: null,
        limit: 50,
        filters: { pathPrefix: "\\" },
      })
    ).records
      .map(({ leafIndex }) => Number(leafIndex))
      .toSorted((a, b) => a - b),
    [2, 3, 4, 13],
    "a prefix is no pattern",
  );
});

t.test("a trace is everything of it, findings about its records included", { skip }, async (t) => {
  const { admin, reader } = await tables(t);
  const of = { TraceId: TRACE };
  await insert(admin, [
    record(1, 3, of, T0 + 2n),
    record(2, 4, of, T0 + 1n),
    record(3, 5, of, T0 + 2n),
    record(4, 6, of, T0 + 9n),
    record(5, 7, { Evidence: [1, 4] }, T0 - 5n),
    record(5, 8, of, T0 + 3n),
    record(5, 9, { Evidence: [5, 6] }, T0),
    record(5, 4, { Evidence: [3] }, T0, OTHER_LOG),
    record(1, 10, { TraceId: TRACE.toUpperCase() }),
    record(6, 11, { ControlKind: "records_read" }),
    record(1, 3, of, T0 + 2n, OTHER_LOG),
  ]);
  const run = runner(reader);
  const whole = await readTrace(run, TRACE, null, 100);
  t.equal(whole.next, null);
  const places = whole.records.map(({ logId, leafIndex }) => `${logId} ${leafIndex}`);
  t.strictSame(
    places,
    [
      `${OWN_LOG} 7`,
      `${OTHER_LOG} 4`,
      `${OWN_LOG} 4`,
      `${OWN_LOG} 3`,
      `${OWN_LOG} 5`,
      `${OTHER_LOG} 3`,
      `${OWN_LOG} 8`,
      `${OWN_LOG} 6`,
    ],
    "evidence is looked for in the log of the finding",
  );
  const parts: string[] = [];
  let page: Page = { records: [], next: null };
  do {
    page = await readTrace(run, TRACE, page.next, 3);
    parts.push(...page.records.map(({ logId, leafIndex }) => `${logId} ${leafIndex}`));
  } while (page.next !== null);
  t.strictSame(parts, places);
  t.strictSame((await readTrace(run, "1".repeat(32), null, 100)).records, []);
});

t.test(
  "a record is found in each of the six tables, and every double with it",
  { skip },
  async (t) => {
    const { admin, reader } = await tables(t);
    const kinds = [1, 2, 3, 4, 5, 6] as const;
    await insert(admin, [
      ...kinds.map((kind) => record(kind, kind)),
      record(1, 9, { Path: "/a" }),
      record(1, 9, { Path: "/b" }, T0 + HOUR),
      record(2, 9),
    ]);
    const run = runner(reader);
    for (const kind of kinds) {
      const found = await readRecord(run, OWN_LOG, BigInt(kind));
      t.strictSame(
        found.map((one) => [one.kind, one.record["Kind"], one.record["LeafIndex"]]),
        [[kind, kind, String(kind)]],
      );
    }
    t.strictSame(
      (await readRecord(run, OWN_LOG, 9n)).map(({ kind }) => kind).toSorted(),
      [1, 1, 2],
    );
    t.strictSame(await readRecord(run, OWN_LOG, 10n), []);
    t.strictSame(await readRecord(run, OTHER_LOG, 1n), []);
  },
);

t.test("coverage counts each workload's requests by what is known of them", { skip }, async (t) => {
  const { admin, reader } = await tables(t);
  const orders = {
    LocalWorkload: "orders",
    LocalNamespace: "shop",
    TraceId: TRACE,
    SampledHint: -1,
  };
  const proxy = {
    ServiceName: "orders.shop",
    SpanName: "ingress",
    SpanKind: "Server",
    SpanAttributes: [["component", "proxy"]],
  } as const;
  const finding = { FindingKind: "span_without_access", Subject: "payment.shop", State: "open" };
  await insert(admin, [
    record(1, 1, orders),
    record(1, 2, { ...orders, SampledHint: 0 }),
    record(1, 3, { ...orders, TraceId: "" }),
    record(1, 4, orders, T0 - HOUR),
    record(1, 5, { ServiceName: "legacy" }),
    record(2, 11, proxy),
    record(2, 12, {
      ...proxy,
      SpanKind: "Client",
      SpanAttributes: [
        ["component", "proxy"],
        ["http.url", "/"],
      ],
    }),
    record(2, 13, { ...proxy, SpanKind: "Client" }),
    record(2, 14, { ...proxy, SpanName: "router outbound|80||x egress", ScopeName: "envoy" }),
    record(2, 15, { ServiceName: "orders.shop", SpanKind: "Server" }),
    record(2, 16, {
      ...proxy,
      ServiceName: "unknown_service",
      SpanAttributes: [
        ["component", "proxy"],
        ["node_id", "n1"],
      ],
    }),
    record(4, 21, {
      Rule: "span",
      AccessLog: OWN_LOG,
      AccessLeaf: 1,
      SpanLog: OWN_LOG,
      SpanLeaf: 11,
    }),
    record(4, 22, { Rule: "span", AccessLog: OTHER_LOG, AccessLeaf: 2 }),
    record(4, 23, { Rule: "peer", AccessLog: OWN_LOG, AccessLeaf: 3 }),
    record(4, 24, { Rule: "decision", AccessLog: OWN_LOG, AccessLeaf: 3 }),
    record(5, 31, { ...finding, Detail: [["count", "4"]] }),
    record(5, 32, { ...finding, Detail: [["count", "3"]] }, T0 + 1n),
    record(5, 33, { ...finding, Detail: [["count", "3"]], State: "resolved" }, T0 + 1n),
    record(5, 34, { ...finding, FindingKind: "truncated", Detail: [["count", "9"]] }),
  ]);
  t.strictSame(await readCoverage(runner(reader), T0 - 1n, T0 + 60n), [
    { Workload: "legacy", spans: "0", accessRecords: "1", linked: "0", untraced: "1", blind: "0" },
    { Workload: "n1", spans: "1", accessRecords: "0", linked: "0", untraced: "0", blind: "0" },
    {
      Workload: "orders.shop",
      spans: "2",
      accessRecords: "3",
      linked: "1",
      untraced: "2",
      blind: "0",
    },
    {
      Workload: "payment.shop",
      spans: "0",
      accessRecords: "0",
      linked: "0",
      untraced: "0",
      blind: "4",
    },
  ]);
});

t.test("lookups use the tables' indexes and order", { skip }, async (t) => {
  const { admin, reader } = await tables(t);
  await insert(
    admin,
    [1, 2, 3, 4, 5, 6]
      .flatMap((kind) =>
        Array.from({ length: 50 }, (_, i) => record(kind as 1, i + kind * 50, { TraceId: TRACE })),
      )
      .filter(({ kind }) => kind !== 6)
      .concat(record(6, 999)),
  );
  const explain = async (
    statement: string,
    parameters: Record<string, string | bigint | number | readonly bigint[]>,
  ) => {
    const rows = await reader.query<{ explain: string }>(
      `EXPLAIN indexes = 1, actions = 1 ${statement}`,
      parameters,
    );
    return rows.map((row) => row.explain).join("\n");
  };
  const place = { time: 0n, log: OWN_LOG, leaf: 5n, limit: 10 };
  t.equal(
    (await explain(TRACE_KEYS, { ...place, trace: TRACE })).match(/Name: idx_trace_id/g)?.length,
    3,
    "access records, spans and logs; links are sorted by trace",
  );
  t.equal((await explain(RECORD_KEYS, place)).match(/Name: idx_leaf_index/g)?.length, 6);
  const some = await explain(RECORDS_KEYS, { ...place, leaves: [1n, 2n] });
  t.equal(some.match(/Name: idx_leaf_index/g)?.length, 6);
  const range = { from: T0 - HOUR, to: T0 + 1n };
  t.match(await explain(NEWEST_HOUR, range), /Read type: InReverseOrder/);
  const keys = await explain(accessKeys(["trace"]), { ...place, ...range, trace: TRACE });
  t.match(keys, /Name: idx_trace_id/);
  t.match(keys, /PrimaryKey\s+Keys:\s+.*Timestamp/);
});

t.test("a query whose client is gone ends in ClickHouse too", { skip }, async (t) => {
  const { admin, reader } = await tables(t);
  const going = new AbortController();
  const run = createRunner(reader, going.signal, silentLogger);
  const running = async (): Promise<string> => {
    const [row] = await admin.query<{ n: string }>(
      "SELECT count() AS n FROM system.processes WHERE user = 'reader'",
    );
    return row!.n;
  };
  const query = run.query(
    "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7",
    {},
  );
  query.catch(() => {});
  while ((await running()) === "0");
  going.abort();
  await t.rejects(query, { code: "STORE_FAILED" });
  while ((await running()) !== "0");
  t.pass("gone, well before its 10 s are over");
});
