import { ACCESS } from "../../records/access-draft.ts";
import { ascii, CHAR, indexOfText } from "../ascii.ts";
import { decide, NO_ENGINE } from "../decision.ts";
import { defineDialect } from "../dialect.ts";
import { FIELD } from "../fields.ts";
import { KeyValueLine } from "../key-value-line.ts";
import type { Reading } from "../reading.ts";
import { WORD } from "../words.ts";

/** ztunnel's errors of policies, each with the policy or the reason behind a colon (src/proxy.rs, Error). */
const REJECTED = [
  ascii("connection closed due to policy rejection"),
  ascii("connection closed due to policy change"),
] as const;
const REVOKED = ascii("connection closed: peer certificate revoked");
const DENIED_BY = ascii("explicitly denied by: ");
/** What the ztunnel of the other side answers to CONNECT when its policies refuse: it names the policy in a record of its own. */
const REFUSED_BY_PEER = [ascii("http status: 401"), ascii("http status: 403")] as const;
const OPENED = ascii("connection opened");
const OUTBOUND = ascii("outbound");
const ERROR = ascii("error");
/** Beside both addresses and the direction, which a firewall's logger may name as well: a record of ztunnel's has one of these. */
const OWN_KEYS = [
  "src.identity",
  "src.workload",
  "src.namespace",
  "dst.hbone_addr",
  "dst.service",
  "dst.workload",
  "dst.namespace",
  "dst.identity",
  "bytes_recv",
  "scope",
] as const;

/**
 * ztunnel, the node proxy of Istio's ambient mode: one line a connection, from each of the two nodes, as text or JSON; and one a request from builds that look into HTTP.
 * The time is that of the end. Identities are those of the handshake, so a plain-text peer has none.
 */
export default defineDialect({
  name: "ztunnel",
  source: "https://github.com/istio/ztunnel/blob/master/src/proxy/metrics.rs",
  lines: [
    new KeyValueLine([
      { scope: "access", message: "connection complete", last: "duration" },
      { scope: "access", message: "connection failed" },
      { scope: "access", message: "connection opened" },
      { scope: "http access", message: "request complete" },
      { scope: "http access", message: "http request" },
    ]),
  ],
  keys: {
    "src.addr": "downstream_remote_address",
    "src.identity": "downstream_peer_uri_san",
    "src.workload": "source_workload",
    "src.namespace": "source_namespace",
    "src.cluster": "source_cluster",
    "dst.addr": "server_address",
    "dst.hbone_addr": "downstream_local_address",
    "dst.service": "destination_service",
    "dst.workload": "destination_workload",
    "dst.namespace": "destination_namespace",
    "dst.identity": "destination_principal",
    "dst.cluster": "destination_cluster",
    bytes_recv: "bytes_received",
    error: "error",
    level: "level",
    message: "message",
  },
  namesBothSides: true,
  timeIsEnd: true,
  matches: ({ keySet }) =>
    keySet.has("src.addr") &&
    keySet.has("dst.addr") &&
    keySet.has("direction") &&
    OWN_KEYS.some((key) => keySet.has(key)),
  decide: decideByError,
  finish(reading) {
    const { draft } = reading;
    if (reading.is(FIELD.message, OPENED)) {
      reading.say(ACCESS.Phase, WORD.start);
      reading.say(ACCESS.TimeBasis, WORD.stream_start);
    }
    if (draft.isEmpty(ACCESS.Protocol) && draft.isEmpty(ACCESS.Method))
      reading.say(ACCESS.Protocol, WORD.TCP);
    // Sent is what ztunnel wrote to the far side: to the server where the connection goes out, to the client where it comes in.
    const isOutbound = reading.is(FIELD.direction, OUTBOUND);
    if (isOutbound) draft.swapNumbers(ACCESS.RequestBytes, ACCESS.ResponseBytes);
    if (draft.isEmpty(ACCESS.ClusterName))
      reading.setText(
        ACCESS.ClusterName,
        isOutbound ? FIELD.source_cluster : FIELD.destination_cluster,
      );
    if (draft.isEmpty(ACCESS.TransportFailure))
      reading.setText(ACCESS.TransportFailure, FIELD.error);
  },
});

/** No error is an allowance, once the connection has ended; the errors of policies are denials, all others failures. */
function decideByError(reading: Reading): void {
  const field = FIELD.error;
  if (!reading.has(field)) {
    // The error comes last: of what was cut off it may be missing, and its level then says that there was one.
    if (reading.isIgnoringCase(FIELD.level, ERROR)) reading.partial = true;
    if (reading.partial || !reading.has(FIELD.duration))
      return reading.say(ACCESS.Decision, WORD.unknown);
    return decide(reading, WORD.allowed, NO_ENGINE, FIELD.message);
  }
  if (REJECTED.some((text) => reading.beginsWith(field, text))) {
    decide(reading, WORD.denied, WORD.rbac, field);
    namePolicy(reading);
  } else if (REFUSED_BY_PEER.some((text) => reading.beginsWith(field, text)))
    decide(reading, WORD.denied, WORD.rbac, field);
  else if (reading.beginsWith(field, REVOKED)) decide(reading, WORD.denied, WORD.mtls, field);
  else decide(reading, WORD.failed, NO_ENGINE, field);
}

/** `explicitly denied by: namespace/name`. */
function namePolicy(reading: Reading): void {
  const { buffer, draft } = reading;
  const end = reading.end[FIELD.error]!;
  const at = indexOfText(buffer, DENIED_BY, reading.start[FIELD.error]!, end);
  if (at < 0) return;
  let stop = at + DENIED_BY.length;
  while (stop < end && buffer[stop]! > CHAR.space) stop++;
  draft.setText(ACCESS.Policy, at + DENIED_BY.length, stop);
}
