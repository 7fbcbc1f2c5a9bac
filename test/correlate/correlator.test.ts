import t, { type Test } from "tap";
import { KINDS } from "../../src/core/kinds.ts";
import { MAX_SPANS } from "../../src/correlate/matcher.ts";
import type { Rule } from "../../src/correlate/rules/rule.ts";
import { spanRule } from "../../src/correlate/rules/span.ts";
import type { MapInput } from "../../src/records/row-codec.ts";
import {
  accessRow,
  hex,
  LOG_ID,
  makeSection,
  proxySpanRow,
  seeded,
  spanRow,
  type SpanRowInput,
} from "./fixture.ts";
import { Simulation, type SimulationOptions } from "./simulation.ts";

const TRACE = "0123456789abcdef0123456789abcdef";
const SPAN = "89abcdef01234567";
const IDS = { traceId: TRACE, spanId: SPAN };

async function started(t: Test, options?: SimulationOptions): Promise<Simulation> {
  const simulation = new Simulation(options);
  t.teardown(() => simulation.correlator.stop());
  simulation.start();
  return simulation;
}

/** The pairs that the log says are linked, access record first. */
function pairs(simulation: Simulation): string[] {
  return simulation
    .rows(KINDS.link)
    .map(({ columns }) => `${columns["AccessLeaf"]} ${columns["SpanLeaf"]}`);
}

function findings(simulation: Simulation): Record<string, unknown>[] {
  return simulation.rows(KINDS.finding).map(({ columns }) => ({
    kind: String(columns["FindingKind"]),
    subject: String(columns["Subject"]),
    count: String(
      (columns["Detail"] as [Buffer, Buffer][]).find(([key]) => String(key) === "count")![1],
    ),
    evidence: (columns["Evidence"] as bigint[]).map(Number),
  }));
}

t.test("a pair is linked in either order, and the link says all of it", async (t) => {
  for (const order of ["access first", "span first"]) {
    const simulation = await started(t);
    const { nowMs } = simulation;
    const access = makeSection(KINDS.access, [
      accessRow({ ...IDS, received: nowMs, start: nowMs - 10 }),
    ]);
    const span = makeSection(KINDS.span, [
      spanRow({ ...IDS, received: nowMs + 5, start: nowMs - 12.5 }),
    ]);
    simulation.append(...(order === "access first" ? [access] : [span]));
    simulation.append(...(order === "access first" ? [span] : [access]));
    await simulation.pass(0);
    const [accessLeaf, spanLeaf] = order === "access first" ? [1n, 2n] : [2n, 1n];
    t.match(
      simulation.rows(KINDS.link).map(({ columns }) => columns),
      [
        {
          LeafVersion: 1,
          Kind: 4,
          TraceId: Buffer.from(TRACE),
          Rule: Buffer.from("span"),
          Confidence: 1,
          AccessLog: Buffer.from(LOG_ID),
          AccessLeaf: accessLeaf,
          SpanLog: Buffer.from(LOG_ID),
          SpanLeaf: spanLeaf,
          ClockDifferenceNs: -2_500_000n,
        },
      ],
      order,
    );
    const madeAtMs = Number(
      (simulation.rows(KINDS.link)[0]!.columns["Timestamp"] as bigint) / 1_000_000n,
    );
    t.ok(Math.abs(madeAtMs - Date.now()) < 60_000, "and when it was made");
    t.equal(simulation.links, 1);
  }
});

t.test("IDs that are absent, zero or of another length match nothing", async (t) => {
  const simulation = await started(t);
  const { nowMs: received } = simulation;
  for (const ids of [
    {},
    { traceId: TRACE },
    { spanId: SPAN },
    { traceId: "0".repeat(32), spanId: SPAN },
    { traceId: TRACE, spanId: "0".repeat(16) },
    { traceId: TRACE.slice(16), spanId: SPAN },
    { traceId: TRACE, spanId: SPAN.slice(8) },
  ]) {
    simulation.append(makeSection(KINDS.access, [accessRow({ ...ids, received })]));
    simulation.append(makeSection(KINDS.span, [proxySpanRow({ ...ids, received })]));
  }
  await simulation.pass(60_000);
  t.same(pairs(simulation), []);
  t.same(findings(simulation), [], "nor is anyone accused");
  t.equal(simulation.correlator.size, 0);
});

