import { hash } from "node:crypto";
import fc from "fast-check";
import t, { type Test } from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import type { Role } from "../../src/core/tokens.ts";
import { createApiServer, type ApiOptions } from "../../src/query/api.ts";
import { formatCursor, parseCursor } from "../../src/query/cursor.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { NEWEST_HOUR } from "../../src/query/statements.ts";
import type { ProvableLog } from "../../src/query/proofs.ts";
import { parseCheckpoint } from "../../src/tlog/checkpoint.ts";
import { encodeEntry } from "../../src/tlog/entry.ts";
import { type HashReader, leafHash, nodeHash } from "../../src/tlog/merkle.ts";
import { parseNote } from "../../src/tlog/note.ts";
import { parseProofBundle } from "../../src/tlog/proof-bundle.ts";
import { proveInclusion } from "../../src/tlog/prove.ts";
import { checkMany, proveMany } from "../../src/tlog/prove-many.ts";
import { encodeBundle } from "../../src/tlog/tiles.ts";
import { END_OF_TIME_NS, parseTime } from "../../src/query/times.ts";
import { exchange, RawConnection, requestBytes, until } from "../support/raw-http.ts";
import { type FakeRecord, OWN_LOG, recordsOver, rowOf } from "./fake-store.ts";

const T0 = 1_790_000_000_123_456_789n;
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const OTHER_LOG = "fedcba9876543210";

function access(leafIndex: number, values: FakeRecord["values"] = {}, timeNs = T0): FakeRecord {
  return { kind: 1, timeNs, logId: OWN_LOG, leafIndex: BigInt(leafIndex), values };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  // What the API gives is looked at field by field.
  readonly json: any;
}

async function start(t: Test, records: FakeRecord[], more: Partial<ApiOptions> = {}) {
  const { store, sealed, options } = recordsOver(records);
  const refused: string[] = [];
  const server = createApiServer({
    host: "127.0.0.1",
    port: 0,
    tokens: null,
    logDirectory: t.testdir({}),
    publicLog: false,
    logStatus: () => ({
      origin: "",
      logId: "",
      verifierKey: "",
      signedSize: "0",
      publishedSize: "0",
      lag: "0",
      keys: [],
      witnesses: [],
      verification: { full: null, incremental: null },
    }),
    onRefused: ({ code }) => refused.push(code),
    logger: silentLogger,
    ...more,
    records: { ...options, ...more.records },
  });
  t.teardown(() => server.close(0));
  const { port } = await server.listen();
  const get = async (
    path: string,
    headers: Record<string, string> = {},
    method = "GET",
  ): Promise<Answer> => {
    const response = await exchange(port, requestBytes(method, `/api/v1/${path}`, headers));
    const text = response?.body.toString() ?? "";
    const isJson = response?.headers["content-type"]?.startsWith("application/json") === true;
    return {
      status: response?.status ?? 0,
      headers: response?.headers ?? {},
      text,
      json: isJson && text !== "" ? JSON.parse(text) : undefined,
    };
  };
  return { store, sealed, refused, options, get, port };
}

const leaves = ({ json }: Answer): number[] =>
  json.records.map((record: { LeafIndex: string }) => Number(record.LeafIndex));

t.test("a list is records by their columns, newest first, and where it goes on", async (t) => {
  const { get, sealed } = await start(t, [
    access(3, { Path: "/a", StatusCode: 200, DurationNs: 9_007_199_254_740_993n }),
    access(7, { Decision: "denied" }, T0 + 1n),
    { ...access(8), kind: 2 },
  ]);
  const all = await get("access-records");
  t.equal(all.status, 200);
  t.equal(all.headers["content-type"], "application/json; charset=utf-8");
  t.equal(all.headers["cache-control"], "no-store");
  t.equal(all.headers["x-content-type-options"], "nosniff");
  t.strictSame(leaves(all), [7, 3], "spans are no access records");
  t.equal(all.json.next, null);
  t.match(all.json.records[1], {
    LogId: OWN_LOG,
    LeafIndex: "3",
    Kind: 1,
    Timestamp: "2026-09-21T14:13:20.123456789Z",
    DurationNs: "9007199254740993",
    Salt: "00".repeat(16),
    Path: "/a",
  });
  const first = await get("access-records?limit=1");
  t.strictSame(leaves(first), [7]);
  const second = await get(`access-records?limit=500&cursor=${first.json.next}`);
  t.strictSame(leaves(second), [3], "the limit may differ from page to page");
  t.equal(second.json.next, null);
  t.match(sealed[2], {
    caller: "127.0.0.1",
    auth: "none",
    role: "none",
    address: "127.0.0.1",
    query: "access-records",
    rows: "1",
    parameters: JSON.stringify({ cursor: first.json.next, limit: "500" }),
  });
});

