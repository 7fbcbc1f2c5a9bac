import { ACCESS } from "../../records/access-draft.ts";
import { VALUE_TYPES } from "../../records/attributes.ts";
import { ascii, CHAR } from "../ascii.ts";
import { defineDialect } from "../dialect.ts";
import { FIELD, type FieldName } from "../fields.ts";
import type { Reading } from "../reading.ts";
import { WORD } from "../words.ts";

const REQUEST = "input.attributes.request.http.";
/** Where Envoy's filters left what they found out, when Envoy is configured to send it along. */
const METADATA = [
  "input.attributes.metadataContext.filterMetadata.",
  "input.attributes.metadata_context.filter_metadata.",
];
/** Other engines log decisions too, with an ID, a time and what was asked. An event of OPA's has its labels as well, or one of these. */
const OWN_KEYS = ["labels", "bundles", "metrics", "nd_builtin_cache", "requested_by"] as const;
const FALSE = ascii("false");

/** Socket addresses as ext_authz v3 has them in JSON, and as v2 has them. */
function ofAddress(side: string, address: FieldName, port: FieldName): Record<string, FieldName> {
  const at = `input.attributes.${side}.address.`;
  return {
    [`${at}socketAddress.address`]: address,
    [`${at}socketAddress.portValue`]: port,
    [`${at}Address.SocketAddress.address`]: address,
    [`${at}Address.SocketAddress.PortSpecifier.PortValue`]: port,
  };
}

/**
 * Decision logs of the Open Policy Agent, as it prints them and as it uploads them, one record an event. The input is the caller's own; of it only what Envoy's external
 * authorization sends is known, claims of a token that Envoy verified among it, and method and path by convention. The time is that of the decision, and neither the request's start nor its end. A result is a boolean, or an object with `allowed` or `allow`; without one
 * the policy left it undefined. With `dry-run` the log says what would have been decided, and not that it was not enforced.
 */
export default defineDialect({
  name: "opa",
  source: "https://www.openpolicyagent.org/docs/management-decision-logs",
  sharedKeys: false,
  keys: {
    timestamp: "start_time",
    "metrics.timer_server_handler_ns": "duration_ns",
    trace_id: "trace_id",
    span_id: "span_id",
    path: "policy",
    query: "policy",
    result: "verdict",
    "result.allowed": "verdict",
    "result.allow": "verdict",
    "result.reason": "reason",
    "result.http_status": "response_code",
    error: "error",
    "error.message": "error",
    requested_by: "client_address",
    "labels.id": "node_id",
    "input.method": "method",
    "input.path": "path",
    [`${REQUEST}method`]: "method",
    [`${REQUEST}host`]: "authority",
    [`${REQUEST}path`]: "path",
    [`${REQUEST}query`]: "query",
    [`${REQUEST}protocol`]: "protocol",
    ...ofAddress("source", "downstream_remote_address", "client_port"),
    ...ofAddress("destination", "downstream_local_address", "server_port"),
    "input.attributes.source.principal": "peer_principal",
    "input.source_principal": "peer_principal",
    "input.attributes.destination.principal": "destination_principal",
    "input.attributes.destination.service": "destination_service",
    "input.attributes.tlsSession.sni": "requested_server_name",
  },
  headers: [`${REQUEST}headers.`],
  metadata: METADATA,
  namesBothSides: true,
  timeIsLine: true,
  matches: ({ keys, keySet }) =>
    keySet.has("decision_id") &&
    (keys.some((key) => key.startsWith(REQUEST)) ||
      (keySet.has("timestamp") &&
        (keySet.has("path") || keySet.has("query")) &&
        keys.some((key) => OWN_KEYS.some((own) => key === own || key.startsWith(`${own}.`))))),
  prepare(reading) {
    // By convention a path is a list of its segments.
    const { start, buffer } = reading;
    if (reading.has(FIELD.path) && buffer[start[FIELD.path]!] === CHAR.bracketOpen)
      reading.drop(FIELD.path);
  },
  decide: decideByResult,
  finish(reading) {
    reading.setText(ACCESS.Policy, FIELD.policy);
  },
});

function decideByResult(reading: Reading): void {
  reading.say(ACCESS.DecisionEngine, WORD.opa);
  const decision = decisionOf(reading);
  reading.say(ACCESS.Decision, decision);
  const source = decision === WORD.failed ? FIELD.error : FIELD.verdict;
  if (decision !== WORD.unknown) {
    reading.nameSource(source);
    reading.take(source);
  }
  if (decision === WORD.failed) reading.setText(ACCESS.DecisionReason, FIELD.error);
  else if (decision !== WORD.allowed) reading.setText(ACCESS.DecisionReason, FIELD.reason);
}

/** An error outranks a result. */
function decisionOf(reading: Reading): number {
  const result = FIELD.verdict;
  if (reading.has(FIELD.error)) return WORD.failed;
  if (!reading.has(result)) return WORD.unknown;
  if (reading.isTrue(result)) return WORD.allowed;
  const isFalse = reading.type[result] === VALUE_TYPES.bool || reading.is(result, FALSE);
  return isFalse ? WORD.denied : WORD.unknown;
}