t.test("every digit of both IDs counts", async (t) => {
  const simulation = await started(t);
  const { nowMs: received } = simulation;
  const all = TRACE + SPAN;
  const variants = Array.from(
    all,
    (digit, i) => all.slice(0, i) + (digit === "f" ? "0" : "f") + all.slice(i + 1),
  );
  const rows = variants.map((ids) =>
    accessRow({ traceId: ids.slice(0, 32), spanId: ids.slice(32), received }),
  );
  simulation.append(makeSection(KINDS.access, rows));
  simulation.append(makeSection(KINDS.span, [spanRow({ ...IDS, received })]));
  await simulation.pass(0);
  t.same(pairs(simulation), []);
});

t.test("several records of one span are linked each; a twin of the span too", async (t) => {
  const simulation = await started(t);
  const { nowMs: received } = simulation;
  const access = () => makeSection(KINDS.access, [accessRow({ ...IDS, received })]);
  const span = () => makeSection(KINDS.span, [spanRow({ ...IDS, received })]);
  simulation.append(access(), span()); // 1, 2
  simulation.append(access()); // 3
  simulation.append(span()); // 4
  simulation.append(access()); // 5
  await simulation.pass(0);
  t.same(pairs(simulation).sort(), ["1 2", "1 4", "3 2", "3 4", "5 2", "5 4"]);
});

t.test("senders who repeat IDs cannot multiply links", async (t) => {
  const simulation = await started(t);
  const { nowMs: received } = simulation;
  const many = 3_000;
  const repeat = (row: Uint8Array): Uint8Array[] => Array.from({ length: many }, () => row);
  simulation.append(makeSection(KINDS.access, repeat(accessRow({ ...IDS, received }))));
  simulation.append(makeSection(KINDS.span, repeat(spanRow({ ...IDS, received }))));
  simulation.append(makeSection(KINDS.access, repeat(accessRow({ ...IDS, received }))));
  await simulation.pass(0);
  t.equal(pairs(simulation).length, 2 * many * MAX_SPANS);
  t.equal(new Set(pairs(simulation)).size, 2 * many * MAX_SPANS);
});

t.test("a pair further apart than the window is no pair", async (t) => {
  const simulation = await started(t, { windowMs: 1_000 });
  const { nowMs } = simulation;
  for (const [i, apart] of [1_000, 1_000.1].entries()) {
    const ids = { traceId: hex(i + 1, 32), spanId: hex(1, 16) };
    const at = nowMs + i * 10_000;
    simulation.append(makeSection(KINDS.access, [accessRow({ ...ids, received: at })]));
    simulation.append(makeSection(KINDS.span, [spanRow({ ...ids, received: at + apart })]));
  }
  await simulation.pass(0);
  t.same(pairs(simulation), ["1 2"]);
});

const proxy = (span: Omit<SpanRowInput, "received">): SpanRowInput => ({
  ...IDS,
  ...span,
  received: 0,
});
const COMPONENT: MapInput = [["component", "proxy"]];

