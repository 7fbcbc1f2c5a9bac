import { VALUE_TYPES } from "../records/attributes.ts";

/**
 * What an access record can say, in the words of Envoy's access log operators (snake case, as in Istio's JSON format).
 * A dialect says which bytes are which field; the rest of this folder says what a field means for the columns.
 * Numbers are positions in this list; 0 stands for no field. What the fields of identity and of trace context stand for, and which outranks
 * which, is in docs/access-records.md.
 * Source: Envoy, configuration/observability/access_log/usage, "Command operators".
 */
export const FIELD_NAMES = [
  "",
  // when
  "start_time",
  "end_time",
  "duration",
  "duration_us",
  "duration_ns",
  "duration_seconds",
  "upstream_service_time",
  "upstream_duration_ns",
  "upstream_response_time",
  "access_log_type",
  // trace
  "request_id",
  "traceparent",
  "b3",
  "x_b3_traceid",
  "x_b3_spanid",
  "x_b3_parentspanid",
  "x_b3_sampled",
  "x_b3_flags",
  "trace_id",
  "span_id",
  "parent_span_id",
  "trace_flags",
  "datadog_trace_id",
  "datadog_parent_id",
  "datadog_sampling_priority",
  "datadog_tags",
  "b3_or_datadog_trace_id",
  "x_amzn_trace_id",
  "x_cloud_trace_context",
  "uber_trace_id",
  "sw8",
  // who: the user of a verified token, of a password that the proxy checked (basic_auth_user), whom a policy engine names (end_user), whom a header
  // names (remote_user of Authorization, claimed_user of any other); then the peer, by what the handshake proved, by what the policy engine saw
  // (peer_principal), by what hops forwarded and by metadata (source_…)
  "request_principal",
  "jwt_subject",
  "jwt_issuer",
  "jwt_client",
  "jwt_email",
  "jwt_payload",
  "basic_auth_user",
  "end_user",
  "end_user_issuer",
  "remote_user",
  "claimed_user",
  "actor_id",
  "actor_type",
  "resolved_user",
  "caller_uri_san",
  "caller_names",
  "downstream_peer_uri_san",
  "downstream_peer_dns_san",
  "downstream_peer_subject",
  "peer_principal",
  "downstream_peer_fingerprint_256",
  "x_forwarded_client_cert",
  "source_workload",
  "source_namespace",
  "source_service_account",
  "source_pod",
  "source_labels",
  "source_service",
  "source_cluster",
  "downstream_remote_address",
  "client_address",
  "client_port",
  "downstream_direct_remote_address",
  "x_forwarded_for",
  "downstream_tls_version",
  "downstream_tls_cipher",
  "requested_server_name",
  "user_agent",
  "downstream_transport_failure_reason",
  // to whom
  "direction",
  "downstream_local_uri_san",
  "upstream_local_uri_san",
  "destination_principal",
  "destination_workload",
  "destination_namespace",
  "destination_service_account",
  "destination_pod",
  "destination_labels",
  "destination_service",
  "destination_cluster",
  "downstream_local_address",
  "server_address",
  "server_port",
  "upstream_cluster",
  "upstream_host",
  "upstream_addr",
  "upstream_local_address",
  "route_name",
  "virtual_cluster_name",
  // what
  "request_line",
  "protocol",
  "protocol_version",
  "application_protocol",
  "method",
  "authority",
  "path",
  "original_path",
  "url",
  "query",
  "content_type",
  "is_reply",
  "event_type",
  "action",
  "target_id",
  "rpc_system",
  "rpc_service",
  "rpc_method",
  // decision
  "enforced_engine_result",
  "enforced_effective_policy_id",
  "shadow_engine_result",
  "shadow_effective_policy_id",
  "deny_shadow_engine_result",
  "deny_shadow_effective_policy_id",
  "verdict",
  "reason",
  "reason_code",
  "policy",
  "policy_namespace",
  "denying_policy",
  "denying_policy_namespace",
  "engine",
  "response_source",
  // result
  "response_code",
  "upstream_status",
  "response_code_details",
  "connection_termination_details",
  "response_flags",
  "response_flags_long",
  "grpc_status",
  "bytes_received",
  "bytes_sent",
  "upstream_transport_failure_reason",
  "error",
  "message",
  "level",
  "connection_id",
  "attempts",
  "retries",
  // source
  "mesh_id",
  "cluster_name",
  "node_id",
  "namespace",
  "pod",
] as const;

export type FieldName = Exclude<(typeof FIELD_NAMES)[number], "">;

export const FIELD_COUNT = FIELD_NAMES.length;

/** Number of each field. */
export const FIELD = Object.freeze(
  Object.fromEntries(FIELD_NAMES.map((name, i) => [name, i])),
) as Readonly<Record<FieldName, number>>;

/** Fields that a typed number can fill. 1 by number of the field. */
export const IS_NUMERIC = flagged(
  "start_time",
  "end_time",
  "duration",
  "duration_us",
  "duration_ns",
  "duration_seconds",
  "upstream_service_time",
  "upstream_duration_ns",
  "upstream_response_time",
  "upstream_status",
  "response_code",
  "grpc_status",
  "bytes_received",
  "bytes_sent",
  "attempts",
  "retries",
  "connection_id",
  "client_port",
  "server_port",
);

/** Types of values that each field takes: the set of 1 << VALUE_TYPES, by number of the field. Any takes text, most nothing else. */
export const TAKES = Uint8Array.from(FIELD_NAMES, (_, field) => {
  const { string, int, double } = VALUE_TYPES;
  return (1 << string) | (IS_NUMERIC[field] === 1 ? (1 << int) | (1 << double) : 0);
});
for (const name of [
  "verdict",
  "reason",
  "reason_code",
  "event_type",
  "access_log_type",
  "direction",
] as const)
  TAKES[FIELD[name]]! |= 1 << VALUE_TYPES.int;
// Of 64 bits; Datadog's own libraries write text.
for (const name of ["datadog_trace_id", "datadog_parent_id", "datadog_sampling_priority"] as const)
  TAKES[FIELD[name]]! |= 1 << VALUE_TYPES.int;
for (const name of ["verdict", "is_reply"] as const) TAKES[FIELD[name]]! |= 1 << VALUE_TYPES.bool;
for (const name of ["source_labels", "destination_labels", "caller_names"] as const)
  TAKES[FIELD[name]]! |= 1 << VALUE_TYPES.array;

function flagged(...names: FieldName[]): Uint8Array {
  const flags = new Uint8Array(FIELD_COUNT);
  for (const name of names) flags[FIELD[name]] = 1;
  return flags;
}
