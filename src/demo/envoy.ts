import type { Reply } from "./calls.ts";
import { hostOf, identityOf, ISSUER, nodeOf, PORT, type Workload } from "./mesh.ts";
import type { Attributes, Source, Verdict } from "./plan.ts";

/** What Envoy writes about a request: access log and span, with the keys and words of Istio's formats. */

/** One request as one proxy saw it. */
export interface Seen {
  readonly proxy: Workload;
  readonly side: "gateway" | "inbound" | "outbound";
  /** Whom the proxy sends the request to; its own application where it comes in. */
  readonly upstream: Workload;
  /** The workload that connected, by its certificate; null from outside and from the application beside the proxy. */
  readonly peer: Workload | null;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly startNs: bigint;
  readonly durationNs: bigint;
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly forwardedFor: string;
  readonly userAgent: string;
  readonly user: string | null;
  readonly requestId: string;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly attempts: number;
  /** As this proxy saw it: what comes from another proxy is `via_upstream` like an application's answer. */
  readonly reply: Reply;
  readonly shadowPolicy: readonly [namespace: string, name: string, rule: number] | undefined;
}

const ABSENT = "-";
const RBAC = "envoy.filters.http.rbac";
const NS_PER_MS = 1_000_000n;

/** The resource of a proxy's access records: Envoy's built-in labels, or nothing, as Istio has it by default. */
export function accessSource(proxy: Workload): Source {
  const labels = {
    log_name: "otel_envoy_accesslog",
    zone_name: "eu-central-1a",
    cluster_name: `${proxy.name}.${proxy.namespace}`,
    node_name: nodeOf(proxy),
  };
  return { resource: proxy.logs === "text" ? {} : labels, scope: { name: "" } };
}

/** The resource of a proxy's spans. */
export function spanSource(proxy: Workload): Source {
  return {
    resource: {
      "service.name": `${proxy.name}.${proxy.namespace}`,
      "telemetry.sdk.language": "cpp",
      "telemetry.sdk.name": "envoy",
    },
    scope: { name: "envoy" },
  };
}

/** The attributes of an access record, by the names of Envoy's operators. */
export function accessAttributes(seen: Seen): Attributes {
  const { proxy, side, reply, peer } = seen;
  const isInbound = side === "inbound";
  const isAnswered = reply.by === "application";
  return {
    start_time: new Date(Number(seen.startNs / NS_PER_MS)).toISOString(),
    route_name: "default",
    method: seen.method,
    path: seen.path,
    protocol: side === "gateway" ? "HTTP/2" : "HTTP/1.1",
    response_code: String(reply.status),
    response_flags: reply.flags ?? ABSENT,
    response_code_details: detailsOf(reply),
    connection_termination_details: ABSENT,
    bytes_received: String(seen.requestBytes),
    bytes_sent: String(seen.responseBytes),
    duration: milliseconds(seen.durationNs),
    upstream_service_time: isAnswered ? milliseconds(seen.durationNs) : ABSENT,
    x_forwarded_for: seen.forwardedFor,
    user_agent: seen.userAgent,
    request_id: seen.requestId,
    authority: seen.authority,
    upstream_host: isAnswered ? `${seen.upstream.address}:${PORT}` : ABSENT,
    upstream_cluster: clusterOf(seen),
    upstream_local_address: localAddressOf(seen),
    downstream_local_address: `${isInbound || side === "gateway" ? proxy.address : seen.upstream.address}:${PORT}`,
    downstream_remote_address: `${seen.peerAddress}:${seen.peerPort}`,
    requested_server_name: serverNameOf(seen),
    upstream_transport_failure_reason: reply.failure ?? ABSENT,
    ...(seen.attempts > 1 ? { upstream_request_attempt_count: String(seen.attempts) } : {}),
    ...(peer === null
      ? {}
      : {
          downstream_peer_uri_san: identityOf(peer),
          downstream_local_uri_san: identityOf(proxy),
          downstream_tls_version: "TLSv1.3",
          downstream_tls_cipher: "TLS_AES_256_GCM_SHA384",
        }),
    ...(side === "outbound" ? { upstream_local_uri_san: identityOf(proxy) } : {}),
    ...(seen.user === null || side === "outbound"
      ? {}
      : { "istio_authn:request.auth.principal": `${ISSUER}/${seen.user}` }),
    ...(seen.shadowPolicy === undefined
      ? {}
      : {
          [`${RBAC}:istio_dry_run_allow_shadow_engine_result`]: "denied",
          [`${RBAC}:istio_dry_run_allow_shadow_effective_policy_id`]: policyId(seen.shadowPolicy),
        }),
  };
}