t.test("a proxy's span without an access record is a blind spot, others are not", async (t) => {
  const cases: readonly (readonly [string, SpanRowInput, string | null])[] = [
    ["scope envoy", proxy({ scope: "envoy" }), "orders"],
    ["component=proxy", proxy({ attributes: COMPONENT }), "orders"],
    [
      "component=proxy among others, in the order of keys",
      proxy({
        attributes: [
          ["", "x"],
          ["a", "b"],
          ["component", "proxy"],
          ["z", ""],
        ],
      }),
      "orders",
    ],
    ["an SDK called envoy", proxy({ resource: [["telemetry.sdk.name", "envoy"]] }), "orders"],
    ["an application", proxy({}), null],
    ["an application's component", proxy({ attributes: [["component", "net/http"]] }), null],
    ["another SDK", proxy({ resource: [["telemetry.sdk.name", "opentelemetry"]] }), null],
    [
      "the last of two components counts",
      proxy({
        attributes: [
          ["component", "proxy"],
          ["component", "grpc"],
        ],
      }),
      null,
    ],
    [
      "its request to the upstream",
      proxy({ scope: "envoy", name: "router outbound|8080||payment.shop egress", kind: "Client" }),
      null,
    ],
    [
      "its request to a policy engine",
      proxy({ scope: "envoy", name: "async ext_authz egress" }),
      null,
    ],
    [
      "another client's span of its own",
      proxy({
        scope: "envoy",
        name: "JWT Remote PubKey Fetch",
        kind: "Client",
        attributes: COMPONENT,
      }),
      null,
    ],
    [
      "a sidecar's outgoing request",
      proxy({
        name: "payment.shop.svc.cluster.local:8080/*",
        kind: "Client",
        attributes: [
          ["component", "proxy"],
          ["downstream_cluster", "-"],
          ["node_id", "sidecar~1"],
        ],
      }),
      "orders",
    ],
    [
      "a request of a kind that nobody said",
      proxy({ scope: "envoy", kind: "Unspecified", attributes: [["guid:x-request-id", "r"]] }),
      "orders",
    ],
    ["another name with router in it", proxy({ scope: "envoy", name: "router orders" }), "orders"],
    [
      "a proxy without a service is called by its node",
      proxy({ scope: "envoy", service: "", attributes: [["node_id", "sidecar~10.0.0.1~orders"]] }),
      "sidecar~10.0.0.1~orders",
    ],
    [
      "and so is one with the SDK's default name",
      proxy({
        scope: "envoy",
        service: "unknown_service:envoy",
        attributes: [["node_id", "gateway~1"]],
      }),
      "gateway~1",
    ],
    ["one without either", proxy({ scope: "envoy", service: "" }), "unknown proxy"],
    ["a long name is cut", proxy({ scope: "envoy", service: "é".repeat(300) }), "é".repeat(128)],
  ];
  for (const [name, span, subject] of cases) {
    const simulation = await started(t);
    const row = spanRow({ ...span, received: simulation.nowMs });
    simulation.append(makeSection(KINDS.span, [row]));
    await simulation.pass(60_000);
    t.same(
      findings(simulation),
      subject === null ? [] : [{ kind: "span_without_access", subject, count: "1", evidence: [1] }],
      name,
    );
  }
});

t.test(
  "a finding waits for the window and its interval, and names a hundred at most",
  async (t) => {
    const simulation = await started(t, { windowMs: 30_000 });
    const first = simulation.nowMs;
    const minute = Math.floor(first / 60_000) * 60_000;
    const rows = Array.from({ length: 150 }, (_, i) =>
      proxySpanRow({ traceId: hex(i + 1, 32), spanId: SPAN, received: first }),
    );
    simulation.append(makeSection(KINDS.span, rows));
    simulation.append(
      makeSection(KINDS.span, [
        proxySpanRow({ traceId: hex(999, 32), spanId: SPAN, received: minute + 59_999 }),
      ]),
    );
    const due = minute + 60_000 + 30_000;
    await simulation.pass(due + 1_999 - first);
    t.same(findings(simulation), []);
    await simulation.pass(1);
    t.same(findings(simulation), [
      {
        kind: "span_without_access",
        subject: "orders",
        count: "151",
        evidence: Array.from({ length: 100 }, (_, i) => i + 1),
      },
    ]);
    const { columns } = simulation.rows(KINDS.finding)[0]!;
    t.match(
      Object.fromEntries(
        Object.entries(columns).map(([name, value]) => [
          name,
          Buffer.isBuffer(value) ? String(value) : value,
        ]),
      ),
      {
        Timestamp: BigInt(minute) * 1_000_000n,
        Severity: "warning",
        State: "open",
        TraceId: "",
        Message:
          "151 requests through the proxy of orders left a span, and no access record with its trace and span ID came in time.",
        Detail: [
          [Buffer.from("count"), Buffer.from("151")],
          [Buffer.from("first"), Buffer.from(`${first}000000`)],
          [Buffer.from("last"), Buffer.from(`${minute + 59_999}000000`)],
        ],
      },
    );
    await simulation.pass(600_000);
    t.equal(findings(simulation).length, 1);
  },
);

