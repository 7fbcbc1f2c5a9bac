import { WORKLOADS } from "./certificates.ts";
import { AUTHORITY, USER_AGENT } from "./client.ts";

/** Columns of an access record and what they must say. */
export type Columns = Readonly<Record<string, string | number>>;

/** What both sides say of an HTTP request. */
export const HTTP: Columns = {
  Dialect: "envoy_otel",
  ParseStatus: "full",
  TimeBasis: "stream_start",
  TimePrecision: "us",
  Phase: "end",
  Authority: AUTHORITY,
  UserAgent: USER_AGENT,
  ResponseFlags: "",
  GrpcStatus: -1,
};

export const OUT: Columns = {
  ServiceName: "frontend",
  ProxyId: "frontend-0",
  ClusterName: "frontend",
  Direction: "outbound",
  LocalPrincipal: WORKLOADS.frontend,
  LocalNamespace: "web",
  LocalServiceAccount: "frontend",
  PeerPrincipal: "",
  Actor: "127.0.0.1",
  ActorKind: "address",
  ActorAssurance: "address",
  AuthMethod: "none",
  EndUser: "",
};

export const IN: Columns = {
  ServiceName: "orders",
  ProxyId: "orders-0",
  ClusterName: "orders",
  Direction: "inbound",
  LocalPrincipal: WORKLOADS.orders,
  LocalNamespace: "shop",
  LocalServiceAccount: "orders",
};

/** The caller as its certificate names it. */
export const BY_FRONTEND: Columns = {
  PeerPrincipal: WORKLOADS.frontend,
  PeerNamespace: "web",
  PeerServiceAccount: "frontend",
  Actor: WORKLOADS.frontend,
  ActorKind: "workload",
  ActorAssurance: "mtls",
  AuthMethod: "mtls",
  UserAssurance: "none",
  EndUser: "",
  EndUserIssuer: "",
  TlsVersion: "TLSv1.2",
  RequestedServerName: AUTHORITY,
};
export const BY_MALLORY: Columns = {
  ...BY_FRONTEND,
  PeerPrincipal: WORKLOADS.mallory,
  PeerServiceAccount: "mallory",
  Actor: WORKLOADS.mallory,
  TlsVersion: "TLSv1.3",
};
/** Nobody was authenticated, whatever the certificate said that was refused. */
export const BY_NOBODY: Columns = {
  PeerPrincipal: "",
  PeerNamespace: "",
  PeerServiceAccount: "",
  Actor: "127.0.0.1",
  ActorKind: "address",
  ActorAssurance: "address",
  AuthMethod: "none",
};

/** The server's proxy let it pass, by the policy that RBAC names. */
export const ALLOWED: Columns = {
  Decision: "allowed",
  DecisionEngine: "rbac",
  Policy: "frontend-may-use-orders",
  DecisionReason: "",
  ShadowDecision: "allowed",
  ShadowPolicy: "",
};
const VIA_UPSTREAM: Columns = { ResponseDetails: "via_upstream", Attempts: 1 };
export const NOT_SENT_ON: Columns = { UpstreamAddress: "", Attempts: 0 };

/** The client's proxy: it got an answer, and cannot know whose. */
export function sent(status: number, more: Columns = {}): Columns {
  const refusal = status === 401 || status === 403;
  return {
    ...HTTP,
    ...OUT,
    ...VIA_UPSTREAM,
    UpstreamCluster: "orders",
    Route: "orders",
    StatusCode: status,
    Decision: "allowed",
    DecisionEngine: refusal ? "app" : "",
    DecisionSource: "response_code_details",
    Policy: "",
    ShadowDecision: "",
    ...more,
  };
}

/** The server's proxy, for a request that RBAC let pass to the application. */
export function received(route: string, status: number, more: Columns = {}): Columns {
  return {
    ...HTTP,
    ...IN,
    ...BY_FRONTEND,
    ...ALLOWED,
    ...VIA_UPSTREAM,
    Protocol: "HTTP/2",
    UpstreamCluster: "application",
    Route: route,
    StatusCode: status,
    ...more,
  };
}

/** The server's proxy, for a request that one of its filters refused. */
export function refused(
  route: string,
  status: number,
  engine: string,
  details: string,
  more: Columns = {},
): Columns {
  return received(route, status, {
    ...NOT_SENT_ON,
    Decision: "denied",
    DecisionEngine: engine,
    DecisionReason: details,
    DecisionSource: "response_code_details",
    ResponseDetails: details,
    Policy: "",
    ...more,
  });
}

export const NO_POLICY = "rbac_access_denied_matched_policy[none]";
export const PURGE = "rbac_access_denied_matched_policy[nobody-may-purge]";
/** Refused before RBAC was asked. */
const BEFORE_RBAC: Columns = { ShadowDecision: "", ShadowPolicy: "" };

export function jwtRefused(reason: string): Columns {
  return refused("account", 401, "jwt", `jwt_authn_access_denied{${reason}}`, {
    ...BEFORE_RBAC,
    DecisionReason: reason,
  });
}

/** A connection, of which there is nothing of HTTP to say. */
export const TCP: Columns = {
  Dialect: "envoy_otel",
  ParseStatus: "full",
  Phase: "end",
  Protocol: "TCP",
  Method: "",
  Path: "",
  StatusCode: 0,
  TraceId: "",
  SpanId: "",
  ResponseFlags: "",
};
export const HANDSHAKE_FAILED: Columns = {
  ...TCP,
  ...IN,
  ...BY_NOBODY,
  Policy: "",
  UpstreamAddress: "",
  RequestBytes: 0,
  ResponseBytes: 0,
  DecisionSource: "downstream_transport_failure_reason",
};
export const REFUSED_CERTIFICATE: Columns = {
  ...HANDSHAKE_FAILED,
  Decision: "denied",
  DecisionEngine: "mtls",
};
export const UNREACHABLE: Columns = {
  ResponseFlags: "UF",
  ResponseDetails:
    "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
  TransportFailure: "delayed_connect_error:_Connection_refused",
  UpstreamCluster: "stock",
};
