import { ACCESS } from "../../records/access-draft.ts";
import { ascii, equalRanges } from "../ascii.ts";
import { decide, NO_ENGINE } from "../decision.ts";
import { defineDialect } from "../dialect.ts";
import { FIELD } from "../fields.ts";
import type { Reading } from "../reading.ts";
import { WORD } from "../words.ts";

const ARN = ascii("arn:");
/** `failureReason` of a refusal, which may stand there alone. */
const ACCESS_DENIED = ascii("ClientAccessDenied");

/**
 * Access logs of AWS VPC Lattice, JSON: one object a request to a service, and one a connection to a resource. What is absent is a dash or null.
 * `authDeniedReason` says that an auth policy refused, and whose it was: a 403 alone is the target's. Callers are known by their signature (SigV4); the fields of an X.509
 * certificate are those of the session that IAM Roles Anywhere gave the caller for it, not of a handshake with Lattice.
 */
export default defineDialect({
  name: "aws_vpc_lattice",
  source:
    "https://docs.aws.amazon.com/vpc-lattice/latest/ug/monitoring-access-logs.html#access-log-contents",
  sharedKeys: false,
  keys: {
    startTime: "start_time",
    eventTimestamp: "start_time",
    duration: "duration",
    requestId: "request_id",
    serviceNetworkArn: "mesh_id",
    serviceArn: "destination_service",
    resourceConfigurationArn: "destination_service",
    targetGroupArn: "upstream_cluster",
    targetIpPort: "upstream_host",
    resourceIpPort: "upstream_host",
    sourceIpPort: "downstream_remote_address",
    destinationIpPort: "downstream_local_address",
    requestMethod: "method",
    requestPath: "path",
    hostHeader: "authority",
    protocol: "protocol",
    userAgent: "user_agent",
    responseCode: "response_code",
    grpcResponseCode: "grpc_status",
    failureReason: "response_code_details",
    bytesReceived: "bytes_received",
    bytesSent: "bytes_sent",
    serverNameIndication: "requested_server_name",
    sslCipher: "downstream_tls_cipher",
    tlsVersion: "downstream_tls_version",
    authDeniedReason: "reason",
    callerPrincipal: "peer_principal",
    resolvedUser: "resolved_user",
    callerX509SANURI: "caller_uri_san",
  },
  namesBothSides: true,
  matches: ({ keySet }) =>
    keySet.has("serviceNetworkArn") &&
    keySet.has("sourceIpPort") &&
    (keySet.has("startTime") || keySet.has("eventTimestamp")),
  prepare(reading) {
    if (reading.has(FIELD.peer_principal)) return;
    // `Anonymous` and `Unknown` stand there too.
    if (reading.beginsWith(FIELD.resolved_user, ARN))
      reading.swap(FIELD.peer_principal, FIELD.resolved_user);
    else reading.swap(FIELD.peer_principal, FIELD.caller_uri_san);
  },
  decide: decideByReason,
  finish(reading) {
    const { buffer, start, end } = reading;
    const caller = FIELD.peer_principal;
    const user = FIELD.resolved_user;
    if (
      reading.has(caller) &&
      reading.has(user) &&
      equalRanges(buffer, start[caller]!, end[caller]!, buffer, start[user]!, end[user]!)
    )
      reading.take(user);
  },
});

function decideByReason(reading: Reading): void {
  const { draft } = reading;
  const status = draft.low[ACCESS.StatusCode]!;
  const isApplication = status === 401 || status === 403;
  if (reading.has(FIELD.reason))
    return decide(reading, WORD.denied, WORD.auth_policy, FIELD.reason);
  if (reading.is(FIELD.response_code_details, ACCESS_DENIED))
    return decide(reading, WORD.denied, WORD.auth_policy, FIELD.response_code_details);
  if (reading.has(FIELD.response_code_details)) {
    reading.setText(ACCESS.TransportFailure, FIELD.response_code_details);
    return decide(reading, WORD.failed, NO_ENGINE, FIELD.response_code_details);
  }
  if (reading.has(FIELD.upstream_host))
    return decide(reading, WORD.allowed, isApplication ? WORD.app : NO_ENGINE, FIELD.upstream_host);
  if (status > 0 && status < 400)
    return decide(reading, WORD.allowed, NO_ENGINE, FIELD.response_code);
  if (status >= 500) return fail(reading);
  // A fixed response of the listener, or a refusal that nobody explains.
  reading.say(ACCESS.Decision, WORD.unknown);
}

/** No target was reached; the status alone says so. */
function fail(reading: Reading): void {
  reading.say(ACCESS.Decision, WORD.failed);
  reading.nameSource(FIELD.response_code);
}