t.test(
  "a further rule is tried when the first finds nothing, and its links excuse spans too",
  async (t) => {
    const byTrace: Rule = {
      name: "trace",
      confidence: 0.5,
      keyOf({ hasTraceId, ids }, key) {
        key.fill(0);
        key.set(ids.subarray(0, 4));
        return hasTraceId;
      },
    };
    for (const order of ["access first", "span first"]) {
      const simulation = await started(t, { rules: [spanRule, byTrace] });
      const { nowMs: received } = simulation;
      const access = [TRACE, hex(2, 32)].map((traceId) => accessRow({ traceId, received }));
      access.push(accessRow({ ...IDS, traceId: hex(3, 32), received }));
      const spans = [TRACE, hex(3, 32), hex(4, 32)].map((traceId) =>
        proxySpanRow({ ...IDS, traceId, received }),
      );
      const sections = [makeSection(KINDS.access, access), makeSection(KINDS.span, spans)];
      for (const section of order === "access first" ? sections : sections.toReversed())
        simulation.append(section);
      await simulation.pass(60_000);
      t.same(
        simulation
          .rows(KINDS.link)
          .map(
            ({ columns }) => `${String(columns["TraceId"]).slice(-1)} ${String(columns["Rule"])}`,
          )
          .sort(),
        ["3 span", "f trace"],
        order,
      );
      t.match(findings(simulation), [{ count: "1", evidence: [order === "access first" ? 6 : 3] }]);
    }
  },
);

t.test("a window that is too small accuses nobody, and says so", async (t) => {
  const simulation = await started(t, { windowMs: 10_000, maxRecords: 1_000 });
  const { nowMs } = simulation;
  const ids = (i: number) => ({ traceId: hex(i + 1, 32), spanId: SPAN });
  const rows = (make: typeof accessRow, from: number, count: number, received: number) =>
    Array.from({ length: count }, (_, i) => make({ ...ids(from + i), received }));
  // 1,500 access records come before their spans: 500 of them have left when their spans come.
  simulation.append(makeSection(KINDS.access, rows(accessRow, 0, 1_500, nowMs)));
  simulation.append(makeSection(KINDS.span, rows(proxySpanRow, 0, 1_500, nowMs + 10)));
  t.ok(simulation.overflow > 500);
  t.equal(simulation.correlator.size, 1_000);
  // Long after, a span that has none is accused again.
  const later = nowMs + 30_000;
  simulation.append(makeSection(KINDS.span, rows(proxySpanRow, 5_000, 1, later)));
  simulation.nowMs = later;
  await simulation.pass(60_000);
  const found = findings(simulation);
  t.match(found, [
    { kind: "correlation_overflow", subject: "processors.correlate.max_records" },
    { kind: "span_without_access", subject: "orders", count: "1" },
  ]);
  const blind = 1_500 - pairs(simulation).length;
  t.equal(found[0]!["count"], String(blind), "every span without a link is counted, none accused");
  t.equal(simulation.correlator.size, 0, "and the window is empty again");
});