t.test(
  "each parameter selects, alone and with others; a star at the end means a prefix",
  async (t) => {
    const { get } = await start(t, [
      access(0, {
        Actor: "ann",
        Path: "/orders/1",
        Decision: "denied",
        Policy: "p1",
        TraceId: TRACE,
      }),
      access(1, { EndUser: "ann", Path: "/orders/", Decision: "allowed", ServiceName: "s1" }),
      access(2, { PeerPrincipal: "ann", Path: "/orders", Decision: "failed" }, T0 + 10n),
      access(3, {
        Actor: "anna",
        Path: "/",
        Decision: "unknown",
        TraceId: `${"0".repeat(16)}${TRACE.slice(16)}`,
      }),
    ]);
    for (const [query, expected] of [
      ["", [2, 3, 1, 0]],
      ["principal=ann", [2, 1, 0]],
      ["principal=ann*", [2, 3, 1, 0]],
      ["principal=anna", [3]],
      ["principal=*", [2, 3, 1, 0]],
      ["principal=Ann", []],
      ["path=/orders/*", [1, 0]],
      ["path=/orders", [2]],
      ["path=%2Forders", [2]],
      ["decision=denied", [0]],
      ["decision=unknown", [3]],
      ["service=s1", [1]],
      ["policy=p1", [0]],
      [`trace_id=${TRACE}`, [0]],
      [`trace_id=${TRACE.toUpperCase()}`, [0]],
      [`trace_id=${TRACE.slice(16)}`, [3]],
      ["principal=ann&decision=denied&path=/orders/*", [0]],
      ["principal=ann&decision=denied&path=/x", []],
      [`from=${T0 + 1n}`, [2]],
      [`to=${T0 + 10n}`, [3, 1, 0]],
      ["from=2026-09-21T14:13:20.123456790Z", [2]],
      ["from=2026-09-21t16:13:20.123456789%2B02:00&to=2026-09-21T14:13:20.12345679Z", [3, 1, 0]],
      ["to=1790000000", []],
      ["from=0&to=9999999999", [2, 3, 1, 0]],
    ] as [string, number[]][])
      t.strictSame(leaves(await get(`access-records?${query}`)), expected, query);
  },
);

t.test("what cannot be right is 400 and named; nothing is read and nothing sealed", async (t) => {
  const { get, store, sealed, refused } = await start(t, [access(0)]);
  const long = "x".repeat(2049);
  const cases: [string, RegExp][] = [
    ["access-records?principle=x", /expected trace_id, principal, .*got the parameter "principle"/],
    ["access-records?principal[]=x", /got the parameter "principal\[\]"/],
    ["access-records?__proto__=x", /got the parameter "__proto__"/],
    ["access-records?constructor=x", /got the parameter "constructor"/],
    ["access-records?=x", /got the parameter ""/],
    [
      "access-records?decision=denied&decision=allowed",
      /decision: expected one value, got a second/,
    ],
    [
      "access-records?decision=Denied",
      /decision: expected allowed, denied, failed, unknown, got "Denied"/,
    ],
    ["access-records?decision=", /decision: expected a value, got none/],
    ["access-records?decision", /decision: expected a value, got none/],
    ["access-records?principal=%zz", /principal: expected UTF-8 in percent-encoding, got "%zz"/],
    ["access-records?principal=%ff", /principal: expected UTF-8/],
    [`access-records?principal=${long}`, /principal: expected at most 2048 characters, got 2049/],
    [`access-records?trace_id=${TRACE}0`, /trace_id: expected 32 hex digits/],
    [`access-records?trace_id=${"0".repeat(32)}`, /not all zero/],
    ["access-records?trace_id=zz", /trace_id: .*got "zz"/],
    ...["0", "-1", "1001", "1e3", "0x10", "10.0", " 5", "01", "99999999999999999999"].map(
      (limit): [string, RegExp] => [
        `access-records?limit=${encodeURIComponent(limit)}`,
        /limit: expected a number from 1 to 1000/,
      ],
    ),
    ...[
      "yesterday",
      "2026-02-30T00:00:00Z",
      "2026-09-21",
      "2026-09-21T24:00:00Z",
      "2026-09-21T14:00:00",
      "1790000000123",
      "-5y",
      "--5h",
      "1.5",
    ].map((time): [string, RegExp] => [
      `access-records?from=${time}`,
      /from: expected RFC 3339 .* got "/,
    ]),
    ["access-records?from=2026-09-21T14:00:00+02:00", /in a URL the \+ of an offset is %2B/],
    ["access-records?from=20&to=10", /from: expected a time before to/],
    ["access-records?from=10&to=10", /from: expected a time before to/],
    ["access-records?cursor=x", /cursor: expected `next` of an answer/],
    [`access-records?cursor=${"A".repeat(2000)}`, /cursor: expected `next`/],
    ["traces/xyz", /trace ID: expected 32 hex digits/],
    [`traces/${"a".repeat(9000)}`, /^trace ID: expected 32 hex digits .*, got "a{64}…"$/],
    [`traces/${TRACE}?from=1`, /expected limit, cursor, got the parameter "from"/],
    [`traces/${TRACE}?limit=10001`, /limit: expected a number from 1 to 10000/],
    ["records/-1", /record: expected <leaf index> or <log ID>:<leaf index>/],
    ["records/9007199254740992", /record: expected/],
    ["records/0x1", /record: expected/],
    ["records/01", /record: expected/],
    ["records/ABCDEF0123456789:1", /record: expected/],
    ["records/1?x=1", /expected no parameters, got the parameter "x"/],
    ["records/%00", /record: expected/],
    ["records/1%2fproof", /record: expected/],
    ["coverage?limit=1", /expected from, to, got the parameter "limit"/],
  ];
  for (const [path, message] of cases) {
    const answer = await get(path);
    t.equal(answer.status, 400, path);
    t.equal(answer.json.error.code, "BAD_REQUEST");
    t.match(answer.json.error.message, message, path);
    t.ok(answer.text.length < 1000, "a hostile value is not repeated whole");
    t.equal(answer.headers["cache-control"], "no-store");
  }
  for (const path of ["records/%c0", `records/${"1".repeat(300)}`, `traces/${"%41".repeat(200)}`])
    t.equal((await get(path)).status, 400, path.slice(0, 40));
  const nowhere = await get(`nowhere/${"a".repeat(9000)}`);
  t.equal(nowhere.status, 404);
  t.ok(nowhere.text.length < 1000);
  t.strictSame(store.asked, []);
  t.strictSame(sealed, []);
  t.equal(refused.length, cases.length + 4, "but each is counted");
});

