import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { ServerProcess } from "../../support/server-process.ts";
import { waitForCount } from "../../support/stored-rows.ts";
import type { LaneContext } from "../lane.ts";
import type { ShippedCollector } from "./shipped.ts";

/** Lines of a file in each of the parts that it is written in. */
const PART = 150;
const JSON_LINES = 200;
const ENVOY_LINES = 50;
/** Longer than 16 KiB, at which container runtimes break lines. */
const LONG_PATH = `/files/${"long-".repeat(4000)}end`;
const CRI_BREAK = 16_384;

const ISTIO_POD = { namespace: "shop", name: "orders-7d9c5b8f6-x2x4z", workload: "orders" };
const JSON_POD = { namespace: "bank", name: "ledger-5f6d7c8b9-k8k2p", workload: "ledger" };
type Pod = typeof ISTIO_POD & { readonly container?: string };

/** A request as both formats of Istio write it. */
interface Request {
  readonly id: string;
  readonly time: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly details: string;
  readonly peer: string;
  readonly bytes: number;
}

function requestOf(pod: Pod, n: number, path = `/items/${n}`): Request {
  const isDenied = n % 10 === 0;
  return {
    id: `${pod.namespace}-${String(n).padStart(6, "0")}`,
    time: new Date(Date.UTC(2026, 10, 30, 6, 10, 28) + n * 1001).toISOString(),
    method: n % 3 === 0 ? "POST" : "GET",
    path,
    status: isDenied ? 403 : 200,
    details: isDenied
      ? `rbac_access_denied_matched_policy[ns[${pod.namespace}]-policy[guests]-rule[${n % 4}]]`
      : "via_upstream",
    peer: `10.244.${n % 250}.9`,
    bytes: n * 7,
  };
}

/** Istio's default format. */
function istioLine({ time, method, path, status, details, bytes, id, peer }: Request): string {
  return `[${time}] "${method} ${path}?page=2 HTTP/1.1" ${status} - ${details} - "-" 0 ${bytes} 19 18 "-" "curl/8.4.0" "${id}" "orders:8080" "10.244.0.12:8080" inbound|8080|| 127.0.0.6:41925 10.244.0.12:8080 ${peer}:43210 outbound_.8080_._.orders.shop.svc.cluster.local default`;
}

/** Istio's format with `accessLogEncoding: JSON`. */
function jsonLine({ time, method, path, status, details, bytes, id, peer }: Request): string {
  return JSON.stringify({
    start_time: time,
    method,
    path: `${path}?page=2`,
    protocol: "HTTP/1.1",
    response_code: status,
    response_flags: "-",
    response_code_details: details,
    connection_termination_details: null,
    bytes_received: 0,
    bytes_sent: bytes,
    duration: 19,
    upstream_service_time: "18",
    x_forwarded_for: null,
    user_agent: "curl/8.4.0",
    request_id: id,
    authority: "orders:8080",
    upstream_host: "10.244.0.12:8080",
    upstream_cluster: "inbound|8080||",
    downstream_local_address: "10.244.0.12:8080",
    downstream_remote_address: `${peer}:43210`,
  });
}

/** Envoy's default format, without Istio. */
function envoyLine({ time, method, path, status, bytes, id }: Request): string {
  return `[${time}] "${method} ${path} HTTP/1.1" ${status} - 0 ${bytes} 19 18 "-" "curl/8.4.0" "${id}" "orders:8080" "10.244.0.12:8080"`;
}

