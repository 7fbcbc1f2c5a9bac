import { KINDS, type Kind, type KindName } from "../core/kinds.ts";

/**
 * The columns of every sealed table, declared once. The DDL, the row encoders, the row decoder, the list that SQL
 * hashes for `verify` and the table in docs/schema.md all derive from this file.
 *
 * The order here is the order of the bytes in a row: it can never change. A later row version may add columns behind these.
 */

export const COLUMN_TYPES = [
  "UInt8",
  "UInt16",
  "UInt32",
  "UInt64",
  "Int8",
  "Int16",
  "Int64",
  "Float32",
  "String",
  "LowCardinality(String)",
  "FixedString(16)",
  "DateTime64(9)",
  "IPv6",
  "Map(LowCardinality(String), String)",
  "Array(String)",
  "Array(LowCardinality(String))",
  "Array(UInt32)",
  "Array(UInt64)",
  "Array(DateTime64(9))",
  "Array(Map(LowCardinality(String), String))",
] as const;

export type ColumnType = (typeof COLUMN_TYPES)[number];

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** One line for people: the COMMENT in ClickHouse and the row in docs/schema.md. */
  readonly comment: string;
}

export interface Table {
  readonly name: string;
  readonly kind: Kind;
  readonly comment: string;
  /** The sealed columns in row order, from LeafVersion on. */
  readonly columns: readonly Column[];
}

const LC = "LowCardinality(String)";
const MAP = "Map(LowCardinality(String), String)";

function column(name: string, type: ColumnType, comment: string): Column {
  return { name, type, comment };
}

/** The columns in front of a row that say where it stands in the log. They are not part of the sealed bytes. */
export const PLACE_COLUMNS = [
  column(
    "LogId",
    LC,
    "The log that sealed the row: first 16 hex digits of the SHA-256 of its row 0",
  ),
  column("LeafIndex", "UInt64", "Index of the row's entry in that log"),
] as const;

const HEAD = [
  column("LeafVersion", "UInt8", "Version of the row format"),
  column("Kind", "UInt8", "1 access record, 2 span, 3 log, 4 link, 5 finding, 6 control record"),
  column("Salt", "FixedString(16)", "Random bytes that keep the entry from being guessed"),
] as const;

/** Columns that access records, spans and logs have in common. */
const RECEIVED = [
  column(
    "ReceivedTimestamp",
    "DateTime64(9)",
    "When the request that carried the record arrived here",
  ),
  column("Sender", "String", "Who sent it: token name, certificate name or peer address"),
  column("SenderAuth", LC, "How the sender proved it: token, mtls, none"),
  column(
    "RetentionClass",
    LC,
    "How long the row is kept, by the configuration's retention classes",
  ),
  column(
    "Truncations",
    "Array(String)",
    "Values cut to fit max_record_size: column, original length, SHA-256 of the original",
  ),
  column(
    "Redactions",
    "Array(LowCardinality(String))",
    "What was redacted before sealing, by column or key",
  ),
] as const;

