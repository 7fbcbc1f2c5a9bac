import { readdirSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import {
  type Attributes,
  type LogInput,
  oneScope,
  type SpanInput,
  writeLogs,
  writeTraces,
} from "./support/otlp-writer.ts";
import { send } from "./support/senders.ts";
import { runVerify, temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";
import { ServerProcess } from "./support/server-process.ts";
import { waitForCount } from "./support/stored-rows.ts";
import { digest, envoyLog } from "./support/traffic.ts";

/** Links and findings from a sender's request to an auditor's verdict, over a kill. */

t.setTimeout(300_000);
const skip = whyNoEngine();

/** A short window; a small journal, which soon lets go of what is sealed and stored. */
const CONFIG = `receivers: { otlp: { protocols: { http: { max_request_body_size: 1MiB } } } }
processors: { normalise: { trusted_hops: 1 }, correlate: { window: 10s }, seal: { checkpoint_interval: 200ms } }
exporters: { clickhouse: { batch: { timeout: 100ms } } }
storage: { max_size: 4MiB }
`;
const PAIRS = 40;
const BLIND = 7;
const BASE = 1_790_000_000_000_000_000n;
const RESOURCE: Attributes = [
  ["log_name", "otel_envoy_accesslog"],
  ["node_name", "sidecar~10.2.3.4~orders-7d9c5b8f6-x2x4z.shop~shop.svc.cluster.local"],
  ["cluster_name", "orders.shop"],
];

/** Span number `i` of a proxy, of the request that envoyLog(i) tells of. */
function proxySpan(i: number): SpanInput {
  return {
    traceId: digest(`trace ${i}`, 16),
    spanId: digest(`span ${i}`, 8),
    name: "orders.shop.svc.cluster.local:8080/*",
    kind: i % 2 === 0 ? 2 : 3,
    start: BASE + BigInt(i) * 1_000_000n + 250n,
    end: BASE + BigInt(i) * 1_000_000n + 5_000_000n,
    attributes: [
      ["component", "proxy"],
      ["downstream_cluster", "-"],
      ["node_id", "sidecar~10.2.3.4~orders-7d9c5b8f6-x2x4z.shop~shop.svc.cluster.local"],
    ],
  };
}

/** What its router makes of the same request: it has no access record of its own. */
function routerSpan(i: number): SpanInput {
  return {
    ...proxySpan(i),
    spanId: digest(`router ${i}`, 8),
    parentSpanId: digest(`span ${i}`, 8),
    name: "router outbound|8080||payment.shop.svc.cluster.local egress",
    kind: 3,
    attributes: [
      ["component", "proxy"],
      ["upstream_cluster", "outbound|8080||payment.shop.svc.cluster.local"],
    ],
  };
}

/** A record whose trusted hop names another peer than the certificate does. */
function contradicting(): LogInput {
  const log = envoyLog(8_001);
  const xfcc = "URI=spiffe://cluster.local/ns/edge/sa/gateway";
  return { ...log, attributes: [...log.attributes!, ["x_forwarded_client_cert", xfcc]] };
}

/** What a policy engine logs of the request that envoyLog(i) tells of. */
function decisionOf(i: number): LogInput {
  const [, requestId] = envoyLog(i).attributes!.find(([key]) => key === "request_id")!;
  return {
    body: JSON.stringify({
      decision_id: `d-${i}`,
      timestamp: "2026-09-21T14:13:20.5Z",
      path: "envoy/authz/allow",
      labels: { id: "opa-1" },
      input: { attributes: { request: { http: { headers: { "x-request-id": requestId } } } } },
      result: false,
    }),
  };
}

function range<T>(from: number, count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(from + i));
}

async function sendLogs(server: ServerProcess, records: readonly LogInput[]): Promise<void> {
  const body = writeLogs([{ resource: RESOURCE, scopes: [{ records }] }]);
  const { status } = await send(server.otlp("logs"), body);
  if (status !== 200) throw new Error(`status ${status}`);
}

async function sendSpans(
  server: ServerProcess,
  records: readonly SpanInput[],
  service: string,
): Promise<void> {
  const resource: Attributes = [
    ["service.name", service],
    ["telemetry.sdk.name", "envoy"],
  ];
  const { status } = await send(server.otlp("traces"), writeTraces(oneScope(records, resource)));
  if (status !== 200) throw new Error(`status ${status}`);
}

const JOINED = `trace_links AS l INNER JOIN access_records AS a ON a.LeafIndex = l.AccessLeaf
  INNER JOIN otel_traces AS s ON s.LeafIndex = l.SpanLeaf`;

/** Every pair is linked once, and each link joins rows with the same IDs. */
async function linked(t: Test, server: ServerProcess, expected: number): Promise<void> {
  // Tables are written side by side: a link can be there before its records.
  await waitForCount(server, `SELECT count() FROM ${JOINED}`, expected);
  const [row] = await server.query<Record<string, string>>(
    `SELECT toString((SELECT count() FROM trace_links)) AS links, toString(uniqExact(AccessLeaf, SpanLeaf)) AS pairs,
       toString(countIf(a.TraceId = s.TraceId AND a.SpanId = s.SpanId AND l.TraceId = s.TraceId)) AS same,
       toString(countIf(l.ClockDifferenceNs = 250 AND l.Confidence = 1 AND l.Rule = 'span' AND l.AccessLog = a.LogId AND l.SpanLog = s.LogId)) AS exact
     FROM ${JOINED}`,
  );
  const all = String(expected);
  t.same(row, { links: all, pairs: all, same: all, exact: all });
}

t.test("records and spans are linked over a kill, and blind spots found", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  let server = await ServerProcess.start(directory, CONFIG);
  t.teardown(() => server.kill());

  await sendSpans(server, range(9_000, BLIND, proxySpan), "inventory");
  await sendLogs(server, [{ ...envoyLog(8_000), traceId: new Uint8Array(15).fill(1) }]);

  await t.test("in both orders", async (t) => {
    await sendLogs(server, range(0, PAIRS, envoyLog));
    await sendSpans(server, range(0, PAIRS, proxySpan), "orders");
    await sendSpans(server, range(PAIRS, PAIRS, proxySpan), "orders");
    await sendSpans(server, range(0, 2 * PAIRS, routerSpan), "orders");
    await sendLogs(server, range(PAIRS, PAIRS, envoyLog));
    await linked(t, server, 2 * PAIRS);
  });

  await t.test("also when it is killed between the two", async (t) => {
    await sendLogs(server, [contradicting()]);
    await sendSpans(server, range(2 * PAIRS, PAIRS, proxySpan), "orders");
    await server.kill();
    server = await ServerProcess.start(directory, CONFIG);
    await sendLogs(server, range(2 * PAIRS, PAIRS, envoyLog));
    await linked(t, server, 3 * PAIRS);
  });

  await t.test("and when by then only the store has the first", async (t) => {
    const firstIndex = (): number => {
      const names = readdirSync(join(server.dataDirectory, "journal"));
      return Number.parseInt(names.filter((name) => name.endsWith(".frames")).sort()[0]!, 10);
    };
    await sendSpans(server, range(3 * PAIRS, PAIRS, proxySpan), "orders");
    const last = await lastProxySpan(server, 4 * PAIRS);
    const filler = range(0, 50, (i): LogInput => ({ body: `${i} ${"x".repeat(8_000)}` }));
    for (let i = 0; i < 100 && firstIndex() <= last; i++) {
      filler[0] = { body: `filler ${i}` };
      const response = await send(server.otlp("logs"), writeLogs(oneScope(filler)));
      if (response.status !== 200) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await server.kill();
    t.ok(firstIndex() > last, "the journal has let go of the spans");
    server = await ServerProcess.start(directory, CONFIG);
    await sendLogs(server, range(3 * PAIRS, PAIRS, envoyLog));
    await linked(t, server, 4 * PAIRS);
  });

  await t.test("a blind spot is one finding, and nobody else is accused", async (t) => {
    await waitForCount(server, "SELECT count() FROM findings WHERE Subject = 'inventory'", 1);
    const found = await server.query<Record<string, unknown>>(
      `SELECT FindingKind, Subject, Severity, Detail['count'] AS count, length(Evidence) AS evidence
       FROM findings WHERE FindingKind = 'span_without_access'`,
    );
    t.same(found, [
      {
        FindingKind: "span_without_access",
        Subject: "inventory",
        Severity: "warning",
        count: String(BLIND),
        evidence: String(BLIND),
      },
    ]);
    const [named] = await server.query<Record<string, string>>(
      `SELECT toString(count()) AS spans FROM otel_traces WHERE ServiceName = 'inventory'
         AND LeafIndex IN (SELECT arrayJoin(Evidence) FROM findings WHERE FindingKind = 'span_without_access')`,
    );
    t.same(named, { spans: String(BLIND) }, "and it names their spans");
  });

  await t.test("a decision is linked to the record of its request, over a kill", async (t) => {
    await waitForCount(
      server,
      `SELECT count() FROM access_records WHERE RequestId != ''`,
      4 * PAIRS,
    );
    await server.kill();
    server = await ServerProcess.start(directory, CONFIG);
    // The newest, which are in reach.
    const decisions = range(3 * PAIRS, PAIRS, decisionOf);
    const { status } = await send(server.otlp("logs"), writeLogs(oneScope(decisions)));
    t.equal(status, 200);
    const joined = `trace_links AS l INNER JOIN access_records AS a ON a.LeafIndex = l.AccessLeaf
      INNER JOIN access_records AS d ON d.LeafIndex = l.SpanLeaf`;
    await waitForCount(server, `SELECT count() FROM ${joined}`, PAIRS);
    const [row] = await server.query<Record<string, string>>(
      `SELECT toString(uniqExact(a.LeafIndex, d.LeafIndex)) AS pairs,
         toString(countIf(a.RequestId = d.RequestId AND a.TraceId = l.TraceId AND d.TraceId = '')) AS same,
         toString(countIf(l.Rule = 'decision' AND d.Dialect = 'opa' AND a.Dialect != 'opa' AND d.Decision = 'denied')) AS exact
       FROM ${joined}`,
    );
    t.same(row, { pairs: String(PAIRS), same: String(PAIRS), exact: String(PAIRS) });
  });

  await t.test("links and findings are proven like all else", async (t) => {
    const metrics = await (await fetch(`http://127.0.0.1:${server.ports.metrics}/metrics`)).text();
    t.match(metrics, new RegExp(`^meshproof_links\\{rule="decision"\\} ${PAIRS}$`, "m"));
    t.match(metrics, /^meshproof_correlation_window_records \d+$/m);
    t.equal(await server.stop(), 0);
    t.match(await runVerify(server), {
      code: 0,
      report: {
        integrity: "ok",
        completeness: "gaps",
        faults: [],
        findings: { span_without_access: 1, rejected_record: 1, identity_conflict: 1 },
      },
    });
  });
});

/** The leaf index of the last of `count` spans of the proxy, once the store has them. */
async function lastProxySpan(server: ServerProcess, count: number): Promise<number> {
  const where = "ServiceName = 'orders' AND SpanName LIKE 'orders%'";
  await waitForCount(server, `SELECT count() FROM otel_traces WHERE ${where}`, count);
  const [row] = await server.query<{ last: string }>(
    `SELECT toString(max(LeafIndex)) AS last FROM otel_traces WHERE ${where}`,
  );
  return Number(row!.last);
}