t.test("a value is a parameter of its statement, whatever it looks like", async (t) => {
  const { get, store } = await start(t, [access(0)]);
  const plain =
    (await get("access-records?principal=x&path=x&service=x&policy=x"), store.asked.length);
  const statements = store.asked.splice(0).map(({ statement }) => statement);
  for (const value of [
    "' OR 1=1 --",
    "\\' OR 1=1 --",
    "{from:Int64}",
    "x'; DROP TABLE access_records; --",
    "a\0b",
    "\u202e\n\t\\N\\",
    "𝕊💥",
    "%",
    "x".repeat(2048),
  ]) {
    const text = encodeURIComponent(value);
    const answer = await get(
      `access-records?principal=${text}&path=${text}&service=${text}&policy=${text}`,
    );
    t.equal(answer.status, 200, JSON.stringify(value).slice(0, 40));
    t.strictSame(leaves(answer), []);
    const asked = store.asked.splice(0);
    t.equal(asked.length, plain);
    t.strictSame(
      asked.map(({ statement }) => statement),
      statements,
      "the statement stays as it is",
    );
    t.match(asked[0]?.parameters, { principal: value, path: value, service: value, policy: value });
  }
});

t.test(
  "paging gives each record once and in order, with ties and new arrivals in between",
  async (t) => {
    const { get, store } = await start(t, []);
    // Few times and logs, so that many records share them; minutes to weeks apart, so that every way of looking is taken.
    const record = fc.record({
      time: fc.constantFrom(0n, 1n, 59_000_000_000n, 7_200_000_000_000n, 2_000_000_000_000_000n),
      log: fc.constantFrom(OWN_LOG, OTHER_LOG),
      denied: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(record, { minLength: 1, maxLength: 40 }),
        fc.array(fc.tuple(record, fc.nat(5)), { maxLength: 10 }),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        async (before, arrivals, limit, onlyDenied) => {
          let next = 0;
          const made = ({ time, log, denied }: (typeof before)[number]): FakeRecord => ({
            ...access(next++, { Decision: denied ? "denied" : "allowed" }, T0 - time),
            logId: log,
          });
          const records = before.map(made);
          const wanted = records
            .filter((r) => !onlyDenied || r.values["Decision"] === "denied")
            .map(({ leafIndex }) => String(leafIndex));
          store.records.splice(0, Infinity, ...records);
          const seen: { Timestamp: string; LogId: string; LeafIndex: string }[] = [];
          let cursor: string | null = "";
          for (let page = 0; cursor !== null; page++) {
            const answer: Answer = await get(
              `access-records?limit=${limit}${onlyDenied ? "&decision=denied" : ""}${cursor === "" ? "" : `&cursor=${cursor}`}`,
            );
            seen.push(...answer.json.records);
            cursor = answer.json.next;
            for (const [arrival, at] of arrivals)
              if (at === page) store.records.push(made(arrival));
            if (page > 100) throw new Error("no end");
          }
          const order = seen.map(
            (r) => `${r.Timestamp} ${r.LogId} ${r.LeafIndex.padStart(3, "0")}`,
          );
          const given = seen.map(({ LeafIndex }) => LeafIndex);
          return (
            new Set(given).size === given.length &&
            wanted.every((leaf) => given.includes(leaf)) &&
            order.every((key, i) => i === 0 || key < order[i - 1]!)
          );
        },
      ),
      { numRuns: 60 },
    );
    t.pass();
  },
);

