import { ACCESS } from "../../records/access-draft.ts";
import { ANSWERED_BY, decideByAnswer } from "../answered-by.ts";
import { equalRanges } from "../ascii.ts";
import { defineDialect } from "../dialect.ts";
import { appendWithoutHexEscapes } from "../escapes.ts";
import { FIELD } from "../fields.ts";
import { LineFormat, type LineFormatOptions } from "../line-format.ts";
import { mapAuthorityOfUrl } from "../request.ts";
import type { Reading } from "../reading.ts";
import { lastStatus, mapTries } from "../tries.ts";
import { WORD } from "../words.ts";

const CLIENT = "%remote_addr% - %remote_user%";
/** Up to 0.25; before 0.10 the bracket holds X-Forwarded-For. */
const REAL_IP = "%remote_addr% - [%the_real_ip%] - %remote_user%";
const REQUEST =
  '[%time_local%] "%request%" %status% %body_bytes_sent% "%http_referer%" "%http_user_agent%"';
const COST = "%request_length% %request_time%";
const NAMES = "[%proxy_upstream_name%] [%proxy_alternative_upstream_name%]";
/** Up to 0.21. */
const NAME = "[%proxy_upstream_name%]";
const UPSTREAM =
  "%upstream_addr% %upstream_response_length% %upstream_response_time% %upstream_status%";

const SESSION = "[%time_local%] %protocol% %status% %bytes_sent% %bytes_received% %session_time%";

/** A format of nginx with its default escapes: no quotation mark stands in a value. A line begins with an address, or with `unix:`. */
function nginxFormat(format: string, part: LineFormatOptions = {}): LineFormat {
  return new LineFormat(format, {
    ...part,
    classes: {
      remote_addr: "word",
      the_real_ip: "text",
      remote_user: "unbracketed",
      time_local: "common_time",
      status: "statuses",
      body_bytes_sent: "number",
      request_length: "number",
      request_time: "number",
      proxy_upstream_name: "text",
      proxy_alternative_upstream_name: "text",
      upstream_addr: "list",
      upstream_response_length: "numbers",
      upstream_response_time: "numbers",
      upstream_status: "statuses",
      req_id: "word",
      protocol: "word",
      bytes_sent: "number",
      bytes_received: "number",
      session_time: "number",
      ssl_preread_server_name: "word",
      _more: "free",
    },
    firstBytes: "0123456789abcdefABCDEF:u",
    unescape: appendWithoutHexEscapes,
  });
}

const PART = { isPart: true } as const;
/** Up to the user agent a line is everybody's, but for the controller's own. */
const CUT_OFF = { ...PART, partialFrom: "time_local", writer: "ingress-nginx" } as const;

/** Names that only the controller's configuration defines. */
const OF_CONTROLLER = [
  "proxy_upstream_name",
  "proxyUpstreamName",
  "proxy_alternative_upstream_name",
  "proxyAlternativeUpstreamName",
];
/** Names of nginx's variables, one of which beside the client's address, the status and the time that it took shows who wrote the record. */
const OF_NGINX = [
  "upstream_addr",
  "upstream_status",
  "upstream_response_time",
  "req_id",
  "request_length",
  "body_bytes_sent",
  "http_user_agent",
  "vhost",
];

/**
 * ingress-nginx: the line `upstreaminfo` of all its versions, JSON lines under the names of nginx's variables, and session lines of streams.
 * The time is that of logging, the end. Servers that were tried stand in lists. `req_id` is what a client sent, or 32 hex digits by chance: no trace ID.
 * Without the fields behind the user agent a line is the combined log format, which is anybody's unless the resource names the controller.
 */
