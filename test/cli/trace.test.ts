import fc from "fast-check";
import t from "tap";
import { displayWidth, Output, type TextStyle } from "../../src/cli/output.ts";
import { renderRecords } from "../../src/cli/records-table.ts";
import { renderTrace } from "../../src/cli/trace-tree.ts";
import type { RecordJson } from "../../src/records/row-json.ts";
import { fakeApi, runHere, sendJson } from "../support/api-server.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const LOG_ID = "0123456789abcdef";

const plain = (width: number): TextStyle => ({ width, paint: (_, text) => text });

/** A time so many milliseconds after the trace began. */
function at(ms: number): string {
  const iso = new Date(Date.UTC(2026, 8, 21, 14, 13, 20) + Math.floor(ms)).toISOString();
  return `${iso.slice(0, -1)}${String(Math.round((ms % 1) * 1e6)).padStart(6, "0")}Z`;
}

function place(leaf: number): RecordJson {
  return { LogId: LOG_ID, LeafIndex: String(leaf) };
}

function span(leaf: number, id: string, parent: string, columns: RecordJson = {}): RecordJson {
  return {
    ...place(leaf),
    Kind: 2,
    Timestamp: at(leaf),
    TraceId: TRACE,
    SpanId: id,
    ParentSpanId: parent,
    ServiceName: "orders",
    SpanName: `span ${id}`,
    Duration: "5000000",
    StatusCode: "Unset",
    SpanAttributes: {},
    ...columns,
  };
}

function access(leaf: number, columns: RecordJson = {}): RecordJson {
  return {
    ...place(leaf),
    Kind: 1,
    Timestamp: at(leaf % 100),
    TraceId: TRACE,
    Decision: "allowed",
    PeerPrincipal: "spiffe://cluster.local/ns/web/sa/frontend",
    ServiceName: "orders.shop.svc.cluster.local",
    Method: "POST",
    Path: "/orders",
    StatusCode: 200,
    Direction: "inbound",
    DurationNs: "1500000",
    ...columns,
  };
}

function link(access: number, other: number, rule = "span", confidence = 1): RecordJson {
  return {
    ...place(900 + access),
    Kind: 4,
    Timestamp: at(0),
    Rule: rule,
    Confidence: confidence,
    AccessLog: LOG_ID,
    AccessLeaf: String(access),
    SpanLog: LOG_ID,
    SpanLeaf: String(other),
  };
}

function render(records: readonly RecordJson[], width = 100, next: string | null = null): string[] {
  return renderTrace({ traceId: TRACE, records, next }, plain(width));
}

/** The tree alone: what stands in the column of names, without the times. */
function tree(records: readonly RecordJson[]): string[] {
  const lines = render(records, 109);
  const title = lines.findIndex((line) => line.includes("SERVICE AND NAME"));
  const column = (lines[title] as string).indexOf("SERVICE");
  return lines.slice(title + 1).map((line) => line.slice(column).trimEnd());
}

t.test(
  "a trace is a tree of spans with the access records that belong to them, in 80 columns",
  async (t) => {
    const records = [
      span(0, "a", "", {
        ServiceName: "gateway",
        SpanName: "GET /checkout",
        Duration: "152000000",
      }),
      access(100, { Direction: "gateway", Method: "GET", Path: "/checkout", EndUser: "alice" }),
      link(100, 0),
      span(1, "b", "a", { ServiceName: "frontend", SpanName: "POST /checkout" }),
      span(2, "c", "b", {
        SpanName: "POST /orders",
        StatusCode: "Error",
        StatusMessage: "refused",
        SpanAttributes: { "http.response.status_code": "403" },
      }),
      access(103, { Decision: "denied", Policy: "shop/deny-guests#0", StatusCode: 403 }),
      link(103, 2, "trace", 0.6),
      {
        ...place(50),
        Kind: 3,
        SpanId: "c",
        Timestamp: at(4),
        Body: "no order",
        SeverityText: "WARN",
      },
      span(30, "d", "0123", { ServiceName: "inventory", SpanName: "GET /stock" }),
      access(131),
      {
        ...place(60),
        Kind: 5,
        FindingKind: "span_without_access",
        Severity: "warning",
        State: "open",
        Subject: "inventory",
        Message:
          "Inventory's proxy wrote a span and no access record, so nobody knows what it decided.",
        Evidence: ["30", "777"],
      },
    ];
    t.same(render(records, 80), [
      "Trace 4bf92f3577b34da6a3ce929d0e0e4736",
      "2026-09-21 14:13:20.000 UTC, 152ms in all",
      "4 spans, 3 access records (1 denied), 1 log, 1 finding",
      "",
      "START  TOOK  SERVICE AND NAME                      RESULT",
      "    0 152ms  gateway GET /checkout",
      "    0 1.5ms  ├ ◆ gateway GET orders.shop/checkout  allowed 200",
      "             │   by alice via web/frontend; rule span, confidence 1; leaf 100",
      "  1ms   5ms  └ frontend POST /checkout",
      "  2ms   5ms    └ orders POST /orders               error 403 refused",
      "  3ms 1.5ms      ├ ◆ inbound POST order…op/orders  denied 403 shop/deny-guests#0",
      "                 │   by web/frontend; rule trace, confidence 0.6; leaf 103",
      "  4ms            └ · no order                      WARN",
      "             parent span 0123 is not here",
      " 30ms   5ms  └ inventory GET /stock",
      "                 ! span_without_access",
      "             not linked to a span",
      " 31ms 1.5ms  └ ◆ inbound POST orders.shop/orders   allowed 200",
      "                 by web/frontend; leaf 131",
      "",
      "Findings",
      "! span_without_access (warning, open): inventory",
      "  Inventory's proxy wrote a span and no access record, so nobody knows what it",
      "  decided.",
    ]);
    const wide = render(records, 120);
    t.match(wide.find((line) => line.includes("GET /checkout"))?.slice(-25), / ━{24}$/);
    t.match(
      wide.find((line) => line.includes("GET /stock")),
      / {4}━━$/,
      "a bar shows when it was active",
    );
  },
);