t.test(
  "a cursor belongs to its parameters, whatever their order, and keeps the times they meant",
  async (t) => {
    const { get, store } = await start(t, [access(0), access(1), access(2)]);
    const { json } = await get("access-records?limit=1&from=-9999d&path=*");
    t.strictSame(
      leaves(await get(`access-records?path=*&from=-9999d&limit=1&cursor=${json.next}`)),
      [1],
    );
    for (const query of [
      "path=*",
      "from=-9999d&path=/*",
      "from=-9998d&path=*",
      "from=-9999d&path=*&decision=denied",
    ]) {
      const answer = await get(`access-records?${query}&cursor=${json.next}`);
      t.equal(answer.status, 400, query);
      t.match(
        answer.json.error.message,
        /cursor: expected the parameters of the answer that it came with/,
      );
    }
    t.equal((await get(`traces/${TRACE}?cursor=${json.next}`)).status, 400, "nor of another route");
    const froms = store.asked
      .filter(({ statement }) => statement === NEWEST_HOUR)
      .map(({ parameters }) => parameters["from"]);
    t.equal(froms.length, 2);
    t.equal(froms[0], froms[1], "nine thousand days before the first page, not before each");
  },
);

t.test("a cursor comes back as it went, and none is taken that was changed", async (t) => {
  const position = fc.record(
    {
      fromNs: fc.bigInt(0n, END_OF_TIME_NS),
      toNs: fc.bigInt(0n, END_OF_TIME_NS),
      timeNs: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      leafIndex: fc.bigInt(0n, 2n ** 64n - 1n),
      logId: fc.constantFrom(OWN_LOG, "", "' OR 1", "é"),
    },
    { noNullPrototype: true },
  );
  const filters = { route: "access-records", path: "/x" };
  fc.assert(
    fc.property(position, (cursor) => {
      t.strictSame(parseCursor(formatCursor(cursor, filters), filters), cursor);
    }),
    { numRuns: 50 },
  );
  const cursor = formatCursor(
    { fromNs: 0n, toNs: 1n, timeNs: 2n, leafIndex: 3n, logId: OWN_LOG },
    filters,
  );
  for (const text of [
    `${cursor}=`,
    ` ${cursor}`,
    cursor.slice(0, 40),
    `${cursor.slice(0, -2)}//`,
    `B${cursor.slice(1)}`,
    `${cursor}${"A".repeat(80)}`,
  ])
    t.throws(() => parseCursor(text, filters), { code: "BAD_REQUEST" }, text);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      try {
        parseCursor(Buffer.from(bytes).toString("base64url"), filters);
      } catch (error) {
        return error instanceof MeshproofError && error.code === "BAD_REQUEST";
      }
      return true;
    }),
  );
});

t.test("times are exact, and those beyond what a record can hold mean its ends", async (t) => {
  const now = 1_790_000_000_000_000_000n;
  for (const [text, expected] of [
    ["1970-01-01T00:00:00Z", 0n],
    ["2026-09-21T14:13:20.1Z", 1_790_000_000_100_000_000n],
    ["2026-09-21 14:13:20.123456789z", 1_790_000_000_123_456_789n],
    ["2026-09-21T19:43:20+05:30", now],
    ["2026-09-21T10:43:20-03:30", now],
    ["2024-02-29T00:00:00Z", 1_709_164_800_000_000_000n],
    ["1790000000", now],
    ["0", 0n],
    ["1790000000123456789", 1_790_000_000_123_456_789n],
    ["-90s", now - 90_000_000_000n],
    ["-1h", now - 3_600_000_000_000n],
    ["-7d", now - 604_800_000_000_000n],
    ["-999999999d", 0n],
    ["1969-12-31T23:59:59Z", 0n],
    ["0001-01-01T00:00:00Z", 0n],
    ["9999-12-31T23:59:59Z", END_OF_TIME_NS],
    ["9999999999999999999", END_OF_TIME_NS],
  ] as [string, bigint][])
    t.equal(parseTime(text, now), expected, text);
  for (const text of [
    "",
    "2023-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-09-21T14:60:00Z",
    "2026-09-21T14:13:60Z",
    "2026-09-21T14:13:20.1234567890Z",
    "2026-09-21T14:13:20+24:00",
    "2026-09-21T14:13:20",
    "17900000001",
    "1h",
    "-1.5h",
    "٣",
    "Infinity",
  ])
    t.equal(parseTime(text, now), undefined, text);
});