/** The row of an access record, as far as it is compared. */
function rowOf(pod: Pod, dialect: string, request: Request): Record<string, unknown> {
  const isDenied = request.status === 403;
  return {
    RequestId: request.id,
    Timestamp: `${request.time.replace("T", " ").replace("Z", "")}000000`,
    Method: request.method,
    Path: request.path,
    Query: "page=2",
    StatusCode: request.status,
    Decision: isDenied ? "denied" : "allowed",
    Policy: isDenied ? `${pod.namespace}/guests#${Number(request.id.slice(-6)) % 4}` : "",
    DecisionReason: isDenied ? request.details : "",
    PeerAddress: `::ffff:${request.peer}`,
    ResponseBytes: String(request.bytes),
    DurationNs: "19000000",
    Dialect: dialect,
    ParseStatus: "full",
    Direction: "inbound",
    ProxyId: pod.name,
    LocalNamespace: pod.namespace,
    LocalWorkload: pod.workload,
  };
}

/** Files of containers, as the kubelet lays them out and containerd writes them. */
export class PodLogs {
  readonly #directory: string;
  #written = 0;

  constructor(directory: string) {
    this.#directory = join(directory, "var/log/pods");
  }

  /** For COLLECTOR_LOG_FILES: the shipped default below another root. */
  get glob(): string {
    return join(this.#directory, "*/{istio-proxy,proxy}/*.log");
  }

  pathOf(pod: Pod): string {
    return this.#fileOf(pod);
  }

  write(pod: Pod, lines: readonly string[]): void {
    mkdirSync(join(this.#fileOf(pod), ".."), { recursive: true });
    appendFileSync(this.#fileOf(pod), lines.map((line) => this.#wrapped(line)).join(""));
  }

  /** Renames the file, as the kubelet does when it is too large; the next line begins a new one. */
  rotate(pod: Pod): void {
    renameSync(this.#fileOf(pod), `${this.#fileOf(pod)}.20261130-061000`);
  }

  #fileOf({ namespace, name, container = "istio-proxy" }: Pod): string {
    const uid = `0c9f7a52-0000-4a4a-9f9f-${Buffer.from(namespace).toString("hex").padEnd(12, "0")}`;
    return join(this.#directory, `${namespace}_${name}_${uid}`, container, "0.log");
  }

  /** In the format of containerd: time, stream, P for a part of a line and F for its end. */
  #wrapped(line: string): string {
    let text = "";
    for (let start = 0; start < line.length; start += CRI_BREAK) {
      const nanos = String(this.#written++).padStart(9, "0");
      const tag = start + CRI_BREAK < line.length ? "P" : "F";
      text += `2026-11-30T06:30:00.${nanos}Z stdout ${tag} ${line.slice(start, start + CRI_BREAK)}\n`;
    }
    return text;
  }
}

/** Writes `count` lines from number `first` on, for what `checkPods` does not look at. */
export function furtherLines(logs: PodLogs, first: number, count: number): void {
  const numbers = Array.from({ length: count }, (_, i) => first + i);
  logs.write(
    ISTIO_POD,
    numbers.map((n) => istioLine(requestOf(ISTIO_POD, n))),
  );
}

export interface FurtherRows {
  readonly rows: number;
  /** Different lines among them. */
  readonly ids: number;
  /** Different places in files that they were read from. */
  readonly places: number;
}

/** Waits until `count` of the lines of `furtherLines` are stored, and counts what there is. */
export async function furtherRows(server: ServerProcess, count: number): Promise<FurtherRows> {
  const from = `FROM access_records WHERE startsWith(RequestId, '${ISTIO_POD.namespace}-')`;
  await waitForCount(server, `SELECT uniqExact(RequestId) ${from}`, count);
  const [row] = await server.query<FurtherRows>(
    `SELECT toUInt32(count()) AS rows, toUInt32(uniqExact(RequestId)) AS ids,
      toUInt32(uniqExact(LogAttributes['log.file.path'], LogAttributes['log.file.record_offset'])) AS places ${from}`,
  );
  return row!;
}

/** What proxies print, from files, through the receiver file_log. */
export async function checkPods(
  { check }: LaneContext,
  logs: PodLogs,
  collector: ShippedCollector,
  server: ServerProcess,
): Promise<void> {
  const istio = Array.from({ length: 3 * PART }, (_, n) => requestOf(ISTIO_POD, n));
  const json = Array.from({ length: JSON_LINES }, (_, n) => requestOf(JSON_POD, n));
  const stored = async (pod: Pod, expected: readonly Record<string, unknown>[]): Promise<void> => {
    const where = `startsWith(RequestId, '${pod.namespace}-') AND Dialect != ''`;
    const from = `FROM access_records WHERE ${where}`;
    await waitForCount(server, `SELECT count() ${from}`, expected.length);
    const columns = Object.keys(expected[0]!).join(", ");
    const rows = await server.query(`SELECT ${columns} ${from} ORDER BY RequestId`);
    assert.deepEqual(rows, expected);
  };

  await check("Istio's text lines become access records, each field in its column", async () => {
    const first = istio.slice(0, PART);
    logs.write(ISTIO_POD, first.map(istioLine));
    await stored(
      ISTIO_POD,
      first.map((request) => rowOf(ISTIO_POD, "istio_text", request)),
    );
    return `${PART} lines`;
  });
  await check("none is missing or doubled when the file is rotated while it grows", async () => {
    logs.write(ISTIO_POD, istio.slice(PART, 2 * PART).map(istioLine));
    logs.rotate(ISTIO_POD);
    logs.write(ISTIO_POD, istio.slice(2 * PART).map(istioLine));
    await stored(
      ISTIO_POD,
      istio.map((request) => rowOf(ISTIO_POD, "istio_text", request)),
    );
    return `${2 * PART} more lines`;
  });
  await check("a line that the container runtime broke into parts is one record", async () => {
    const long = requestOf(ISTIO_POD, 3 * PART, LONG_PATH);
    logs.write(ISTIO_POD, [istioLine(long)]);
    istio.push(long);
    await stored(
      ISTIO_POD,
      istio.map((request) => rowOf(ISTIO_POD, "istio_text", request)),
    );
    return `${istioLine(long).length} bytes`;
  });
  await check("Istio's JSON lines become access records, each field in its column", async () => {
    logs.write(JSON_POD, json.map(jsonLine));
    await stored(
      JSON_POD,
      json.map((request) => rowOf(JSON_POD, "istio_json", request)),
    );
    return `${JSON_LINES} lines`;
  });
  await check("each record says in which file and where in it the line stands", async () => {
    await collector.drained();
    const [row] = await server.query(
      `SELECT toUInt32(count()) AS rows, toUInt32(uniqExact(LogAttributes['log.file.record_offset'])) AS offsets,
        LogAttributes['log.file.path'] AS file, LogAttributes['log.iostream'] AS stream, ResourceAttributes['k8s.pod.name'] AS pod,
        ResourceAttributes['k8s.namespace.name'] AS namespace, ResourceAttributes['k8s.container.name'] AS container
       FROM access_records WHERE startsWith(RequestId, '${JSON_POD.namespace}-') GROUP BY ALL`,
    );
    assert.deepEqual(row, {
      rows: JSON_LINES,
      offsets: JSON_LINES,
      file: logs.pathOf(JSON_POD),
      stream: "stdout",
      pod: JSON_POD.name,
      namespace: JSON_POD.namespace,
      container: "istio-proxy",
    });
  });
  await check("lines in Envoy's own default format become access records", async () => {
    const lines = Array.from({ length: ENVOY_LINES }, (_, n) =>
      envoyLine({ ...requestOf(JSON_POD, n), id: `envoy-${n}` }),
    );
    logs.write(JSON_POD, lines);
    const from = "FROM access_records WHERE startsWith(RequestId, 'envoy-')";
    await waitForCount(server, `SELECT count() ${from}`, ENVOY_LINES);
    const rows = await server.query(`SELECT DISTINCT Dialect, ParseStatus, Body ${from}`);
    assert.deepEqual(rows, [{ Dialect: "envoy_text", ParseStatus: "full", Body: "" }]);
    return `${ENVOY_LINES} lines`;
  });
}
