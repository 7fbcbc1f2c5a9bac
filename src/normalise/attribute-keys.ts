import { FIELD, type FieldName } from "./fields.ts";

/**
 * How much a key says that Envoy's access logger configured it: `sure` names belong to Envoy alone, `likely` ones are Envoy's words
 * that other proxies use too, `plain` ones say nothing (any application may log them). `matches` of the dialects add the weights up.
 */
export const WEIGHTS = { plain: 0, likely: 1, sure: 2 } as const;

export interface KnownKey {
  readonly field: number;
  readonly weight: number;
}

type Keys = { readonly [weight in keyof typeof WEIGHTS]?: readonly string[] };

/**
 * The keys that people give to each field. They are compared in canonical form (see `canonicalKey`), so `request_id`, `request.id`,
 * `requestId` and `REQUEST_ID` are one. Names of headers stand without the ways to say that they are headers.
 *
 * Sources: Istio's JSON format (pilot/pkg/model/telemetry_logging.go), Envoy Gateway's JSON format (accesslog.go), Envoy's operators,
 * OpenTelemetry semantic conventions 1.30 (HTTP, network, client, server, TLS, URL, user agent, RPC), Istio's attribute vocabulary.
 */
export const KEYS: { readonly [field in FieldName]: Keys } = {
  start_time: { plain: ["start_time", "timestamp", "@timestamp", "time", "request_start_time"] },
  end_time: {},
  duration: { plain: ["duration", "duration_ms", "total_duration", "total_duration_ms"] },
  duration_us: { plain: ["duration_us", "duration_micros"] },
  duration_ns: { plain: ["duration_ns", "duration_nanos", "event.duration"] },
  duration_seconds: {
    plain: [
      "duration_seconds",
      "duration_s",
      "http.server.request.duration",
      "http.request.duration",
    ],
  },
  upstream_service_time: {
    likely: [
      "upstream_service_time",
      "upstream_service_time_ms",
      "x-envoy-upstream-service-time",
      "resp(x-envoy-upstream-service-time)",
      "http.response.header.x-envoy-upstream-service-time",
    ],
  },
  upstream_duration_ns: {},
  upstream_response_time: { plain: ["upstream_response_time"] },
  access_log_type: { likely: ["access_log_type"] },
  request_id: { plain: ["request_id", "x-request-id", "guid:x-request-id"] },
  traceparent: { plain: ["traceparent"] },
  b3: { plain: ["b3"] },
  x_b3_traceid: { plain: ["x-b3-traceid", "b3_traceid"] },
  x_b3_spanid: { plain: ["x-b3-spanid", "b3_spanid"] },
  x_b3_parentspanid: { plain: ["x-b3-parentspanid", "b3_parentspanid"] },
  x_b3_sampled: { plain: ["x-b3-sampled", "b3_sampled"] },
  x_b3_flags: { plain: ["x-b3-flags", "b3_flags"] },
  trace_id: { plain: ["trace_id"] },
  span_id: { plain: ["span_id"] },
  parent_span_id: { plain: ["parent_span_id"] },
  trace_flags: { plain: ["trace_flags"] },
  datadog_trace_id: { plain: ["x-datadog-trace-id", "dd.trace_id", "datadog.trace_id"] },
  datadog_parent_id: {
    plain: ["x-datadog-parent-id", "dd.span_id", "datadog.span_id", "datadog.parent_id"],
  },
  datadog_sampling_priority: {
    plain: ["x-datadog-sampling-priority", "datadog.sampling_priority"],
  },
  datadog_tags: { plain: ["x-datadog-tags", "datadog.tags"] },
  b3_or_datadog_trace_id: {
    plain: ["b3_or_datadog_trace_id", "req(x-b3-traceid?x-datadog-traceid)"],
  },
  x_amzn_trace_id: { plain: ["x-amzn-trace-id", "aws.xray.trace_id", "xray_trace_id"] },
  x_cloud_trace_context: { plain: ["x-cloud-trace-context"] },
  uber_trace_id: { plain: ["uber-trace-id"] },
  sw8: { plain: ["sw8"] },
  request_principal: {
    likely: [
      "request_principal",
      "request.auth.principal",
      "request_auth_principal",
      "istio_authn:request.auth.principal",
      "dynamic_metadata(istio_authn:request.auth.principal)",
    ],
    plain: ["jwt_principal"],
  },
  jwt_subject: {
    plain: [
      "jwt_sub",
      "jwt_subject",
      "jwt.claims.sub",
      "jwt_claim_sub",
      "jwt_payload.sub",
      "request.auth.claims.sub",
      "request.auth.claims[sub]",
    ],
  },
  jwt_issuer: {
    plain: [
      "jwt_iss",
      "jwt_issuer",
      "jwt.claims.iss",
      "jwt_claim_iss",
      "jwt_payload.iss",
      "request.auth.claims.iss",
      "request.auth.claims[iss]",
    ],
  },
  jwt_client: {
    plain: [
      "jwt_azp",
      "jwt_client_id",
      "jwt.claims.azp",
      "jwt.claims.client_id",
      "jwt_payload.azp",
      "jwt_payload.client_id",
      "request.auth.claims.azp",
      "request.auth.claims[azp]",
      "request.auth.presenter",
      "istio_authn:request.auth.presenter",
    ],
  },
  jwt_email: {
    plain: [
      "jwt_email",
      "jwt.claims.email",
      "jwt_payload.email",
      "request.auth.claims.email",
      "request.auth.claims[email]",
    ],
  },
  jwt_payload: { plain: ["jwt_payload", "jwt_claims", "jwt.payload"] },
  basic_auth_user: {
    plain: [
      "basic_auth_user",
      "envoy.filters.http.basic_auth:username",
      "dynamic_metadata(envoy.filters.http.basic_auth:username)",
    ],
  },
  end_user: { plain: ["authenticated_user"] },
  end_user_issuer: { plain: ["authenticated_user_issuer"] },
  remote_user: { plain: ["remote_user"] },
  claimed_user: {
    plain: [
      "x-forwarded-user",
      "x-remote-user",
      "x-auth-request-user",
      "x-auth-request-email",
      "x-forwarded-email",
      "enduser.id",
    ],
  },
  downstream_peer_uri_san: { sure: ["downstream_peer_uri_san"] },
  peer_principal: {
    likely: [
      "io.istio.peer_principal",
      "filter_state(io.istio.peer_principal)",
      "filter_state(io.istio.peer_principal:plain)",
      "peer_principal",
      "source_principal",
    ],
  },
  downstream_peer_dns_san: { sure: ["downstream_peer_dns_san"] },
  downstream_peer_subject: { likely: ["downstream_peer_subject"], plain: ["tls.client.subject"] },
  downstream_peer_fingerprint_256: {
    likely: ["downstream_peer_fingerprint_256", "downstream_peer_fingerprint"],
    plain: ["tls.client.hash.sha256"],
  },
  x_forwarded_client_cert: { likely: ["x-forwarded-client-cert", "xfcc", "forwarded_client_cert"] },
  source_workload: {
    likely: [
      "source_workload",
      "downstream_peer.workload",
      "cel(filter_state.downstream_peer.workload)",
    ],
  },
  source_namespace: {
    likely: [
      "source_namespace",
      "source_workload_namespace",
      "downstream_peer.namespace",
      "cel(filter_state.downstream_peer.namespace)",
    ],
  },
  source_service_account: { likely: ["source_service_account"] },
  downstream_remote_address: { likely: ["downstream_remote_address"] },
  client_address: {
    likely: ["downstream_remote_address_without_port", "downstream_remote_host"],
    plain: [
      "client.address",
      "client_ip",
      "source.address",
      "source_ip",
      "network.peer.address",
      "net.peer.ip",
      "net.sock.peer.addr",
      "remote_address",
      "peer.address",
      "downstream_host",
    ],
  },
  client_port: {
    likely: ["downstream_remote_port"],
    plain: [
      "client.port",
      "source.port",
      "network.peer.port",
      "net.peer.port",
      "net.sock.peer.port",
    ],
  },
  downstream_direct_remote_address: {
    sure: ["downstream_direct_remote_address", "downstream_direct_remote_address_without_port"],
  },
  x_forwarded_for: { plain: ["x-forwarded-for", "forwarded_for"] },
  downstream_tls_version: {
    likely: ["downstream_tls_version"],
    plain: ["tls.protocol.version", "tls_version"],
  },
  downstream_tls_cipher: { likely: ["downstream_tls_cipher"], plain: ["tls.cipher", "tls_cipher"] },
  requested_server_name: {
    likely: ["requested_server_name"],
    plain: ["sni", "tls.client.server_name", "tls.server_name", "tls.sni"],
  },
  user_agent: { plain: ["user_agent", "user_agent.original", "http.user_agent"] },
  downstream_transport_failure_reason: { sure: ["downstream_transport_failure_reason"] },
  source_pod: {},
  source_labels: {},
  source_service: {},
  source_cluster: {},
  destination_pod: {},
  destination_labels: {},
  actor_id: {},
  actor_type: {},
  resolved_user: {},
  caller_uri_san: {},
  caller_names: {},
  is_reply: {},
  event_type: {},
  action: {},
  target_id: {},
  reason_code: {},
  policy_namespace: {},
  denying_policy: {},
  denying_policy_namespace: {},
  direction: { plain: ["direction", "traffic_direction", "listener_direction"] },
  downstream_local_uri_san: { sure: ["downstream_local_uri_san"] },
  upstream_local_uri_san: { sure: ["upstream_local_uri_san"] },
  destination_principal: { likely: ["destination_principal"] },
  destination_workload: { likely: ["destination_workload"] },
  destination_namespace: { likely: ["destination_namespace", "destination_workload_namespace"] },
  destination_service_account: { likely: ["destination_service_account"] },
  destination_cluster: {},
  destination_service: {
    likely: ["destination_service", "destination_service_host", "destination_service_name"],
  },
  downstream_local_address: { likely: ["downstream_local_address"] },
  server_address: {
    likely: ["downstream_local_address_without_port"],
    plain: [
      "server.address",
      "network.local.address",
      "destination.address",
      "destination_ip",
      "net.host.name",
      "net.host.ip",
    ],
  },
  server_port: {
    likely: ["downstream_local_port"],
    plain: ["server.port", "network.local.port", "destination.port", "net.host.port"],
  },
  upstream_cluster: {
    likely: [
      "upstream_cluster",
      "upstream_cluster_raw",
      "upstream_cluster_name",
      "upstream_cluster.name",
    ],
  },
  upstream_host: { likely: ["upstream_host", "upstream_address", "upstream_remote_address"] },
  upstream_addr: { plain: ["upstream_addr"] },
  upstream_local_address: { likely: ["upstream_local_address"] },
  route_name: { likely: ["route_name"] },
  virtual_cluster_name: { sure: ["virtual_cluster_name"] },
  request_line: {},
  protocol: { plain: ["protocol", "network.protocol.name", "http.protocol", "request_protocol"] },
  protocol_version: { plain: ["network.protocol.version", "http.flavor"] },
  application_protocol: {},
  method: { plain: ["method", ":method", "http.request.method", "http.method", "request_method"] },
  authority: {
    plain: ["authority", ":authority", "host", "http.host", "request_authority", "request_host"],
  },
  path: {
    plain: [
      "path",
      ":path",
      "url.path",
      "http.target",
      "request_path",
      "uri",
      "request_uri",
      "http.path",
      "req(x-envoy-original-path?:path)",
    ],
  },
  original_path: {
    likely: ["x-envoy-original-path", "x-envoy-origin-path"],
    plain: ["original_path"],
  },
  url: { plain: ["url", "url.full", "http.url", "request_url"] },
  query: { plain: ["url.query", "query", "query_string"] },
  content_type: { plain: ["content-type", "request_content_type"] },
  rpc_system: { plain: ["rpc.system", "rpc.system.name"] },
  rpc_service: { plain: ["rpc.service"] },
  rpc_method: { plain: ["rpc.method"] },
  enforced_engine_result: {},
  enforced_effective_policy_id: {},
  shadow_engine_result: {},
  shadow_effective_policy_id: {},
  deny_shadow_engine_result: {},
  deny_shadow_effective_policy_id: {},
  verdict: {},
  reason: {},
  policy: {},
  engine: {},
  response_source: {},
  response_code: {
    plain: [
      "response_code",
      "http.response.status_code",
      "http.status_code",
      "status_code",
      "response_status",
    ],
  },
  upstream_status: { plain: ["upstream_status"] },
  response_code_details: { sure: ["response_code_details"] },
  connection_termination_details: { sure: ["connection_termination_details"] },
  response_flags: { sure: ["response_flags"] },
  response_flags_long: { sure: ["response_flags_long"] },
  grpc_status: {
    plain: [
      "grpc_status",
      "grpc_status_number",
      "grpc_status_code",
      "grpc-status",
      "rpc.grpc.status_code",
      "resp(grpc-status)",
      "trailer(grpc-status)",
    ],
  },
  bytes_received: {
    plain: ["bytes_received", "http.request.body.size", "request_size", "http.request.size"],
  },
  bytes_sent: {
    plain: ["bytes_sent", "http.response.body.size", "response_size", "http.response.size"],
  },
  upstream_transport_failure_reason: { sure: ["upstream_transport_failure_reason"] },
  error: {},
  level: {},
  message: {},
  connection_id: { plain: ["connection_id"] },
  attempts: { likely: ["upstream_request_attempt_count", "x-envoy-attempt-count"] },
  retries: {},
  cluster_name: {},
  mesh_id: { plain: ["mesh_id", "istio.mesh_id"] },
  node_id: { plain: ["node_id", "node.id"] },
  namespace: { plain: ["k8s.namespace.name", "kubernetes.namespace_name", "kubernetes.namespace"] },
  pod: { plain: ["k8s.pod.name", "kubernetes.pod_name", "kubernetes.pod.name"] },
};