/**
 * An access record as Istio's default text line.
 * Source: istio, pilot/pkg/model/telemetry_logging.go, EnvoyTextLogFormat.
 */
export function istioLine(seen: Seen): string {
  const field = accessAttributes(seen) as Readonly<Record<string, string>>;
  const quoted = (name: string): string => `"${field[name]}"`;
  return `${[
    `[${field["start_time"]}]`,
    `"${field["method"]} ${field["path"]} ${field["protocol"]}"`,
    field["response_code"],
    field["response_flags"],
    field["response_code_details"],
    field["connection_termination_details"],
    quoted("upstream_transport_failure_reason"),
    field["bytes_received"],
    field["bytes_sent"],
    field["duration"],
    field["upstream_service_time"],
    quoted("x_forwarded_for"),
    quoted("user_agent"),
    quoted("request_id"),
    quoted("authority"),
    quoted("upstream_host"),
    field["upstream_cluster"],
    field["upstream_local_address"],
    field["downstream_local_address"],
    field["downstream_remote_address"],
    field["requested_server_name"],
    field["route_name"],
  ].join(" ")}\n`;
}

/**
 * The attributes of a proxy's span; Envoy writes all of them as text.
 * Source: envoy, source/common/tracing/http_tracer_impl.cc; Istio adds those that begin with its name.
 */
export function proxySpanAttributes(seen: Seen): Attributes {
  const { proxy, reply } = seen;
  return {
    component: "proxy",
    node_id: nodeOf(proxy),
    "guid:x-request-id": seen.requestId,
    "http.url": `${seen.side === "gateway" ? "https" : "http"}://${seen.authority}${seen.path}`,
    "http.method": seen.method,
    "http.protocol": seen.side === "gateway" ? "HTTP/2" : "HTTP/1.1",
    "http.status_code": String(reply.status),
    user_agent: seen.userAgent,
    "peer.address": seen.peerAddress,
    request_size: String(seen.requestBytes),
    response_size: String(seen.responseBytes),
    response_flags: reply.flags ?? ABSENT,
    upstream_cluster: clusterOf(seen),
    "istio.canonical_service": proxy.name,
    "istio.namespace": proxy.namespace,
    "istio.mesh_id": "shop",
    ...(reply.status >= 500 ? { error: "true" } : {}),
  };
}

/** The decision that stands in such an access record. */
export function verdictOf({ by, status, flags, details, policy }: Reply): Verdict {
  const none = { engine: "", policy: "" };
  if (by === "application")
    return {
      ...none,
      decision: "allowed",
      engine: status === 401 || status === 403 ? "app" : "",
    };
  if (details?.startsWith("rbac") === true || policy !== undefined)
    return {
      decision: "denied",
      engine: "rbac",
      policy: policy === undefined ? "" : `${policy[0]}/${policy[1]}#${policy[2]}`,
    };
  if (flags === "UAEX") return { ...none, decision: "denied", engine: "ext_authz" };
  if (flags === "RL") return { ...none, decision: "denied", engine: "rate_limit" };
  if (details?.startsWith("jwt") === true) return { ...none, decision: "denied", engine: "jwt" };
  return { ...none, decision: "failed" };
}

function detailsOf({ by, details, policy }: Reply): string {
  if (policy !== undefined) return `rbac_access_denied_matched_policy[${policyId(policy)}]`;
  return details ?? (by === "application" ? "via_upstream" : ABSENT);
}

function policyId([namespace, name, rule]: readonly [string, string, number]): string {
  return `ns[${namespace}]-policy[${name}]-rule[${rule}]`;
}

function clusterOf({ side, upstream, reply }: Seen): string {
  if (reply.flags === "NR") return ABSENT;
  return side === "inbound" ? `inbound|${PORT}||` : `outbound|${PORT}||${hostOf(upstream)}`;
}

function localAddressOf({ side, proxy, peerPort, reply }: Seen): string {
  if (reply.by !== "application") return ABSENT;
  // Istio connects to the application from 127.0.0.6.
  return `${side === "inbound" ? "127.0.0.6" : proxy.address}:${peerPort}`;
}

function serverNameOf({ side, proxy, peer, authority }: Seen): string {
  if (side === "gateway") return authority;
  return peer === null ? ABSENT : `outbound_.${PORT}_._.${hostOf(proxy)}`;
}

function milliseconds(durationNs: bigint): string {
  return String(durationNs / NS_PER_MS);
}
