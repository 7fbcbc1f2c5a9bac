import { ACCESS } from "../../records/access-draft.ts";
import { ANSWERED_BY, decideByAnswer } from "../answered-by.ts";
import { ascii, CHAR, indexOf, indexOfText } from "../ascii.ts";
import { defineDialect } from "../dialect.ts";
import { appendWithoutQuoteEscapes } from "../escapes.ts";
import type { Expansion } from "../expansion.ts";
import { FIELD } from "../fields.ts";
import { mapForwardedClient } from "../forwarded-client.ts";
import { LINE } from "../line.ts";
import { LineFormat } from "../line-format.ts";
import { NO_NUMBER, readInteger } from "../numbers.ts";
import type { Reading } from "../reading.ts";
import type { ScopeTraits } from "../scope-traits.ts";
import { lastStatus } from "../tries.ts";
import { WORD } from "../words.ts";

const SCOPE = "traefik";
const LINE_END = ascii("ms");
const SCHEME_END = ascii("://");
const MAX_RETRIES = 0xfffe;
/** The router of version 1 for what has none. */
const NOT_FOUND = ascii("backend not found");

const CLIENT = "%ClientHost% - %ClientUsername%";
const REQUEST = '[%StartUTC%] "%RequestMethod% %RequestPath% %RequestProtocol%"';
const SIZES = "%DownstreamStatus% %DownstreamContentSize%";
const REFERER = '"%request_Referer%"';
const USER_AGENT = '"%request_User-Agent%"';
const TAIL = "%RequestCount% %RouterName% %ServiceURL% %duration%ms";

/**
 * Traefik's own form of the Common Log Format. Without its last fields it is everybody's, so all of them must be there.
 * What Traefik sends by OTLP has all of it as attributes, in finer units, and the line in the body only repeats them.
 * Source: pkg/middlewares/accesslog/logger_formatters.go.
 */
class TraefikLine extends LineFormat {
  constructor(format: string, isPart = false) {
    super(format, {
      classes: {
        ClientHost: "free",
        ClientUsername: "free",
        StartUTC: "common_time",
        DownstreamStatus: "number",
        DownstreamContentSize: "number",
        RequestCount: "number",
        RouterName: "quoted",
        ServiceURL: "quoted",
      },
      isPart,
      unescape: appendWithoutQuoteEscapes,
    });
  }

  override read(into: Expansion, start: number, end: number, traits: ScopeTraits): number {
    const { bytes } = into;
    const isWhole = bytes[end - 2] === LINE_END[0] && bytes[end - 1] === LINE_END[1];
    return isWhole && traits.scopeName !== SCOPE
      ? super.read(into, start, end, traits)
      : LINE.foreign;
  }
}

/**
 * Traefik: lines of text, JSON lines, and attributes by OTLP, the latter two under the same names. The record's own time is that of logging, `StartUTC` the start.
 * `ClientHost` is X-Forwarded-For where the request has it, so it never outranks `ClientAddr`. Traefik gives no reasons: an `OriginStatus` of 0, or none, means that it answered itself.
 * `TLSClientSubject` is there for certificates of any kind, as Traefik is configured to check them.
 */