t.test(
  "the surest link decides, and the other side of a call, or a decision on it, stands where its peer is",
  async (t) => {
    const spans = [span(1, "a", ""), span(2, "b", "a")];
    const records = [
      ...spans,
      access(100),
      link(100, 1, "trace", 0.5),
      link(100, 2, "span", 1),
      link(100, 1, "parent", 0.9),
    ];
    t.match(
      tree(records).join("\n"),
      /span b\n.*\n? {2}.*◆.*\n.*rule span, confidence 1; leaf 100/,
    );
    const peers = [...spans, access(100), access(101), link(100, 2), link(101, 100, "peer", 0.9)];
    t.match(tree(peers).join("\n"), "rule peer, confidence 0.9; leaf 101");
    t.notMatch(tree(peers).join("\n"), "not linked");
    const decided = [
      ...spans,
      access(100),
      access(101),
      link(100, 2),
      link(100, 101, "decision", 0.9),
    ];
    t.match(tree(decided).join("\n"), "rule decision, confidence 0.9; leaf 101");
    t.notMatch(tree(decided).join("\n"), "not linked");
    const reversed = [
      ...spans,
      access(100),
      access(101),
      link(100, 2),
      link(100, 101, "peer", 0.9),
    ];
    t.notMatch(tree(reversed).join("\n"), "not linked");
    const nowhere = [
      ...spans,
      access(100),
      access(101),
      link(100, 101, "peer", 0.9),
      link(101, 999),
    ];
    t.match(tree(nowhere).join("\n"), "not linked to a span");
    t.equal(tree(nowhere).filter((line) => line.includes("◆")).length, 2);
  },
);

t.test("a link of another log's record is not mistaken for this one's", async (t) => {
  const other = { ...link(100, 1), AccessLog: "fedcba9876543210" };
  t.match(tree([span(1, "a", ""), access(100), other]).join("\n"), "not linked to a span");
});

t.test(
  "spans whose parents are missing, themselves, or each other's children are all shown once",
  async (t) => {
    for (const [name, records, expected] of [
      [
        "missing",
        [span(1, "a", "x"), span(2, "b", "x"), span(3, "c", "y")],
        [
          "parent span x is not here",
          "├ orders span a",
          "└ orders span b",
          "parent span y is not here",
          "└ orders span c",
        ],
      ],
      ["itself", [span(1, "a", "a")], ["spans that are each other's parents", "└ orders span a"]],
      [
        "a circle with a tail",
        [span(1, "t", "b"), span(2, "a", "c"), span(3, "b", "a"), span(4, "c", "b")],
        [
          "spans that are each other's parents",
          "└ orders span b",
          "  ├ orders span t",
          "  └ orders span c",
          "    └ orders span a",
        ],
      ],
      [
        "twice",
        [span(1, "a", ""), span(2, "a", ""), span(3, "b", "a")],
        ["orders span a", "└ orders span b", "orders span a", "  ! its span ID is there twice"],
      ],
      [
        "twice, as its own child",
        [span(1, "a", ""), span(2, "a", "a")],
        ["orders span a", "└ orders span a", "    ! its span ID is there twice"],
      ],
      [
        "logs of no span",
        [span(1, "a", ""), { Kind: 3, SpanId: "z", Timestamp: at(2), Body: "hello" }],
        ["orders span a", "logs of no span that is here", "└ · hello"],
      ],
    ] as const) {
      const lines = tree(records);
      t.same(lines, expected, name);
    }
  },
);