t.test("while the journal is full links and findings are kept, and hold the journal", async (t) => {
  const simulation = await started(t);
  const { nowMs: received } = simulation;
  simulation.isFull = true;
  simulation.append(makeSection(KINDS.access, [accessRow({ ...IDS, received })]));
  t.equal(simulation.correlator.releasableThrough, 2);
  simulation.append(makeSection(KINDS.span, [spanRow({ ...IDS, received })]));
  simulation.append(
    makeSection(KINDS.span, [proxySpanRow({ traceId: hex(9, 32), spanId: SPAN, received })]),
  );
  t.equal(
    simulation.correlator.releasableThrough,
    1,
    "the pair is needed until its link is durable",
  );
  await simulation.pass(60_000);
  t.equal(simulation.correlator.pendingLinks, 1);
  t.same([pairs(simulation), findings(simulation)], [[], []]);
  simulation.isFull = false;
  await simulation.pass(1_000);
  t.same(pairs(simulation), ["1 2"]);
  t.equal(findings(simulation).length, 1);
  t.equal(simulation.correlator.releasableThrough, simulation.size);
  t.equal(simulation.correlator.pendingLinks, 0);
});

t.test("time stands still while the server is down", async (t) => {
  const simulation = await started(t, { windowMs: 5_000 });
  simulation.append(
    makeSection(KINDS.span, [proxySpanRow({ ...IDS, received: simulation.nowMs })]),
  );
  simulation.restart(simulation.log.length);
  simulation.nowMs += 3_600_000;
  await simulation.pass(10);
  simulation.start();
  await simulation.pass(4_000);
  t.same(findings(simulation), []);
  simulation.append(makeSection(KINDS.access, [accessRow({ ...IDS, received: simulation.nowMs })]));
  await simulation.pass(60_000);
  t.same(pairs(simulation), ["3 1"], "the record came in time, though an hour later");
  t.same(findings(simulation), []);
});

t.test("a clock that is set back does not stop time", async (t) => {
  const simulation = await started(t);
  const late = simulation.nowMs;
  simulation.append(makeSection(KINDS.span, [proxySpanRow({ ...IDS, received: late })]));
  simulation.nowMs -= 3_600_000;
  const row = spanRow({ traceId: hex(8, 32), spanId: SPAN, received: simulation.nowMs });
  simulation.append(makeSection(KINDS.span, [row]));
  await simulation.pass(10_000);
  t.equal(findings(simulation).length, 1);
  t.equal(simulation.correlator.size, 0);
});

t.test("without the store nobody is accused whose partner may have come before", async (t) => {
  const simulation = await started(t, { windowMs: 5_000 });
  const { nowMs } = simulation;
  simulation.append(makeSection(KINDS.access, [accessRow({ ...IDS, received: nowMs })]));
  const other = { traceId: hex(7, 32), spanId: SPAN };
  simulation.append(makeSection(KINDS.span, [proxySpanRow({ ...other, received: nowMs + 10 })]));
  simulation.release();
  simulation.restart(simulation.log.length, { store: false });
  simulation.nowMs += 1_000;
  simulation.start();
  // Its access record is known to the store alone.
  simulation.append(makeSection(KINDS.span, [proxySpanRow({ ...IDS, received: nowMs + 1_500 })]));
  await simulation.pass(7_000);
  const late = { traceId: hex(6, 32), spanId: SPAN };
  simulation.append(
    makeSection(KINDS.span, [proxySpanRow({ ...late, received: simulation.nowMs })]),
  );
  await simulation.pass(60_000);
  t.match(findings(simulation), [{ count: "1", evidence: [simulation.size - 2] }]);
  t.same(pairs(simulation), []);
});