const ACCESS = [
  // when
  column("Timestamp", "DateTime64(9)", "Start of the request at the proxy"),
  column(
    "TimestampRaw",
    "UInt64",
    "Nanoseconds as received where Timestamp had to be clamped to 1970-2105, else 0",
  ),
  column(
    "ObservedTimestamp",
    "DateTime64(9)",
    "When the sender observed the record; 1970 when it did not say",
  ),
  column(
    "DurationNs",
    "Int64",
    "Nanoseconds from first byte received to last byte sent; -1 unknown",
  ),
  column("UpstreamDurationNs", "Int64", "Nanoseconds spent in the upstream; -1 unknown"),
  column("Phase", LC, "start, periodic or end of the stream"),
  // trace
  column("TraceId", "String", "32 lower-case hex digits, or empty"),
  column("SpanId", "String", "16 lower-case hex digits, or empty"),
  column("ParentSpanId", "String", "16 lower-case hex digits, or empty"),
  column("TraceFlags", "UInt8", "W3C trace flags"),
  column(
    "TraceSource",
    LC,
    "Where the trace ID stood: field, traceparent, attribute, b3, datadog, jaeger, xray, cloud_trace, sw8, none",
  ),
  column("RequestId", "String", "x-request-id"),
  // who
  column("Actor", "String", "Best authenticated name: end user, else peer principal, else address"),
  column("ActorKind", LC, "user, workload or address"),
  column("EndUser", "String", "End user; UserAssurance says who vouches for the name"),
  column("EndUserIssuer", LC, "Who vouches for the end user"),
  column("AuthMethod", LC, "mtls, jwt, basic, aws_sigv4, none"),
  column("PeerPrincipal", LC, "Principal of the peer; ActorAssurance says who authenticated it"),
  column("PeerNamespace", LC, "Namespace of the peer"),
  column("PeerServiceAccount", LC, "Service account of the peer"),
  column("PeerWorkload", LC, "Workload of the peer"),
  column("PeerAddress", "IPv6", "Address of the peer; IPv4 as ::ffff:a.b.c.d; :: unknown"),
  column("PeerPort", "UInt16", "Port of the peer; 0 unknown"),
  column("PeerCertificateHash", "String", "SHA-256 of the peer's certificate, lower-case hex"),
  column("ForwardedFor", "String", "X-Forwarded-For as received"),
  column("ActorChain", "Array(String)", "Forwarded certificates, oldest hop first"),
  column("TlsVersion", LC, "TLS version of the downstream connection"),
  column("TlsCipher", LC, "TLS cipher of the downstream connection"),
  column("RequestedServerName", LC, "SNI"),
  column("UserAgent", "String", "User-Agent"),
  // to whom
  column("ServiceName", LC, "Service that was reached"),
  column("LocalPrincipal", LC, "Principal of the proxy's own workload"),
  column("LocalNamespace", LC, "Namespace of the proxy's own workload"),
  column("LocalServiceAccount", LC, "Service account of the proxy's own workload"),
  column("LocalWorkload", LC, "The proxy's own workload"),
  column("LocalAddress", "IPv6", "Address that the peer connected to; :: unknown"),
  column("LocalPort", "UInt16", "Port that the peer connected to; 0 unknown"),
  column("UpstreamCluster", LC, "Envoy cluster that served the request"),
  column("UpstreamAddress", "String", "Address of the upstream host"),
  column("Route", LC, "Name of the route"),
  // what
  column("Direction", LC, "inbound, outbound or gateway"),
  column("Protocol", LC, "HTTP/1.1, HTTP/2, HTTP/3, TCP and so on"),
  column("Method", LC, "HTTP method"),
  column("Authority", LC, "Host or :authority"),
  column("Path", "String", "Path without query"),
  column("Query", "String", "Query, redacted"),
  column("RpcService", LC, "gRPC service"),
  column("RpcMethod", LC, "gRPC method"),
  // decision
  column("Decision", LC, "allowed, denied, failed or unknown"),
  column("DecisionEngine", LC, "rbac, ext_authz, jwt, rate_limit, mtls, network_policy and so on"),
  column("Policy", LC, "Policy that decided"),
  column("DecisionReason", "String", "Why, in the engine's words"),
  column("ShadowDecision", LC, "What a policy in shadow mode would have decided"),
  column("ShadowPolicy", LC, "The policy in shadow mode"),
  // result
  column("StatusCode", "UInt16", "HTTP status; 0 when no response was sent"),
  column("GrpcStatus", "Int16", "gRPC status; -1 unknown"),
  column("ResponseFlags", LC, "Envoy response flags, comma separated"),
  column("ResponseDetails", LC, "Envoy response code details"),
  column("RequestBytes", "Int64", "Bytes of the request body; -1 unknown"),
  column("ResponseBytes", "Int64", "Bytes of the response body; -1 unknown"),
  column(
    "TransportFailure",
    "String",
    "Why the upstream transport failed, or how the connection was terminated",
  ),
  column("ConnectionId", "String", "Connection ID at the proxy"),
  column("Attempts", "UInt16", "Attempts to reach the upstream; 0 unknown"),
  // source
  column("Dialect", LC, "Which dialect recognised the record"),
  column("Mesh", LC, "Name of the mesh"),
  column("ProxyId", "String", "Node ID of the proxy"),
  column("ClusterName", LC, "Cluster that the proxy belongs to"),
  column("Body", "String", "Body as received, where columns did not take all of it"),
  column("ResourceAttributes", MAP, "Resource attributes"),
  column("LogAttributes", MAP, "Attributes that no column took"),
  column("DataClass", LC, "Class of the data behind the path, by the user's rules"),
  // how sure
  column(
    "ActorAssurance",
    LC,
    "mtls, policy_engine, forwarded_certificate, proxy_metadata, address, header or none",
  ),
  column(
    "UserAssurance",
    LC,
    "token for a verified JWT, policy_engine for a checked password or a policy engine's word, header for an unchecked claim, none",
  ),
  column("TimeBasis", LC, "What Timestamp stands for: stream_start, stream_end, line, read"),
  column("TimePrecision", LC, "s, ms, us or ns"),
  column(
    "DecisionSource",
    LC,
    "The field that said the decision, by its name in the record or, where the mesh has none of its own for it, in Envoy's words",
  ),
  column("ParseStatus", LC, "full, partial or raw"),
  column("SampledHint", "Int8", "Was the trace sampled: -1 unknown, 0 no, 1 yes"),
] as const;