t.test("traces without spans, without records and with other kinds are survived", async (t) => {
  t.match(
    render([access(100)]).join("\n"),
    /0 spans, 1 access record\n[\s\S]*not linked to a span/,
  );
  t.match(render([]), [
    "Trace 4bf92f3577b34da6a3ce929d0e0e4736",
    "0 in all",
    "0 spans, 0 access records",
    "",
  ]);
  t.match(render([{ Kind: 6 }, { Kind: 99 }, {}])[2], "0 spans");
});

t.test("a long chain of spans neither overflows the stack nor the line", async (t) => {
  const chain = Array.from({ length: 20_000 }, (_, i) =>
    span(i, `s${i}`, i === 0 ? "" : `s${i - 1}`),
  );
  const lines = render(chain, 80);
  t.ok(lines.every((line) => displayWidth(line) <= 80));
  t.match(
    lines.find((line) => line.includes("span s400")),
    /^ *\S+ +\S+ +400: orders span s400/,
  );
  t.equal(lines.at(-1), "… and 19500 more; --json prints all of them");
  const circle = Array.from({ length: 20_000 }, (_, i) => span(i, `s${i}`, `s${(i + 1) % 20_000}`));
  t.match(render(circle, 80).at(-1), "… and 19501 more");
});

t.test("what is not shown is counted, and so is what it was denied", async (t) => {
  const many = Array.from({ length: 600 }, (_, i) => span(i, `s${i}`, ""));
  const denied = Array.from({ length: 300 }, (_, i) => access(1000 + i, { Decision: "denied" }));
  t.equal(
    render([...many, ...denied]).at(-1),
    "… and 400 more, 300 of them denied; --json prints all of them",
  );
  t.equal(
    render([span(1, "a", "")], 80, "cursor").at(-1),
    "… and what comes behind the first 1 records",
  );
  const findings = Array.from({ length: 50 }, (_, i) => ({
    Kind: 5,
    FindingKind: `f${i}`,
    Message: "",
    Severity: "error",
    State: "open",
    Subject: "x",
  }));
  t.equal(render(findings).at(-1), "… and 30 more");
});

t.test("no line is wider than the terminal, whatever senders wrote", async (t) => {
  const evil = `\u001b[2J\u001b]0;x\u0007\r\n\u202e${"漢".repeat(500)} x`;
  const swap = (record: RecordJson): RecordJson =>
    Object.fromEntries(
      Object.entries(record).map(([name, value]) => [
        name,
        typeof value === "string" && !/Log|Leaf|Id|Timestamp|Duration/.test(name) ? evil : value,
      ]),
    );
  const records = [
    span(1, "a", ""),
    span(2, "b", evil),
    access(100),
    link(100, 1, evil),
    { ...place(9), Kind: 3, SpanId: "a", Body: evil },
    {
      ...place(8),
      Kind: 5,
      FindingKind: evil,
      Evidence: ["1"],
      Message: `${evil} ${evil}`,
      Subject: evil,
    },
  ].map(swap);
  for (let width = 40; width <= 200; width += 3) {
    for (const line of render(records, width)) {
      if (displayWidth(line) > width) t.fail(`${displayWidth(line)} columns at ${width}: ${line}`);
      // oxlint-disable-next-line no-control-regex
      if (/[\u0000-\u001f\u007f-\u009f\u202e]/.test(line)) t.fail(`control characters: ${line}`);
    }
  }
  t.pass();
});

t.test("any JSON in any column of any kind of record is survived", async (t) => {
  const columns = Object.keys({
    ...span(0, "", ""),
    ...access(0),
    ...link(0, 0),
    Evidence: 0,
    FindingKind: 0,
    Message: 0,
  });
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom("a", "0", "1", LOG_ID, at(0)));
  const record = fc
    .tuple(fc.integer({ min: 0, max: 7 }), fc.dictionary(fc.constantFrom(...columns), value))
    .map(([Kind, rest]) => ({ ...rest, Kind }));
  fc.assert(
    fc.property(
      fc.array(record, { maxLength: 12 }),
      fc.integer({ min: 40, max: 140 }),
      (records, width) => {
        for (const line of [...render(records, width), ...renderRecords(records, plain(width))])
          if (displayWidth(line) > width) throw new Error(line);
      },
    ),
    { numRuns: 500 },
  );
  t.pass();
});