t.test(
  "a finding that the log has is not made again, though its spans are seen again",
  async (t) => {
    const simulation = await started(t);
    const received = simulation.nowMs;
    simulation.append(makeSection(KINDS.span, [proxySpanRow({ ...IDS, received })]));
    await simulation.pass(60_000);
    const expected = findings(simulation);
    t.equal(expected.length, 1);
    for (let run = 0; run < 3; run++) {
      simulation.restart(simulation.log.length);
      simulation.start();
      await simulation.pass(60_000);
      await simulation.pass(60_000);
      t.same(findings(simulation), expected);
    }
  },
);

t.test("an access record has so many links and no more, also when spans have left", async (t) => {
  const simulation = await started(t, { windowMs: 1_000 });
  const { nowMs } = simulation;
  const spans = (count: number, received: number) =>
    simulation.append(
      makeSection(
        KINDS.span,
        Array.from({ length: count }, () => spanRow({ ...IDS, received })),
      ),
    );
  spans(2, nowMs); // 1, 2
  simulation.append(makeSection(KINDS.access, [accessRow({ ...IDS, received: nowMs + 600 })])); // 3
  spans(2, nowMs + 700); // 4, 5
  spans(1, nowMs + 1_300); // 6: two have left, and yet
  await simulation.pass(0);
  t.same(pairs(simulation).sort(), ["3 1", "3 2", "3 4", "3 5"]);
});

t.test(
  "spans whose time is not over when it stops are left to the next start, links are not",
  async (t) => {
    const simulation = await started(t, { windowMs: 30_000 });
    const received = simulation.nowMs;
    simulation.append(makeSection(KINDS.access, [accessRow({ ...IDS, received })]));
    simulation.append(makeSection(KINDS.span, [spanRow({ ...IDS, received })]));
    const blind = { traceId: hex(5, 32), spanId: SPAN };
    simulation.append(makeSection(KINDS.span, [proxySpanRow({ ...blind, received })]));
    await simulation.correlator.stop();
    t.same(pairs(simulation), ["1 2"]);
    t.same(findings(simulation), []);
    simulation.restart(simulation.log.length);
    simulation.start();
    await simulation.pass(200_000);
    t.same(pairs(simulation), ["1 2"]);
    t.match(findings(simulation), [{ kind: "span_without_access", evidence: [3] }]);
  },
);

interface Event {
  readonly at: number;
  readonly request: number;
  readonly kind: "access" | "span";
  readonly ids: { readonly traceId: string; readonly spanId: string };
  readonly isProxy: boolean;
  readonly service: string;
}

/** A mesh's traffic: what each sender sends and when it arrives. Some of it never does, and some comes twice or late. */
function traffic(seed: number, requests: number): Event[] {
  const random = seeded(seed);
  const events: Event[] = [];
  for (let request = 0; request < requests; request++) {
    const ids = {
      traceId: hex(1 + Math.floor(request / 3), 32),
      spanId: hex(1 + request, 16),
    };
    const at = Math.floor(random() * requests * 5);
    const isProxy = random() < 0.7;
    const service = `service-${Math.floor(random() * 3)}`;
    const delay = (): number => Math.floor(random() ** 3 * 2_500);
    const add = (kind: Event["kind"]): void => {
      events.push({ at: at + delay(), request, kind, ids, isProxy, service });
    };
    const logs = random() < 0.2 ? 0 : random() < 0.2 ? 3 : 1; // none, a long stream, one line
    for (let i = 0; i < logs; i++) add("access");
    const spans = random() < 0.15 ? 0 : random() < 0.1 ? 2 : 1;
    for (let i = 0; i < spans; i++) add("span");
  }
  return events.sort((a, b) => a.at - b.at);
}

