import { ACCESS } from "../../records/access-draft.ts";
import { ANSWERED_BY, decideByAnswer } from "../answered-by.ts";
import { ascii } from "../ascii.ts";
import { mapDecision } from "../decision.ts";
import { defineDialect } from "../dialect.ts";
import { FIELD } from "../fields.ts";
import { mapForwardedClient } from "../forwarded-client.ts";
import type { Reading } from "../reading.ts";
import { mapAuthorityOfUrl } from "../request.ts";
import { WORD } from "../words.ts";
import { lastStatus } from "../tries.ts";

const METHODS = ["http.request.method", "http.method", "http.request.method_original"];
const TARGETS = [
  "url.path",
  "url.full",
  "url.original",
  "url.template",
  "http.route",
  "http.target",
  "http.url",
];
const LOAD_BALANCER_STATUS = "aws.elb.status.code";
const STATUSES = ["http.response.status_code", "http.status_code", LOAD_BALANCER_STATUS];
/** An application's log of an error that happened while it served a request, which its logger noted beside it. */
const EXCEPTIONS = ["exception.type", "exception.message", "exception.stacktrace"];
/** Attributes that those who answer requests write, and those who send them do not. */
const OF_SERVERS = [
  "client.address",
  "client.port",
  "http.client_ip",
  "source.address",
  "source.ip",
  "http.route",
  "http.target",
  "url.path",
  "http.server_name",
  "net.host.name",
  "net.host.port",
  "network.local.address",
];
const UPSTREAM = ascii("upstream");

/**
 * Whatever writes its requests under the names of OpenTelemetry's semantic conventions, old or new: applications, Kong Gateway, the Collector's receivers for load balancers.
 * A method, a target and a status make an access record, since only who has seen the answer knows all three. The time is when the record was written; who asked whom is often not said.
 */
export default defineDialect({
  name: "semconv",
  source: "https://opentelemetry.io/docs/specs/semconv/http/http-spans/",
  keys: {
    "kong.request.started_at": "start_time",
    time: "end_time",
    timestamp: "end_time",
    "@timestamp": "end_time",
    ts: "end_time",
    "http.server.request.duration": "duration_seconds",
    "http.client.request.duration": "duration_seconds",
    "http.request.duration": "duration_seconds",
    "kong.latency.total": "duration",
    "kong.latency.upstream": "upstream_service_time",
    "kong.request.id": "request_id",
    "aws.elb.aws_trace_id": "x_amzn_trace_id",
    "kong.auth.consumer.username": "end_user",
    "kong.auth.consumer.custom_id": "end_user",
    "kong.auth.consumer.id": "end_user",
    "network.peer.address": "downstream_remote_address",
    "net.sock.peer.addr": "downstream_remote_address",
    "net.peer.ip": "downstream_remote_address",
    "client.address": "client_address",
    "http.client_ip": "client_address",
    "client.ip": "client_address",
    "source.address": "client_address",
    "source.ip": "client_address",
    "network.peer.port": "client_port",
    "net.sock.peer.port": "client_port",
    "net.peer.port": "client_port",
    "client.port": "client_port",
    "source.port": "client_port",
    "user_agent.original": "user_agent",
    "http.user_agent": "user_agent",
    "server.address": "server_address",
    "http.server_name": "server_address",
    "net.host.name": "server_address",
    "url.domain": "server_address",
    "destination.address": "upstream_host",
    "destination.port": null,
    "kong.service.name": "upstream_cluster",
    "kong.upstream.try.3.ip": "upstream_host",
    "kong.upstream.try.2.ip": "upstream_host",
    "kong.upstream.try.1.ip": "upstream_host",
    "kong.route.name": "route_name",
    "http.route": "route_name",
    "url.template": "route_name",
    "network.protocol.name": "protocol",
    "net.protocol.name": "protocol",
    "network.protocol.version": "protocol_version",
    "net.protocol.version": "protocol_version",
    "http.flavor": "protocol_version",
    // There when the method is none of those that are known.
    "http.request.method_original": "method",
    "http.request.method": "method",
    "http.method": "method",
    "http.host": "authority",
    "url.path": "path",
    "http.target": "path",
    "url.full": "url",
    "url.original": "url",
    "http.url": "url",
    "http.response.status_code": "response_code",
    "http.status_code": "response_code",
    [LOAD_BALANCER_STATUS]: "response_code",
    "kong.upstream.status_code": "upstream_status",
    "aws.elb.backend.status.code": "upstream_status",
    "http.request.body.size": "bytes_received",
    "http.request_content_length_uncompressed": "bytes_received",
    "http.request_content_length": "bytes_received",
    "http.request.size": "bytes_received",
    "http.response.body.size": "bytes_sent",
    "http.response_content_length_uncompressed": "bytes_sent",
    "http.response_content_length": "bytes_sent",
    "http.response.size": "bytes_sent",
    "kong.response.source": "response_source",
  },
  isLastResort: true,
  timeIsLine: true,
  saysStart: true,
  matches: ({ keySet }) =>
    hasAny(keySet, METHODS) &&
    hasAny(keySet, TARGETS) &&
    hasAny(keySet, STATUSES) &&
    !hasAny(keySet, EXCEPTIONS),
  accepts: (reading) =>
    reading.has(FIELD.method) &&
    reading.has(FIELD.response_code) &&
    (reading.has(FIELD.path) || reading.has(FIELD.url) || reading.has(FIELD.route_name)),
  prepare(reading) {
    // Of who sends a request, the peer is the server.
    if (!reading.has(FIELD.downstream_remote_address) || hasAny(reading.plan.keySet, OF_SERVERS))
      return;
    reading.ignore(FIELD.downstream_remote_address);
    reading.ignore(FIELD.client_port);
  },
  decide(reading) {
    const upstream = lastStatus(reading);
    const source = FIELD.response_source;
    if (reading.has(source)) {
      const isUpstream = reading.is(source, UPSTREAM);
      reading.take(source);
      return decideByAnswer(reading, isUpstream ? ANSWERED_BY.upstream : ANSWERED_BY.proxy, source);
    }
    if (upstream > 0) return decideByAnswer(reading, ANSWERED_BY.upstream, FIELD.upstream_status);
    if (isLoadBalancer(reading))
      return decideByAnswer(reading, ANSWERED_BY.proxy, FIELD.response_code);
    mapDecision(reading);
  },
  finish(reading) {
    if (reading.has(FIELD.response_source) || isLoadBalancer(reading))
      reading.say(ACCESS.Direction, WORD.gateway);
    mapForwardedClient(reading);
    mapAuthorityOfUrl(reading, FIELD.url);
  },
});

function isLoadBalancer({ plan }: Reading): boolean {
  return plan.keySet.has(LOAD_BALANCER_STATUS);
}

function hasAny(keySet: ReadonlySet<string>, keys: readonly string[]): boolean {
  for (const key of keys) if (keySet.has(key)) return true;
  return false;
}
