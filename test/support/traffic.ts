import { createHash } from "node:crypto";
import {
  type Attributes,
  type LogInput,
  type SpanInput,
  writeLogs,
  writeTraces,
} from "./otlp-writer.ts";

/** The same bytes for the same name: fixtures and benchmarks are repeatable. */
export function digest(name: string, bytes: number): Buffer {
  return createHash("sha256").update(name).digest().subarray(0, bytes);
}

const BASE_TIME = 1_790_000_000_000_000_000n;
const SERVICES = [
  "frontend",
  "orders",
  "payment",
  "inventory",
  "shipping",
  "search",
  "cart",
  "ads",
  "mail",
  "currency",
];

/** Log number `i` of an application: 25 attributes (20 strings, 5 integers), a body of 230 bytes; about 1.4 kB on the wire. */
export function applicationLog(i: number): LogInput {
  const attributes: [string, string | bigint][] = [];
  for (let a = 0; a < 20; a++)
    attributes.push([
      `app.attribute.name_${a}`,
      `v${a} of ${i % 97} ${digest(`${a}`, 8).toString("hex")}`,
    ]);
  for (let a = 0; a < 5; a++)
    attributes.push([`app.number.name_${a}`, BigInt((i * 7919 + a * 104_729) % 1_000_003)]);
  return {
    time: BASE_TIME + BigInt(i) * 1_234_567n,
    observed: BASE_TIME + BigInt(i) * 1_234_567n + 999n,
    severityNumber: 9,
    severityText: "INFO",
    body: `request ${i} handled by ${SERVICES[i % 10]} ${"x".repeat(200)}`.slice(0, 230),
    attributes,
    flags: 1,
    traceId: digest(`trace ${i}`, 16),
    spanId: digest(`span ${i}`, 8),
  };
}

/** Access record number `i` as Envoy's OpenTelemetry access logger sends it with the attributes that people configure. */
export function envoyLog(i: number): LogInput {
  const service = SERVICES[i % 10]!;
  const denied = i % 20 === 0;
  const attributes: Attributes = [
    ["start_time", new Date(Number(BASE_TIME / 1_000_000n) + i).toISOString()],
    ["method", i % 3 === 0 ? "POST" : "GET"],
    ["path", `/api/v1/${service}/${i % 1000}?page=${i % 10}&token=secret${i}`],
    ["protocol", "HTTP/2"],
    ["response_code", denied ? "403" : "200"],
    ["response_flags", "-"],
    [
      "response_code_details",
      denied
        ? "rbac_access_denied_matched_policy[ns[shop]-policy[deny-all]-rule[0]]"
        : "via_upstream",
    ],
    ["bytes_received", String(i % 5000)],
    ["bytes_sent", String((i * 17) % 50_000)],
    ["duration", String(i % 300)],
    ["upstream_service_time", denied ? "-" : String(i % 290)],
    ["x_forwarded_for", `10.1.${i % 250}.7`],
    ["user_agent", "Mozilla/5.0 (X11; Linux x86_64) shop-client/4.2"],
    [
      "request_id",
      `785918d6-06b6-9312-${digest(`r${i}`, 2).toString("hex")}-${digest(`q${i}`, 6).toString("hex")}`,
    ],
    ["authority", `${service}.shop.svc.cluster.local`],
    ["upstream_host", denied ? "-" : `10.2.3.${i % 250}:8080`],
    ["upstream_cluster", "inbound|8080||"],
    ["upstream_local_address", "127.0.0.6:43215"],
    ["downstream_local_address", "10.2.3.4:8080"],
    ["downstream_remote_address", `10.1.2.${i % 250}:${30_000 + (i % 30_000)}`],
    ["requested_server_name", `outbound_.8080_._.${service}.shop.svc.cluster.local`],
    ["route_name", "default"],
    ["downstream_peer_uri_san", `spiffe://cluster.local/ns/shop/sa/${SERVICES[(i + 1) % 10]}`],
    ["downstream_local_uri_san", `spiffe://cluster.local/ns/shop/sa/${service}`],
    ["connection_id", String(100_000 + i)],
  ];
  return {
    time: BASE_TIME + BigInt(i) * 1_000_000n,
    attributes,
    traceId: digest(`trace ${i}`, 16),
    spanId: digest(`span ${i}`, 8),
  };
}

export function spanInput(i: number): SpanInput {
  const attributes: [string, string | bigint][] = [];
  for (let a = 0; a < 16; a++)
    attributes.push([`http.attribute.name_${a}`, `value ${a} ${i % 97}`]);
  for (let a = 0; a < 4; a++)
    attributes.push([`http.number.name_${a}`, BigInt((i * 31 + a) % 100_000)]);
  const start = BASE_TIME + BigInt(i) * 1_000_000n;
  return {
    traceId: digest(`trace ${i}`, 16),
    spanId: digest(`span ${i}`, 8),
    parentSpanId: digest(`parent ${i}`, 8),
    name: `GET /api/${SERVICES[i % 10]}`,
    kind: 2 + (i % 2),
    start,
    end: start + BigInt((i % 500) * 1_000_003),
    attributes,
    events:
      i % 3 === 0
        ? [{ time: start + 5n, name: "exception", attributes: [["exception.type", "Timeout"]] }]
        : [],
    status: i % 11 === 0 ? { code: 2, message: "upstream timed out" } : { code: 1 },
    flags: 0x101,
  };
}

function resourceOf(n: number): Attributes {
  return [
    ["service.name", SERVICES[n % 10]!],
    ["service.namespace", "shop"],
    ["k8s.namespace.name", "shop"],
    ["k8s.pod.name", `${SERVICES[n % 10]}-7d9c5b8f6-${digest(`pod${n}`, 3).toString("hex")}`],
    ["k8s.node.name", `node-${n % 5}`],
    ["host.name", `host-${n % 5}`],
    ["deployment.environment.name", "production"],
  ];
}

const ENVOY_RESOURCE: Attributes = [
  ["log_name", "otel_envoy_accesslog"],
  ["zone_name", "eu-1a"],
  ["cluster_name", "orders.shop"],
  ["node_name", "sidecar~10.2.3.4~orders-7d9c5b8f6-x2x4z.shop~shop.svc.cluster.local"],
];

/** A request of `count` application logs over ten resources. */
export function applicationBody(count: number, first = 0): Buffer {
  return writeLogs(tenResources(count, first, applicationLog));
}

/** A request of `count` Envoy access logs of one proxy. */
export function envoyBody(count: number, first = 0): Buffer {
  const records = Array.from({ length: count }, (_, i) => envoyLog(first + i));
  return writeLogs([{ resource: ENVOY_RESOURCE, scopes: [{ records }] }]);
}

/** A request of `count` spans over ten resources. */
export function spanBody(count: number, first = 0): Buffer {
  return writeTraces(tenResources(count, first, spanInput));
}

function tenResources<T>(
  count: number,
  first: number,
  make: (i: number) => T,
): { resource: Attributes; scopes: { name: string; version: string; records: T[] }[] }[] {
  return Array.from({ length: 10 }, (_, n) => ({
    resource: resourceOf(n),
    scopes: [
      {
        name: "shop",
        version: "1.4.0",
        records: Array.from({ length: Math.ceil((count - n) / 10) }, (_unused, j) =>
          make(first + n + j * 10),
        ),
      },
    ],
  })).filter((batch) => batch.scopes[0]!.records.length > 0);
}