/**
 * Dynamic metadata of the RBAC and JWT filters, in canonical form. The prefix is the user's (`shadow_rules_stat_prefix`; Istio's dry run
 * writes one pair for allow and one for deny policies), so only the ends are known.
 */
const METADATA_ENDS: readonly (readonly [RegExp, FieldName])[] = [
  [/dryrundeny.*shadowengineresult$/, "deny_shadow_engine_result"],
  [/dryrundeny.*shadoweffectivepolicyid$/, "deny_shadow_effective_policy_id"],
  [/shadowengineresult$/, "shadow_engine_result"],
  [/shadoweffectivepolicyid$/, "shadow_effective_policy_id"],
  [/enforcedengineresult$/, "enforced_engine_result"],
  [/enforcedeffectivepolicyid$/, "enforced_effective_policy_id"],
  [/envoyfiltershttpjwtauthn:[^:]+$/, "jwt_payload"],
];

/**
 * A claim in the JWT filter's metadata, under the key that the configuration gave the payload: a path of Envoy's operator (`envoy.filters.http.jwt_authn:payload:sub`) or
 * members of members (`jwt_authn.payload.sub`). In `act` stands who acts for the subject, not the subject (RFC 8693).
 */
const CLAIM = /jwt_authn[)%]*[.:].+(?<![.:]act)[.:](sub|iss|azp|client_id|email)[)%]*$/i;
const CLAIMS: Readonly<Record<string, FieldName>> = {
  sub: "jwt_subject",
  iss: "jwt_issuer",
  azp: "jwt_client",
  client_id: "jwt_client",
  email: "jwt_email",
};
/** How a filter's metadata is called where a proxy logs it. The same names within other names are what somebody told a policy engine, or logged of such a record. */
const OF_FILTER = /^%?(?:dynamic_metadata[(.]|envoy\.filters\.)/i;

const KNOWN: ReadonlyMap<string, KnownKey> = new Map(
  Object.entries(KEYS).flatMap(([name, keys]) =>
    Object.entries(keys).flatMap(([weight, list]) =>
      list.map(
        (key) =>
          [
            canonicalKey(key),
            { field: FIELD[name as FieldName], weight: WEIGHTS[weight as keyof typeof WEIGHTS] },
          ] as const,
      ),
    ),
  ),
);

/** `key` in lower case, without the percent signs of an operator and without `_`, `-`, `.` and blanks. */
export function canonicalKey(key: string): string {
  return key.toLowerCase().replace(/[%_\-. ]/g, "");
}

/**
 * Headers of a request that say something. A client writes them, so a header says only what a header of that name does, and never what a proxy found out:
 * one that is called like a field (`source_principal`, `path`) is none.
 */
export const HEADER_NAMES: readonly string[] = [
  "x-request-id",
  "traceparent",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
  "x-datadog-trace-id",
  "x-datadog-parent-id",
  "x-datadog-sampling-priority",
  "x-datadog-tags",
  "x-amzn-trace-id",
  "x-cloud-trace-context",
  "uber-trace-id",
  "sw8",
  "x-forwarded-client-cert",
  "x-forwarded-for",
  "x-forwarded-user",
  "x-forwarded-email",
  "x-remote-user",
  "x-auth-request-user",
  "x-auth-request-email",
  "x-envoy-original-path",
  "x-envoy-origin-path",
  "x-envoy-attempt-count",
  "user-agent",
  "content-type",
  "host",
  ":authority",
  ":method",
  ":path",
];
const HEADERS: ReadonlyMap<string, KnownKey> = new Map(
  HEADER_NAMES.map((name) => [name, KNOWN.get(canonicalKey(name))!] as const),
);

/** Longer keys, in characters, are nobody's: a sender may make them as long as it likes, and the expressions below take the square of it. */
const MAX_KEY = 256;

/** `REQ(X?Y)`, Envoy's operator: the first header that is there. */
const OPERATOR = /^%?req(?:_without_query)?\((.+)\)%?$/;
/** `http.request.header.x`, `request_headers.x`, `request.headers['x']`. */
const HEADER_KEY = /^(?:http[._-]?)?req(?:uest)?[._-]?headers?[._:[(-]['"]?(.+?)['"]?[\])]?$/;
/** Any other header, such as one of the response, which the application writes: `RESP(X)`, `http.response.header.x`. */
const OTHER_HEADER = /header|^%?(?:resp|trailer)\(/;

/**
 * The field that an attribute of this name holds, or undefined.
 * Headers may be named bare, as Envoy's operator `REQ(X?Y)` (the first name that is known counts) or as `http.request.header.x`.
 */
export function findKey(key: string): KnownKey | undefined {
  if (key.length > MAX_KEY) return undefined;
  const canonical = canonicalKey(key);
  const known = KNOWN.get(canonical);
  if (known !== undefined) return known;
  if (canonical.startsWith("starttime("))
    return { field: FIELD.start_time, weight: WEIGHTS.likely };
  const lower = key.toLowerCase();
  const header = OPERATOR.exec(lower) ?? HEADER_KEY.exec(lower);
  if (header !== null)
    return header[1]!
      .split("?")
      .map(headerKey)
      .find((found) => found !== undefined);
  if (OTHER_HEADER.test(lower)) return undefined;
  const weight = OF_FILTER.test(key) ? WEIGHTS.likely : WEIGHTS.plain;
  const claim = findClaim(key);
  if (claim !== undefined) return { field: claim, weight };
  const metadata = /^(?:dynamicmetadata\()?(.+?)\)?$/.exec(canonical)?.[1] ?? canonical;
  for (const [end, name] of METADATA_ENDS)
    if (end.test(metadata)) return { field: FIELD[name], weight };
  return undefined;
}

/** The field that a claim in the JWT filter's metadata holds, or undefined for any other key. */
export function findClaim(key: string): number | undefined {
  const claim = key.length > MAX_KEY ? undefined : CLAIM.exec(key)?.[1];
  return claim === undefined ? undefined : FIELD[CLAIMS[claim.toLowerCase()]!];
}

/** The field that a header of the request holds, or undefined. */
export function findHeader(name: string): number | undefined {
  return headerKey(name.toLowerCase())?.field;
}

/** Older semantic conventions write underscores for dashes. */
function headerKey(lower: string): KnownKey | undefined {
  return HEADERS.get(lower.replaceAll("_", "-"));
}