export default defineDialect({
  name: "ingress_nginx",
  source: "https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/",
  lines: [
    nginxFormat(`${REAL_IP} ${REQUEST} ${COST} ${NAMES} ${UPSTREAM} %req_id%`),
    nginxFormat(`${REAL_IP} ${REQUEST} ${COST} ${NAME} ${UPSTREAM} %req_id%`),
    nginxFormat(`${REAL_IP} ${REQUEST} ${COST} ${NAME} ${UPSTREAM}`),
    nginxFormat(`${CLIENT} ${REQUEST} ${COST} ${NAMES} ${UPSTREAM} %req_id%`),
    nginxFormat(`${CLIENT} ${REQUEST} ${COST} ${NAME} ${UPSTREAM} %req_id%`),
    // With what somebody added, and cut off or changed behind the first name.
    nginxFormat(`${REAL_IP} ${REQUEST} ${COST} ${NAMES} ${UPSTREAM} %req_id% %_more%`, PART),
    nginxFormat(`${CLIENT} ${REQUEST} ${COST} ${NAMES} ${UPSTREAM} %req_id% %_more%`, PART),
    nginxFormat(`${REAL_IP} ${REQUEST} ${COST} ${NAME}%_more%`, PART),
    nginxFormat(`${CLIENT} ${REQUEST} ${COST} ${NAME}%_more%`, PART),
    nginxFormat(`${REAL_IP} ${REQUEST} ${COST} [%_more%`, PART),
    nginxFormat(`${CLIENT} ${REQUEST} ${COST} [%_more%`, PART),
    nginxFormat(`${REAL_IP} ${REQUEST} ${COST} ${NAMES}`, CUT_OFF),
    nginxFormat(`${CLIENT} ${REQUEST} ${COST} ${NAMES}`, CUT_OFF),
    // Streams: of newer versions, of older ones, and of F5's controller (nginx/kubernetes-ingress, internal/configs/version1/nginx.tmpl).
    nginxFormat(`[%remote_addr%] ${SESSION}`),
    nginxFormat(SESSION),
    nginxFormat(`%remote_addr% ${SESSION} "%ssl_preread_server_name%"`),
  ],
  keys: {
    msec: "start_time",
    time_iso8601: "start_time",
    time_local: "start_time",
    time: "start_time",
    ts: "start_time",
    timestamp: "start_time",
    "@timestamp": "start_time",
    request_time: "duration_seconds",
    session_time: "duration_seconds",
    duration: "duration_seconds",
    upstream_response_time: "upstream_response_time",
    upstream_duration: "upstream_response_time",
    latency: "upstream_response_time",
    req_id: "request_id",
    request_id: "request_id",
    requestID: "request_id",
    requestId: "request_id",
    http_x_request_id: "request_id",
    opentelemetry_trace_id: "trace_id",
    opentelemetry_span_id: "span_id",
    http_traceparent: "traceparent",
    remote_addr: "client_address",
    remoteIp: "client_address",
    remote_port: "client_port",
    http_x_forwarded_for: "x_forwarded_for",
    x_forwarded_for: "x_forwarded_for",
    x_forward_for: "x_forwarded_for",
    xff: "x_forwarded_for",
    the_real_ip: "x_forwarded_for",
    ssl_protocol: "downstream_tls_version",
    ssl_cipher: "downstream_tls_cipher",
    ssl_server_name: "requested_server_name",
    ssl_preread_server_name: "requested_server_name",
    http_user_agent: "user_agent",
    userAgent: "user_agent",
    user_agent: "user_agent",
    namespace: "namespace",
    service_name: "destination_service",
    serviceName: "destination_service",
    proxy_upstream_name: "upstream_cluster",
    proxyUpstreamName: "upstream_cluster",
    upstream_addr: "upstream_addr",
    upstreamAddr: "upstream_addr",
    upstream_status: "upstream_status",
    upstreamStatus: "upstream_status",
    request: "request_line",
    request_method: "method",
    requestMethod: "method",
    http_host: "authority",
    vhost: "authority",
    host: "authority",
    domain: "authority",
    request_uri: "path",
    path: "path",
    uri: "path",
    args: "query",
    request_query: "query",
    query_string: "query",
    requestUrl: "url",
    server_protocol: "protocol",
    request_proto: "protocol",
    protocol: "protocol",
    status: "response_code",
    request_length: "bytes_received",
    requestSize: "bytes_received",
    // Without the headers.
    body_bytes_sent: "bytes_sent",
    body_bytes: "bytes_sent",
    bytes_sent: "bytes_sent",
    responseSize: "bytes_sent",
    connection: "connection_id",
  },
  timeIsEnd: true,
  matches: ({ keySet }) =>
    keySet.has("status") &&
    (OF_CONTROLLER.some((key) => keySet.has(key)) ||
      ((keySet.has("remote_addr") || keySet.has("remoteIp")) &&
        keySet.has("request_time") &&
        OF_NGINX.some((key) => keySet.has(key)))),
  prepare(reading) {
    const { buffer, start, end } = reading;
    const forwarded = FIELD.x_forwarded_for;
    const client = FIELD.client_address;
    // The address of the client once more.
    if (
      reading.has(forwarded) &&
      reading.has(client) &&
      equalRanges(buffer, start[forwarded]!, end[forwarded]!, buffer, start[client]!, end[client]!)
    )
      reading.forget(forwarded);
  },
  decide(reading) {
    const status = reading.draft.low[ACCESS.StatusCode]!;
    const upstream = lastStatus(reading);
    const isRefused = status === 401 || status === 403 || status === 429;
    if (upstream > 0 && (upstream === status || !isRefused))
      return decideByAnswer(reading, ANSWERED_BY.upstream, FIELD.upstream_status);
    // Of a line that was cut off nobody can say who sent the client elsewhere: it may be to the page where one logs in.
    if (reading.partial && upstream === 0 && status >= 300 && status < 400)
      return reading.say(ACCESS.Decision, WORD.unknown);
    // A status list that is there and says nothing: no server was asked.
    const isOwn = upstream > 0 || (!reading.has(FIELD.upstream_addr) && namesUpstream(reading));
    decideByAnswer(
      reading,
      isOwn ? ANSWERED_BY.proxy : ANSWERED_BY.unknown,
      upstream > 0 ? FIELD.upstream_status : FIELD.response_code,
    );
  },
  finish(reading) {
    reading.say(ACCESS.Direction, WORD.gateway);
    mapAuthorityOfUrl(reading, FIELD.url);
    mapTries(reading);
  },
});

/** Would the record name the servers that were tried? A session of a stream does not, and ends with nginx's own status. */
function namesUpstream({ plan: { keySet } }: Reading): boolean {
  return (
    keySet.has("upstream_addr") ||
    keySet.has("upstreamAddr") ||
    keySet.has("upstream_status") ||
    keySet.has("session_time")
  );
}