export default defineDialect({
  name: "traefik",
  source:
    "https://doc.traefik.io/traefik/reference/install-configuration/observability/logs-and-accesslogs/",
  lines: [
    new TraefikLine(`${CLIENT} ${REQUEST} ${SIZES} ${REFERER} ${USER_AGENT} ${TAIL}`),
    // Up to 1.7 a header that is not there is a bare dash; up to 1.4 a status is spelled in Go's way.
    new TraefikLine(`${CLIENT} ${REQUEST} ${SIZES} - ${USER_AGENT} ${TAIL}`),
    new TraefikLine(`${CLIENT} ${REQUEST} ${SIZES} ${REFERER} - ${TAIL}`),
    new TraefikLine(`${CLIENT} ${REQUEST} ${SIZES} - - ${TAIL}`),
    new TraefikLine(`${CLIENT} ${REQUEST} %%!d(<nil>) %%!d(<nil>) - ${USER_AGENT} ${TAIL}`),
    // Without its head.
    new TraefikLine(`${REQUEST} ${SIZES} ${REFERER} ${USER_AGENT} ${TAIL}`, true),
  ],
  keys: {
    StartUTC: "start_time",
    StartLocal: "start_time",
    time: "end_time",
    Duration: "duration_ns",
    OriginDuration: "upstream_duration_ns",
    ClientAddr: "downstream_remote_address",
    ClientHost: "client_address",
    ClientPort: "client_port",
    ClientUsername: "basic_auth_user",
    RequestAddr: "authority",
    RequestHost: "authority",
    RequestPort: null,
    RequestMethod: "method",
    RequestPath: "path",
    RequestProtocol: "protocol",
    RequestContentSize: "bytes_received",
    DownstreamContentSize: "bytes_sent",
    DownstreamStatus: "response_code",
    OriginStatus: "upstream_status",
    RetryAttempts: "retries",
    RouterName: "route_name",
    FrontendName: "route_name",
    ServiceName: "upstream_cluster",
    BackendName: "upstream_cluster",
    ServiceAddr: "upstream_host",
    BackendAddr: "upstream_host",
    // Of versions that write URLs as objects, its host.
    ServiceURL: "upstream_addr",
    "ServiceURL.Host": "upstream_addr",
    "BackendURL.Host": "upstream_addr",
    TLSVersion: "downstream_tls_version",
    TLSCipher: "downstream_tls_cipher",
    TLSClientSubject: "downstream_peer_subject",
    "downstream_Grpc-Status": "grpc_status",
    "origin_Grpc-Status": "grpc_status",
  },
  headers: ["request_"],
  responseHeaders: ["downstream_", "origin_"],
  // Headers may be called like the words of others: `downstream_Peer-Uri-San` is the application's.
  outranksOthers: true,
  timeIsEnd: true,
  saysStart: true,
  matches: ({ keySet }) =>
    (keySet.has("DownstreamStatus") || keySet.has("Overhead") || keySet.has("RequestCount")) &&
    (keySet.has("RequestMethod") || keySet.has("RequestPath") || keySet.has("RouterName")),
  prepare(reading) {
    // A duration of 0 then says nothing.
    if (lastStatus(reading) === 0) reading.forget(FIELD.upstream_duration_ns);
  },
  decide(reading) {
    const status = lastStatus(reading);
    if (reading.is(FIELD.route_name, NOT_FOUND))
      return decideByAnswer(reading, ANSWERED_BY.proxy, FIELD.route_name);
    if (status > 0) return decideByAnswer(reading, ANSWERED_BY.upstream, FIELD.upstream_status);
    const server = serverField(reading);
    if (server !== 0) return decideByAnswer(reading, ANSWERED_BY.upstream, server);
    decideByAnswer(
      reading,
      ANSWERED_BY.proxy,
      reading.has(FIELD.upstream_status) ? FIELD.upstream_status : FIELD.response_code,
    );
  },
  finish(reading) {
    const { draft } = reading;
    reading.say(ACCESS.Direction, WORD.gateway);
    // The resource names Traefik itself.
    if (!draft.isEmpty(ACCESS.UpstreamCluster))
      draft.copyText(ACCESS.ServiceName, ACCESS.UpstreamCluster);
    mapServer(reading);
    mapAttempts(reading);
    mapClient(reading);
  },
});

/** The field that names the server which got the request, or 0. Traefik fills them in on the way to it. */
function serverField(reading: Reading): number {
  if (reading.has(FIELD.upstream_host)) return FIELD.upstream_host;
  return serverOfUrl(reading) ? FIELD.upstream_addr : 0;
}

/** Puts UpstreamAddress where the host stands in `ServiceURL`, which says more and so stays in LogAttributes. */
function mapServer(reading: Reading): void {
  const { draft, buffer } = reading;
  if (!draft.isEmpty(ACCESS.UpstreamAddress) || !serverOfUrl(reading)) return;
  const end = reading.end[FIELD.upstream_addr]!;
  const start = startOfHost(reading);
  const slash = indexOf(buffer, CHAR.slash, start, end);
  draft.setText(ACCESS.UpstreamAddress, start, slash < 0 ? end : slash);
  if (start === reading.start[FIELD.upstream_addr] && slash < 0) reading.take(FIELD.upstream_addr);
}

/** Does the URL name a host? That of version 1 for no backend is `/`. */
function serverOfUrl(reading: Reading): boolean {
  const field = FIELD.upstream_addr;
  return reading.has(field) && reading.buffer[startOfHost(reading)] !== CHAR.slash;
}

function startOfHost({ buffer, start, end }: Reading): number {
  const field = FIELD.upstream_addr;
  const scheme = indexOfText(buffer, SCHEME_END, start[field]!, end[field]!);
  return scheme < 0 ? start[field]! : scheme + SCHEME_END.length;
}

/** The first attempt is no retry. Where no server got the request there was none. */
function mapAttempts(reading: Reading): void {
  const { draft } = reading;
  if (!reading.has(FIELD.retries)) return;
  const retries = readInteger(reading, FIELD.retries, MAX_RETRIES);
  if (retries === NO_NUMBER) return;
  reading.take(FIELD.retries);
  if (retries > 0 || !draft.isEmpty(ACCESS.UpstreamAddress))
    draft.setNumber(ACCESS.Attempts, retries + 1);
}

/** What a header said of the client is not the peer's address; where Traefik gives nothing else, it is marked as a header's word. */
function mapClient(reading: Reading): void {
  const { draft, address, buffer, start, end } = reading;
  if (reading.has(FIELD.downstream_remote_address)) {
    mapForwardedClient(reading);
    if (draft.low[ACCESS.PeerPort] !== 0) reading.take(FIELD.client_port);
    return;
  }
  const field = FIELD.client_address;
  if (!reading.has(field)) return;
  if (!address.parse(buffer, start[field]!, end[field]!))
    return reading.setText(ACCESS.ForwardedFor, field);
  if (draft.isEmpty(ACCESS.PeerPrincipal)) reading.say(ACCESS.ActorAssurance, WORD.header);
}