t.test(
  "random traffic through crashes at any frame: exactly the links and findings that it should have",
  async (t) => {
    const windowMs = 1_000;
    for (let seed = 1; seed <= 60; seed++) {
      const random = seeded(seed * 7919);
      const simulation = await started(t, { windowMs });
      const base = simulation.nowMs;
      const events = traffic(seed, 80);
      const crashes = seed % 3 === 0 ? 0 : 0.04;
      const sent: { event: Event; leafIndex: number; received: number; time: number }[] = [];
      // What the test knows by itself: when each record came, in the machine's time and without the time that the server was down.
      let downMs = 0;
      for (let next = 0; next < events.length;) {
        const batch = events.slice(next, next + 1 + Math.floor(random() * 4));
        const time = batch.at(-1)!.at;
        simulation.nowMs = base + time + downMs;
        simulation.isFull = random() < 0.2;
        const frames = simulation.log.length;
        const before = sent.length;
        for (const kind of ["access", "span"] as const) {
          const some = batch.filter((event) => event.kind === kind);
          if (some.length === 0) continue;
          const received = simulation.nowMs;
          const rows = some.map((event) =>
            kind === "access"
              ? accessRow({ ...event.ids, received })
              : (event.isProxy ? proxySpanRow : spanRow)({
                  ...event.ids,
                  received,
                  service: event.service,
                }),
          );
          const leafIndex = simulation.size;
          for (const [i, event] of some.entries())
            sent.push({ event, leafIndex: leafIndex + i, received, time });
          simulation.append(makeSection(KINDS[kind], rows));
        }
        next += batch.length;
        if (random() < 0.5) await simulation.pass(0);
        if (random() < 0.5) simulation.release();
        if (random() >= crashes) continue;
        // Some of the last frames were not durable yet: their records were never acknowledged, and come again.
        const cut = Math.max(
          simulation.released + 1,
          random() < 0.5 ? simulation.log.length : frames + Math.floor(random() * 2),
        );
        simulation.restart(Math.min(cut, simulation.log.length));
        const lost = sent.splice(0).filter((one) => {
          if (one.leafIndex < simulation.size) sent.push(one);
          return one.leafIndex >= simulation.size;
        });
        if (lost.length > sent.length - before + batch.length)
          return t.fail("more was lost than sent");
        next -= lost.length;
        events.splice(next, lost.length, ...lost.map(({ event }) => event));
        const down = random() < 0.5 ? 0 : Math.floor(random() * 10_000);
        simulation.nowMs += down;
        simulation.start();
        // The clock of the log goes on from the last record that it has, not from the crash.
        downMs = simulation.nowMs - base - (sent.at(-1)?.time ?? 0);
        const from = sent.at(-1)?.time ?? 0;
        for (let i = next; i < events.length; i++)
          events[i] = { ...events[i]!, at: Math.max(events[i]!.at, from) };
      }
      simulation.isFull = false;
      for (let i = 0; i < 4; i++) await simulation.pass(60_000);

      const expectedPairs = new Set<string>();
      const blind = new Map<string, number>();
      for (const span of sent.filter(({ event }) => event.kind === "span")) {
        const partners = sent.filter(
          ({ event, time }) =>
            event.kind === "access" &&
            event.request === span.event.request &&
            Math.abs(time - span.time) <= windowMs,
        );
        for (const { leafIndex } of partners) expectedPairs.add(`${leafIndex} ${span.leafIndex}`);
        if (!span.event.isProxy || partners.length > 0) continue;
        const interval = Math.floor(span.received / (2 * windowMs)) * 2 * windowMs;
        const key = `${interval} ${span.event.service}`;
        blind.set(key, (blind.get(key) ?? 0) + 1);
      }
      const actual = pairs(simulation);
      t.same(actual.toSorted(), [...expectedPairs].sort(), `seed ${seed}: links`);
      t.same(
        simulation
          .rows(KINDS.finding)
          .map(({ columns }) => [
            `${Number(columns["Timestamp"]) / 1e6} ${String(columns["Subject"])}`,
            Number((columns["Detail"] as [Buffer, Buffer][])[0]![1].toString()),
          ])
          .sort(),
        [...blind].sort(),
        `seed ${seed}: findings`,
      );
      t.equal(simulation.correlator.size, 0);
      t.equal(simulation.correlator.releasableThrough, simulation.size);
    }
  },
);