/** The OpenTelemetry ClickHouse exporter's columns for spans, then what that schema leaves out. */
const SPAN = [
  column("Timestamp", "DateTime64(9)", "Start of the span"),
  column("TraceId", "String", "32 lower-case hex digits"),
  column("SpanId", "String", "16 lower-case hex digits"),
  column("ParentSpanId", "String", "16 lower-case hex digits, or empty for a root"),
  column("TraceState", "String", "W3C tracestate"),
  column("SpanName", LC, "Name of the span"),
  column("SpanKind", LC, "Unspecified, Internal, Server, Client, Producer or Consumer"),
  column("ServiceName", LC, "service.name of the resource"),
  column("ResourceAttributes", MAP, "Resource attributes"),
  column("ScopeName", "String", "Instrumentation scope"),
  column("ScopeVersion", "String", "Version of the instrumentation scope"),
  column("SpanAttributes", MAP, "Span attributes"),
  column(
    "Duration",
    "UInt64",
    "Nanoseconds from start to end; 0 when the end lies before the start",
  ),
  column("StatusCode", LC, "Unset, Ok or Error"),
  column("StatusMessage", "String", "Status message"),
  column("Events.Timestamp", "Array(DateTime64(9))", "Time of each event"),
  column("Events.Name", "Array(LowCardinality(String))", "Name of each event"),
  column(
    "Events.Attributes",
    "Array(Map(LowCardinality(String), String))",
    "Attributes of each event",
  ),
  column("Links.TraceId", "Array(String)", "Trace ID of each link"),
  column("Links.SpanId", "Array(String)", "Span ID of each link"),
  column("Links.TraceState", "Array(String)", "tracestate of each link"),
  column(
    "Links.Attributes",
    "Array(Map(LowCardinality(String), String))",
    "Attributes of each link",
  ),
  column(
    "TimestampRaw",
    "UInt64",
    "Start in nanoseconds as received where Timestamp had to be clamped to 1970-2105, else 0",
  ),
  column(
    "EndTimestampRaw",
    "UInt64",
    "End in nanoseconds as received where Timestamp + Duration does not give it, else 0",
  ),
  column("TraceFlags", "UInt32", "Span flags: bits 0-7 W3C, 0x100 and 0x200 is-remote"),
  column("ResourceSchemaUrl", LC, "Schema URL of the resource"),
  column("ScopeSchemaUrl", LC, "Schema URL of the scope"),
  column("ScopeAttributes", MAP, "Attributes of the instrumentation scope"),
  column("DroppedAttributesCount", "UInt32", "Attributes that the sender dropped"),
  column("DroppedEventsCount", "UInt32", "Events that the sender dropped"),
  column("DroppedLinksCount", "UInt32", "Links that the sender dropped"),
  column(
    "Events.DroppedAttributesCount",
    "Array(UInt32)",
    "Attributes of each event that the sender dropped",
  ),
  column(
    "Links.DroppedAttributesCount",
    "Array(UInt32)",
    "Attributes of each link that the sender dropped",
  ),
  column("Links.TraceFlags", "Array(UInt32)", "Flags of each link"),
] as const;