t.test("times and numbers that are none, or far apart, are survived", async (t) => {
  for (const odd of [
    { Timestamp: "yesterday" },
    { Timestamp: 5, Duration: "x" },
    { Duration: "18446744073709551615" },
    { Duration: -5 },
    { Duration: 8.64e20 },
    { Duration: 1e-300 },
    { Duration: 1.5 },
    { Timestamp: "1970-01-01T00:00:00.000000000Z" },
    { ServiceName: null, SpanName: [], SpanAttributes: "no", StatusCode: {} },
  ])
    t.match(
      render([span(0, "a", ""), span(1, "b", "a", odd), access(100, odd)], 130)[2],
      "2 spans, 1 access record",
    );
  const skewed = tree([span(5, "a", ""), access(100, { Timestamp: at(3) }), link(100, 5)]);
  t.equal(skewed.length, 3);
  t.match(
    render([span(5, "a", ""), access(100, { Timestamp: at(3) }), link(100, 5)]).join("\n"),
    "-2ms 1.5ms",
  );
});

t.test("colours show decisions, errors and findings", async (t) => {
  const painted = new Output(
    { stdout: { write() {}, isTTY: true, columns: 80 }, stderr: { write() {} } },
    {},
  );
  const records = [
    span(1, "a", "", { StatusCode: "Error" }),
    access(100, { Decision: "denied" }),
    link(100, 1),
  ];
  const text = renderTrace({ traceId: TRACE, records, next: null }, painted).join("\n");
  t.match(text, "\u001b[31mdenied\u001b[39m");
  t.match(text, "\u001b[31merror \u001b[39m");
  t.match(text, "\u001b[36morders\u001b[39m");
  for (const line of text.split("\n")) t.ok(displayWidth(line) <= 80);
});

t.test("a trace is asked for by its ID, or by a record of it, page by page", async (t) => {
  const { url, asked } = await fakeApi(t, ({ path, query }, response) => {
    if (path.startsWith("/api/v1/records/")) sendJson(response, access(100));
    else if (query["cursor"] === undefined)
      sendJson(response, { traceId: TRACE, records: [span(1, "a", "")], next: "2" });
    else sendJson(response, { traceId: TRACE, records: [access(100), link(100, 1)], next: null });
  });
  const trace = (...args: string[]) => runHere(["trace", "--api", url, ...args]);
  const byId = await trace(TRACE.toUpperCase());
  t.equal(byId.code, 0);
  t.match(byId.out, /1 span, 1 access record\n[\s\S]*rule span/);
  t.same(
    asked.splice(0).map(({ path, query }) => [path, query]),
    [
      [`/api/v1/traces/${TRACE}`, { limit: "1000" }],
      [`/api/v1/traces/${TRACE}`, { limit: "1000", cursor: "2" }],
    ],
  );
  for (const record of ["0", "1234", `${LOG_ID}:1234`]) {
    t.equal((await trace(record)).out, byId.out);
    t.same(
      asked
        .splice(0)
        .map(({ path }) => path)
        .slice(0, 2),
      [`/api/v1/records/${record}`, `/api/v1/traces/${TRACE}`],
    );
  }
  await trace("A3CE929D0E0E4736");
  t.equal(asked[0]?.path, "/api/v1/traces/0000000000000000a3ce929d0e0e4736");
  const { out } = await trace(TRACE, "--json");
  t.same(JSON.parse(out), {
    traceId: TRACE,
    records: [span(1, "a", ""), access(100), link(100, 1)],
    next: null,
  });
  t.equal(out.indexOf("\n"), out.length - 1);
});

t.test(
  "what is no trace ID and no record is refused, and what is not there is said to be",
  async (t) => {
    const { url, asked } = await fakeApi(t, ({ path }, response) => {
      if (path === "/api/v1/records/7") sendJson(response, { TraceId: "" });
      else if (path === "/api/v1/records/8") sendJson(response, { TraceId: "../../log" });
      else sendJson(response, { error: { code: "NOT_FOUND", message: `nothing at ${path}` } }, 404);
    });
    for (const id of [
      "",
      "x",
      "../log",
      "-5",
      "1.5",
      TRACE.slice(1),
      `${TRACE}0`,
      "xyz:5",
      "\u001b[2J",
    ])
      t.match(
        await runHere(["trace", "--api", url, "--", id]),
        { code: 2, out: "", err: /^expected a trace ID of 32 hex digits/ },
        id,
      );
    t.equal(asked.length, 0);
    t.match(await runHere(["trace", "--api", url, TRACE]), {
      code: 3,
      out: "",
      err: /nothing at .*NOT_FOUND/,
    });
    for (const record of ["7", "8"])
      t.match(await runHere(["trace", "--api", url, record]), {
        code: 3,
        out: "",
        err: /belongs to no trace/,
      });
  },
);