t.test("a trace is everything of it in the order of time, in parts if need be", async (t) => {
  const of = (kind: FakeRecord["kind"], leaf: number, after: number): FakeRecord => ({
    ...access(leaf, { TraceId: TRACE }, T0 + BigInt(after)),
    kind,
  });
  const { get, sealed } = await start(t, [
    of(4, 9, 50),
    of(1, 5, 10),
    of(2, 4, 5),
    of(3, 6, 10),
    of(5, 7, 60),
    access(1),
  ]);
  const whole = await get(`traces/${TRACE.toUpperCase()}`);
  t.equal(whole.json.traceId, TRACE);
  t.strictSame(leaves(whole), [4, 5, 6, 9, 7]);
  t.strictSame(
    whole.json.records.map(({ Kind }: { Kind: number }) => Kind),
    [2, 1, 3, 4, 5],
  );
  t.equal(whole.json.next, null);
  t.match(sealed[0], {
    query: "trace",
    rows: "5",
    parameters: JSON.stringify({ trace: TRACE.toUpperCase() }),
  });
  const parts: number[] = [];
  for (let path = `traces/${TRACE}?limit=2`; path !== "";) {
    const part = await get(path);
    parts.push(...leaves(part));
    path = part.json.next === null ? "" : `traces/${TRACE}?limit=2&cursor=${part.json.next}`;
  }
  t.strictSame(parts, [4, 5, 6, 9, 7]);
  const none = await get(`traces/${"ab".repeat(16)}`);
  t.equal(none.status, 404);
  t.equal(none.json.error.code, "NOT_FOUND");
  t.match(
    sealed.at(-1),
    { rows: "0", error: "NOT_FOUND" },
    "that nothing is there is an answer too",
  );
});