/** The OpenTelemetry ClickHouse exporter's columns for logs, then what that schema leaves out. */
const LOG = [
  column(
    "Timestamp",
    "DateTime64(9)",
    "Time of the event; when absent the observed time, else the time of arrival",
  ),
  column("TraceId", "String", "32 lower-case hex digits, or empty"),
  column("SpanId", "String", "16 lower-case hex digits, or empty"),
  column("TraceFlags", "UInt8", "W3C trace flags"),
  column("SeverityText", LC, "Severity as the source calls it"),
  column("SeverityNumber", "UInt8", "OTLP severity number"),
  column("ServiceName", LC, "service.name of the resource"),
  column("Body", "String", "Body; structured values as JSON"),
  column("ResourceSchemaUrl", LC, "Schema URL of the resource"),
  column("ResourceAttributes", MAP, "Resource attributes"),
  column("ScopeSchemaUrl", LC, "Schema URL of the scope"),
  column("ScopeName", "String", "Instrumentation scope"),
  column("ScopeVersion", LC, "Version of the instrumentation scope"),
  column("ScopeAttributes", MAP, "Attributes of the instrumentation scope"),
  column("LogAttributes", MAP, "Attributes of the record"),
  column("EventName", "String", "Event name"),
  column(
    "TimestampRaw",
    "UInt64",
    "Nanoseconds as received where Timestamp had to be clamped to 1970-2105, else 0",
  ),
  column(
    "ObservedTimestamp",
    "DateTime64(9)",
    "When the sender observed the record; 1970 when it did not say",
  ),
  column("DroppedAttributesCount", "UInt32", "Attributes that the sender dropped"),
  column("FlagsRaw", "UInt32", "Flags as received where TraceFlags does not hold them all, else 0"),
] as const;

const LINK = [
  column("Timestamp", "DateTime64(9)", "When the link was made"),
  column("TraceId", "String", "Trace of both records; empty when neither names one"),
  column("Rule", LC, "Rule that matched: span, parent, request_id, trace, peer, decision"),
  column("Confidence", "Float32", "Confidence of the rule, 0 to 1"),
  column("AccessLog", LC, "LogId of the access record"),
  column("AccessLeaf", "UInt64", "LeafIndex of the access record"),
  column("SpanLog", LC, "LogId of the span"),
  column(
    "SpanLeaf",
    "UInt64",
    "LeafIndex of the span; for the rules peer and decision, of the other access record",
  ),
  column(
    "ClockDifferenceNs",
    "Int64",
    "Start of the span minus start of the access record, nanoseconds",
  ),
] as const;

const FINDING = [
  column("Timestamp", "DateTime64(9)", "Start of the minute that the finding covers"),
  column("FindingKind", LC, "What was found"),
  column("Severity", LC, "info, warning or error"),
  column("State", LC, "open or resolved"),
  column("Subject", "String", "The workload, proxy or sender that it is about"),
  column("TraceId", "String", "Trace that it is about, or empty"),
  column("Message", "String", "One sentence"),
  column("Evidence", "Array(UInt64)", "Leaf indexes of the records that show it, at most 100"),
  column("Detail", MAP, "Counts and times"),
] as const;

const CONTROL = [
  column("Timestamp", "DateTime64(9)", "When it happened"),
  column("ControlKind", LC, "start, stop, heartbeat, deduplicated_batches and so on"),
  column("Detail", MAP, "What happened"),
] as const;

function table(
  name: string,
  kind: Kind,
  comment: string,
  ...groups: readonly (readonly Column[])[]
): Table {
  return { name, kind, comment, columns: [HEAD, ...groups].flat() };
}

export const TABLES = {
  access: table(
    "access_records",
    KINDS.access,
    "One request or connection seen by one proxy",
    RECEIVED,
    ACCESS,
  ),
  span: table(
    "otel_traces",
    KINDS.span,
    "Spans, in the OpenTelemetry exporter's columns",
    RECEIVED,
    SPAN,
  ),
  log: table(
    "otel_logs",
    KINDS.log,
    "Logs that are not access logs, in the OpenTelemetry exporter's columns",
    RECEIVED,
    LOG,
  ),
  link: table(
    "trace_links",
    KINDS.link,
    "Access records and spans that describe the same request",
    LINK,
  ),
  finding: table("findings", KINDS.finding, "What an operator or auditor must know", FINDING),
  control: table("control_records", KINDS.control, "What meshproof itself did", CONTROL),
} as const satisfies Record<KindName, Table>;

/** Tables by the number of their kind. */
export const TABLE_OF_KIND: ReadonlyMap<Kind, Table> = new Map(
  Object.values(TABLES).map((t) => [t.kind, t]),
);
