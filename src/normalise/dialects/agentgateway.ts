import { ACCESS } from "../../records/access-draft.ts";
import { ascii } from "../ascii.ts";
import { decide, mapDecision, NO_ENGINE } from "../decision.ts";
import { defineDialect } from "../dialect.ts";
import { FIELD } from "../fields.ts";
import { KeyValueLine } from "../key-value-line.ts";
import type { Reading } from "../reading.ts";
import { SPIFFE_SCHEME } from "../spiffe.ts";
import { WORD } from "../words.ts";

/** Who refused, by `reason` (crates/agentgateway/src/proxy, ProxyResponseReason). The others are failures. */
const DENIALS: readonly (readonly [reason: Uint8Array, engine: number])[] = [
  [ascii("Authorization"), WORD.rbac],
  [ascii("ExtAuth"), WORD.ext_authz],
  [ascii("JwtAuth"), WORD.jwt],
  [ascii("Oidc"), WORD.oidc],
  [ascii("BasicAuth"), WORD.basic_auth],
  [ascii("APIKeyAuth"), WORD.api_key],
  [ascii("RateLimit"), WORD.rate_limit],
  [ascii("Guardrail"), WORD.guardrail],
];
/** Configured, or what an external authorisation answered in place of the application: nobody can say which. */
const DIRECT_RESPONSE = ascii("DirectResponse");
/** A tool server's own refusal. */
const MCP = ascii("MCP");
/** The same by `error`, before there was a reason. */
const DENYING_ERRORS: readonly (readonly [error: Uint8Array, engine: number])[] = [
  [ascii("authorization failed"), WORD.rbac],
  [ascii("CSRF validation failed"), WORD.rbac],
  [ascii("external authorization failed"), WORD.ext_authz],
  [ascii("authentication failure"), WORD.jwt],
  [ascii("mcp authentication failure"), WORD.jwt],
  [ascii("oidc failure"), WORD.oidc],
  [ascii("basic authentication failure"), WORD.basic_auth],
  [ascii("api key authentication failure"), WORD.api_key],
  [ascii("rate limit exceeded"), WORD.rate_limit],
  [ascii("request rejected by "), WORD.guardrail],
];
const TCP = ascii("tcp");
const CALLER_NAMES = "caller.subjectAltNames";

/**
 * agentgateway, a gateway and waypoint for HTTP, language models and tool servers: lines of pairs, JSON lines, or attributes by OTLP, all with the same keys; newer ones name the request
 * by the semantic conventions. The time is that of the end.
 */
export default defineDialect({
  name: "agentgateway",
  source:
    "https://github.com/agentgateway/agentgateway/blob/main/crates/agentgateway/src/telemetry/log.rs",
  lines: [
    new KeyValueLine([{ scope: "request", marks: ["gateway", "src.addr"], last: "duration" }]),
  ],
  keys: {
    gateway: "node_id",
    route: "route_name",
    endpoint: "upstream_host",
    "src.addr": "downstream_remote_address",
    "src.identity": "downstream_peer_uri_san",
    [CALLER_NAMES]: "caller_names",
    "http.version": "protocol",
    "http.status": "response_code",
    "grpc.status": "grpc_status",
    "jwt.sub": "jwt_subject",
    "connection.id": "connection_id",
    "request.id": null,
    protocol: "application_protocol",
    "retry.attempt": null,
    error: "error",
    reason: "reason",
  },
  timeIsEnd: true,
  matches: ({ keySet }) =>
    keySet.has("src.addr")
      ? !keySet.has("dst.addr") &&
        (keySet.has("http.status") ||
          keySet.has("gateway") ||
          (keySet.has("protocol") && keySet.has("duration")))
      : keySet.has("client.address") && keySet.has("gateway") && keySet.has("listener"),
  prepare: nameCaller,
  decide: decideByReason,
  finish(reading) {
    reading.say(ACCESS.Direction, WORD.gateway);
    if (reading.draft.isEmpty(ACCESS.Protocol) && reading.is(FIELD.application_protocol, TCP))
      reading.say(ACCESS.Protocol, WORD.TCP);
    reading.setText(ACCESS.TransportFailure, FIELD.error);
    reading.setText(ACCESS.ResponseDetails, FIELD.reason);
    if (reading.plan.keySet.has(CALLER_NAMES) && !reading.has(FIELD.caller_names))
      reading.leave(FIELD.downstream_peer_uri_san);
  },
});

/** The peer's SPIFFE ID stands among its names where somebody configured `caller: source`, which is the certificate as the gateway verified it. */
function nameCaller(reading: Reading): void {
  const { labels, buffer, start, end, type } = reading;
  const names = FIELD.caller_names;
  const name = FIELD.downstream_peer_uri_san;
  if (
    reading.has(name) ||
    !reading.has(names) ||
    !labels.find(buffer, start[names]!, end[names]!, type[names]!, SPIFFE_SCHEME)
  )
    return;
  reading.move(names, name);
  start[name] = labels.start - SPIFFE_SCHEME.length;
  end[name] = labels.end;
}

function decideByReason(reading: Reading): void {
  const reason = FIELD.reason;
  const status = reading.draft.low[ACCESS.StatusCode]!;
  if (reading.has(reason)) {
    for (const [text, engine] of DENIALS)
      if (reading.is(reason, text)) return explain(reading, WORD.denied, engine, reason);
    if (reading.is(reason, DIRECT_RESPONSE) || reading.is(reason, MCP)) {
      if (status < 400) return decide(reading, WORD.allowed, NO_ENGINE, reason);
      return reading.say(ACCESS.Decision, WORD.unknown);
    }
    return explain(reading, WORD.failed, NO_ENGINE, reason);
  }
  if (!reading.has(FIELD.error)) {
    // Error and reason come last: of what was cut off they may be missing.
    if (reading.partial) return reading.say(ACCESS.Decision, WORD.unknown);
    return mapDecision(reading);
  }
  for (const [text, engine] of DENYING_ERRORS)
    if (reading.beginsWith(FIELD.error, text))
      return decide(reading, WORD.denied, engine, FIELD.error);
  decide(reading, WORD.failed, NO_ENGINE, FIELD.error);
}

/** Decides by the reason; the error says more of why. */
function explain(reading: Reading, decision: number, engine: number, field: number): void {
  decide(reading, decision, engine, field);
  const error = FIELD.error;
  if (reading.has(error))
    reading.draft.setText(ACCESS.DecisionReason, reading.start[error]!, reading.end[error]!);
}