t.test("an answer ends with a cursor before it grows too large, and goes on behind", async (t) => {
  const body = "x".repeat(500_000);
  const records = Array.from({ length: 30 }, (_, i) => access(i, { Body: body, TraceId: TRACE }));
  records.push(access(99, { Body: "y".repeat(9_000_000), TraceId: TRACE }, T0 + 1n));
  const { port } = await start(t, records);
  for (const path of ["access-records?limit=1000", `traces/${TRACE}?limit=1000`]) {
    const given: number[] = [];
    let next: string | null = null;
    do {
      const query: string = next === null ? path : `${path}&cursor=${next}`;
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/${query}`);
      const text = await response.text();
      t.ok(text.length < 20_000_000, "8 MiB and at most one record more");
      const part = JSON.parse(text);
      t.ok(part.records.length > 0, "each part has a record, however large");
      given.push(...part.records.map((record: { LeafIndex: string }) => Number(record.LeafIndex)));
      next = part.next;
    } while (next !== null);
    const ascending = Array.from({ length: 30 }, (_, i) => i);
    t.strictSame(
      given,
      path.startsWith("t") ? [...ascending, 99] : [99, ...ascending.toReversed()],
    );
  }
});

t.test("one record, of this log or another, from whatever table", async (t) => {
  const { get } = await start(t, [
    access(5, { Path: "/mine" }),
    { ...access(5, { Path: "/other" }), logId: OTHER_LOG },
    { ...access(6, { SpanName: "span" }), kind: 2 },
  ]);
  t.match((await get("records/5")).json, { LogId: OWN_LOG, LeafIndex: "5", Path: "/mine" });
  t.match((await get(`records/${OTHER_LOG}:5`)).json, { LogId: OTHER_LOG, Path: "/other" });
  t.match((await get(`records/${OWN_LOG}%3A6`)).json, { Kind: 2, SpanName: "span" });
});

t.test("a record that is not there: never made, on its way, or gone", async (t) => {
  const { get } = await start(t, []);
  for (const [path, status, message] of [
    ["records/100", 404, /record 100: expected an index below 100/],
    ["records/99", 503, /record 99 is not in the store yet/],
    [
      "records/89",
      404,
      /in the log and not in the store: expired, erased, in quarantine, or removed/,
    ],
    [`records/${OTHER_LOG}:1`, 404, /no record 1 of the log fedcba9876543210/],
    ["records/100/proof", 404, /expected an index below 100/],
    ["records/85/proof", 503, /under no published checkpoint yet/],
    ["records/79/proof", 404, /in the log and not in the store/],
    [
      `records/${OTHER_LOG}:1/proof`,
      404,
      /expected a record of the log 0123456789abcdef \(log.example\/one\)/,
    ],
  ] as const) {
    const answer = await get(path);
    t.equal(answer.status, status, path);
    t.match(answer.json.error.message, message);
    t.equal(answer.headers["retry-after"], status === 503 ? "1" : undefined);
  }
});

t.test("two rows under one index are reported, not one of them shown", async (t) => {
  const { get, sealed } = await start(t, [access(5), { ...access(5), kind: 2 }]);
  for (const path of ["records/5", "records/5/proof"]) {
    const answer = await get(path);
    t.equal(answer.status, 409, path);
    t.equal(answer.json.error.code, "ROW_TAMPERED");
    t.match(answer.json.error.message, /expected one row, found 2/);
  }
  t.match(sealed[0], { query: "record", rows: "0", error: "ROW_TAMPERED" });
});

t.test(
  "a proof is handed out when the stored row is the sealed one, and refused when it is another",
  async (t) => {
    const record = access(0, { Path: "/sealed" });
    const sha256 = (...parts: Uint8Array[]): Buffer =>
      hash("sha256", Buffer.concat(parts), "buffer");
    const entry = Buffer.concat([Buffer.from([1, 1]), sha256(rowOf(record))]);
    const root = sha256(Buffer.from([0]), entry); // of a tree of one leaf
    const checkpoint = `log.example/one\n1\n${root.toString("base64")}\n\n— log.example/one ${Buffer.alloc(68, 1).toString("base64")}\n`;
    const records = [record];
    const { options } = recordsOver(records);
    const { get } = await start(t, records, {
      records: {
        ...options,
        log: {
          ...options.log,
          sizes: () => ({ recorded: 1, stored: 1, published: 1 }),
          prove: async (index) => ({ index, hashes: [], checkpoint, extra: null }),
          read: async () => encodeBundle([entry]),
        },
      },
    });
    const proof = await get("records/0/proof");
    t.equal(proof.status, 200);
    t.equal(proof.headers["content-type"], "text/plain; charset=utf-8");
    t.equal(
      proof.text,
      `c2sp.org/tlog-proof@v1\nextra ${rowOf(record).toString("base64")}\nindex 0\n\n${checkpoint}`,
    );
    for (const forged of [
      { ...record, values: { Path: "/forged" } },
      { ...record, timeNs: T0 + 1n },
      { ...record, kind: 2 as const },
    ]) {
      records.splice(0, 1, forged);
      const refused = await get("records/0/proof");
      t.equal(refused.status, 409);
      t.equal(refused.json.error.code, "ROW_TAMPERED");
      t.match(
        refused.json.error.message,
        /record 0: expected the row that was sealed, found another/,
      );
    }
  },
);

/** A log of the records 0 to 4, each with its row in the store, and the options that serve it. */
function fiveRecords(): { records: FakeRecord[]; log: Partial<ProvableLog> } {
  const records: FakeRecord[] = Array.from({ length: 5 }, (_, i) =>
    access(i, { Path: `/${i}` }, T0 - BigInt(i)),
  );
  records[3] = { ...access(3, { ControlKind: "records_read" }), kind: 6 };
  const leaves = records.map((record) =>
    leafHash(encodeEntry(record.kind, hash("sha256", rowOf(record), "buffer"))),
  );
  const pair = (a: Uint8Array, b: Uint8Array): Uint8Array => nodeHash(a, b);
  const [l0, l1, l2, l3, l4] = leaves as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const four = pair(pair(l0, l1), pair(l2, l3));
  const root = Buffer.from(pair(four, l4)).toString("base64");
  const checkpoint = `log.example/one\n5\n${root}\n\n— log.example/one ${Buffer.alloc(68, 1).toString("base64")}\n`;
  const nodes = new Map([
    ["1 0", pair(l0, l1)],
    ["1 1", pair(l2, l3)],
    ["2 0", four],
    ...leaves.map((leaf, i) => [`0 ${i}`, leaf] as const),
  ]);
  const reader: HashReader = {
    readHashes: async (subtrees) =>
      subtrees.map(({ level, index }) => nodes.get(`${level} ${index}`)!),
  };
  return {
    records,
    log: {
      sizes: () => ({ recorded: 7, stored: 6, published: 5 }),
      prove: async (index) => ({
        index,
        hashes: await proveInclusion(index, 5, reader),
        checkpoint,
        extra: null,
      }),
      proveMany: async (indexes) => ({ hashes: await proveMany(indexes, 5, reader), checkpoint }),
    },
  };
}

t.test("several records are proved in one bundle, sealed as one read", async (t) => {
  const { records, log } = fiveRecords();
  const { options } = recordsOver(records);
  const { get, sealed } = await start(t, records, {
    records: { log: { ...options.log, ...log } } as never,
  });
  const answer = await get("proofs?leaves=4,0-2");
  t.equal(answer.status, 200);
  t.equal(answer.headers["content-type"], "text/plain; charset=utf-8");
  t.equal(answer.headers["cache-control"], "no-store");
  const bundle = parseProofBundle(Buffer.from(answer.text));
  t.same(
    bundle.records.map(({ index, extra }) => [index, Buffer.from(extra)]),
    [0, 1, 2, 4].map((index) => [index, rowOf(records[index]!)]),
  );
  const { size, root } = parseCheckpoint(parseNote(bundle.checkpoint).text);
  const leafOfRow = (row: Uint8Array): Uint8Array =>
    leafHash(encodeEntry(1, hash("sha256", row, "buffer")));
  checkMany(
    bundle.hashes,
    [0, 1, 2, 4],
    size,
    bundle.records.map(({ extra }) => leafOfRow(extra)),
    root,
  );
  t.strictSame(
    sealed.map(({ query, parameters, rows }) => [query, parameters, rows]),
    [["proofs", '{"leaves":"4,0-2"}', "4"]],
  );

  records[1] = { ...records[1]!, values: { Path: "/forged" } };
  const refused = await get("proofs?leaves=0-2");
  t.equal(refused.status, 409);
  t.match(refused.json.error, { code: "ROW_TAMPERED", message: /^record 1: expected the row/ });
  t.equal((await get("proofs?leaves=0,2")).status, 200, "what is not asked for does not matter");
  records.push({ ...records[2]!, kind: 2 });
  const doubled = await get("proofs?leaves=2-4");
  t.equal(doubled.status, 409);
  t.match(doubled.json.error.message, /expected one row, found 2/);
  t.equal(sealed.length, 4, "the refused ones told something, and are sealed too");
});

t.test("a bundle that cannot be made is refused with the reason", async (t) => {
  const { records, log } = fiveRecords();
  records.splice(1, 1);
  const { options } = recordsOver(records);
  const tokens = {
    find: (token: string) => ({ name: `a ${token}`, role: token as Role }),
  };
  const { get, store } = await start(t, records, {
    tokens,
    records: { log: { ...options.log, ...log } } as never,
  });
  const as = (role: string) => ({ Authorization: `Bearer ${role}` });
  for (const query of [
    "",
    "?leaves=",
    "?leaves=x",
    "?leaves=3-1",
    "?leaves=0-1000",
    "?from=1",
    "?leaves=1&leaves=2",
  ]) {
    const answer = await get(`proofs${query}`, as("reader"));
    t.equal(answer.status, 400, query);
    t.equal(answer.json.error.code, "BAD_REQUEST");
  }
  for (const [leaves, status, code] of [
    ["0,7", 404, "NOT_FOUND"],
    ["0,9007199254740991", 404, "NOT_FOUND"],
    ["0,5", 503, "UNAVAILABLE"],
  ] as const) {
    const answer = await get(`proofs?leaves=${leaves}`, as("reader"));
    t.strictSame([answer.status, answer.json.error.code], [status, code], leaves);
  }
  t.equal(store.asked.length, 0, "nothing was read for these");
});

t.test("a bundle needs the role that its most telling record needs", async (t) => {
  const { records, log } = fiveRecords();
  records.splice(1, 1);
  const { options } = recordsOver(records);
  const tokens = {
    find: (token: string) => ({ name: `a ${token}`, role: token as Role }),
  };
  const { get } = await start(t, records, {
    tokens,
    records: { log: { ...options.log, ...log } } as never,
  });
  const status = async (leaves: string, role: string): Promise<number> =>
    (await get(`proofs?leaves=${leaves}`, { Authorization: `Bearer ${role}` })).status;
  t.equal(await status("0,2", "reader"), 200);
  t.equal(await status("2-3", "reader"), 403, "record 3 is a control record");
  t.equal(await status("2-3", "auditor"), 200);
  t.equal(await status("0-1", "auditor"), 404, "record 1 is gone from the store");
});

t.test("rows that are too many for an answer are refused, not cut", async (t) => {
  const big = Array.from({ length: 12 }, (_, i) =>
    access(i, { Body: "x".repeat(900_000) }, T0 + BigInt(i)),
  );
  const { get } = await start(t, big);
  const answer = await get("proofs?leaves=0-11");
  t.equal(answer.status, 400);
  t.match(answer.json.error.message, /ask for fewer/);
});

t.test("roles: without a token 401, a sender 403, who read what is for auditors", async (t) => {
  const tokens = {
    find: (token: string) => ({ name: `a ${token}`, role: token as Role }),
  };
  const { get, store, sealed, refused } = await start(
    t,
    [access(1), { ...access(2, { ControlKind: "records_read" }), kind: 6 }],
    { tokens },
  );
  const as = (role: string) => ({ Authorization: `Bearer ${role}` });
  for (const path of [
    "access-records",
    `traces/${TRACE}`,
    "records/1",
    "records/1/proof",
    "proofs?leaves=1",
    "coverage",
    "log",
  ]) {
    const nobody = await get(path);
    t.equal(nobody.status, 401, path);
    t.equal(nobody.json.error.code, "UNAUTHENTICATED");
    t.match(nobody.headers["www-authenticate"], /^Bearer/);
    const sender = await get(path, as("sender"));
    t.equal(sender.status, 403, path);
    t.match(sender.json.error, {
      code: "FORBIDDEN",
      message: /expected the role reader, auditor, admin, got sender/,
    });
  }
  t.strictSame([store.asked.length, sealed.length], [0, 0], "refusals are counted, not sealed");
  t.equal(refused.length, 14);
  for (const role of ["reader", "auditor", "admin"]) {
    t.equal((await get("records/1", as(role))).status, 200, role);
    t.match(sealed.at(-1), { caller: `a ${role}`, auth: "token", role });
  }
  const before = sealed.length;
  const refusedControl = await get("records/2", as("reader"));
  t.equal(refusedControl.status, 403);
  t.match(refusedControl.json.error.message, /expected the role auditor, admin, got reader/);
  t.equal((await get("records/2/proof", as("reader"))).status, 403);
  t.equal(sealed.length, before);
  for (const role of ["auditor", "admin"])
    t.match((await get("records/2", as(role))).json, { Kind: 6, ControlKind: "records_read" });
});

t.test("a read that cannot be recorded is refused, and its records stay here", async (t) => {
  const records = [access(1, { Path: "/secret", TraceId: TRACE })];
  const { options } = recordsOver(records);
  const recordRead = (): Promise<void> =>
    Promise.reject(new MeshproofError("JOURNAL_FULL", "no room for a record"));
  const { get } = await start(t, records, { records: { ...options, recordRead } });
  for (const path of [
    "access-records",
    `traces/${TRACE}`,
    "records/1",
    "coverage",
    `traces/${"1".repeat(32)}`,
  ]) {
    const answer = await get(path);
    t.equal(answer.status, 503, path);
    t.match(answer.json.error, {
      code: "UNAVAILABLE",
      message: /every read of records is itself recorded/,
    });
    t.ok(Number(answer.headers["retry-after"]) >= 1);
    t.notMatch(answer.text, "secret");
  }
  t.equal((await get("log")).status, 200, "the state of the log is no record");
});

t.test(
  "a store that is down is 503 without its words; one that gives up says what to do",
  async (t) => {
    const { get, store, sealed } = await start(t, [access(1)]);
    const fail = (type?: string): void => {
      store.before = () =>
        Promise.reject(
          new MeshproofError("STORE_FAILED", "querying: SELECT secret FROM 10.0.0.1", {
            cause: type === undefined ? undefined : { code: "1", type },
          }),
        );
    };
    fail();
    for (const path of ["access-records", `traces/${TRACE}`, "records/1", "coverage"]) {
      const answer = await get(path);
      t.equal(answer.status, 503, path);
      t.match(answer.json.error, { code: "STORE_FAILED", message: /cannot be read now/ });
      t.ok(Number(answer.headers["retry-after"]) >= 1);
      t.notMatch(answer.text, /secret|10\.0\.0\.1/);
    }
    for (const type of ["TIMEOUT_EXCEEDED", "MEMORY_LIMIT_EXCEEDED"]) {
      fail(type);
      t.match(
        (await get("access-records")).json.error.message,
        /narrow the time with from and to/,
        type,
      );
    }
    t.strictSame(sealed, [], "nothing was read");
  },
);

t.test("a client that goes away ends its query, and only so many read at once", async (t) => {
  const { get, store, sealed, port } = await start(t, [access(1)]);
  const signals: AbortSignal[] = [];
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  store.before = async (signal) => {
    signals.push(signal!);
    await opened;
  };
  const clients = Array.from({ length: 8 }, () => {
    const client = new RawConnection(port);
    client.send(requestBytes("GET", "/api/v1/records/1"));
    return client;
  });
  await until(() => signals.length === 8);
  const ninth = await get("records/1");
  t.equal(ninth.status, 503);
  t.equal(ninth.headers["retry-after"], "1");
  t.match(ninth.json.error.message, /expected at most 8 reads at a time/);
  t.ok(signals.every(({ aborted }) => !aborted));
  clients[0]!.close();
  await until(() => signals.some(({ aborted }) => aborted));
  t.equal(signals.filter(({ aborted }) => aborted).length, 1, "the others go on");
  open();
  store.before = async () => {};
  for (const client of clients.slice(1)) {
    t.equal((await client.response())?.status, 200);
    client.close();
  }
  await until(() => sealed.length >= 7);
  t.equal((await get("records/1")).status, 200, "their places are free again");
});

t.test(
  "methods: HEAD answers as GET without a body, the others are told what is allowed",
  async (t) => {
    const { get, sealed, port } = await start(t, [access(1, { TraceId: TRACE })]);
    for (const path of ["access-records", `traces/${TRACE}`, "records/1", "coverage"]) {
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
        const answer = await get(path, {}, method);
        t.equal(answer.status, 405, `${method} ${path}`);
        t.equal(answer.headers["allow"], "GET, HEAD");
        t.equal(answer.json.error.code, "METHOD_NOT_ALLOWED");
      }
    }
    t.strictSame(sealed, []);
    const head = await fetch(`http://127.0.0.1:${port}/api/v1/records/1`, { method: "HEAD" });
    t.equal(head.status, 200);
    t.equal(await head.text(), "");
    t.equal(sealed.length, 1, "and is recorded, since it tells that there is a record");
    for (const path of [
      "records",
      "records/1/",
      "records/1/proof/x",
      "traces",
      "Access-records",
      "access-records/",
      "nothing",
    ])
      t.equal((await get(path)).status, 404, path);
  },
);
