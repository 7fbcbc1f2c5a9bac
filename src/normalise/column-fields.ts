import type { AccessColumn } from "../records/access-draft.ts";
import type { FieldName } from "./fields.ts";

/** The field that stands for a column where a user says which key fills it. Columns that are not here are worked out from others. */
export const FIELD_OF_COLUMN: Readonly<Partial<Record<AccessColumn, FieldName>>> = {
  Timestamp: "start_time",
  DurationNs: "duration_ns",
  UpstreamDurationNs: "upstream_service_time",
  TraceId: "trace_id",
  SpanId: "span_id",
  ParentSpanId: "parent_span_id",
  TraceFlags: "trace_flags",
  RequestId: "request_id",
  EndUser: "end_user",
  EndUserIssuer: "end_user_issuer",
  PeerPrincipal: "downstream_peer_uri_san",
  PeerNamespace: "source_namespace",
  PeerServiceAccount: "source_service_account",
  PeerWorkload: "source_workload",
  PeerAddress: "downstream_remote_address",
  PeerPort: "client_port",
  PeerCertificateHash: "downstream_peer_fingerprint_256",
  ForwardedFor: "x_forwarded_for",
  TlsVersion: "downstream_tls_version",
  TlsCipher: "downstream_tls_cipher",
  RequestedServerName: "requested_server_name",
  UserAgent: "user_agent",
  ServiceName: "destination_service",
  LocalPrincipal: "downstream_local_uri_san",
  LocalNamespace: "destination_namespace",
  LocalServiceAccount: "destination_service_account",
  LocalWorkload: "destination_workload",
  LocalAddress: "downstream_local_address",
  LocalPort: "server_port",
  UpstreamCluster: "upstream_cluster",
  UpstreamAddress: "upstream_host",
  Route: "route_name",
  Direction: "direction",
  Protocol: "protocol",
  Method: "method",
  Authority: "authority",
  Path: "path",
  Query: "query",
  RpcService: "rpc_service",
  RpcMethod: "rpc_method",
  Decision: "verdict",
  DecisionEngine: "engine",
  Policy: "policy",
  DecisionReason: "reason",
  StatusCode: "response_code",
  GrpcStatus: "grpc_status",
  ResponseFlags: "response_flags",
  ResponseDetails: "response_code_details",
  RequestBytes: "bytes_received",
  ResponseBytes: "bytes_sent",
  TransportFailure: "upstream_transport_failure_reason",
  ConnectionId: "connection_id",
  Attempts: "attempts",
  Mesh: "mesh_id",
  ProxyId: "node_id",
  ClusterName: "cluster_name",
};

/** Fields of a duration, by its unit. */
export const DURATION_FIELDS = {
  s: "duration_seconds",
  ms: "duration",
  us: "duration_us",
  ns: "duration_ns",
} as const satisfies Record<string, FieldName>;

export type DurationUnit = keyof typeof DURATION_FIELDS;

/** Nanoseconds of each unit. */
export const UNIT_NS: Readonly<Record<DurationUnit, number>> = { s: 1e9, ms: 1e6, us: 1e3, ns: 1 };

/** Text columns that steps before the dialect's own fill from the resource, by rules of their own or not at all: what the user says outranks that. */
export const TEXT_COLUMNS = [
  "ServiceName",
  "LocalNamespace",
  "LocalServiceAccount",
  "LocalWorkload",
  "Mesh",
  "ProxyId",
  "ClusterName",
  "DecisionEngine",
  "Policy",
  "DecisionReason",
] as const satisfies readonly AccessColumn[];

/** Columns that can be the same in all records of a format. */
export const CONSTANT_COLUMNS = [
  ...TEXT_COLUMNS,
  "Direction",
  "Protocol",
  "Method",
  "Authority",
  "Route",
  "UpstreamCluster",
] as const satisfies readonly AccessColumn[];
