import { ACCESS } from "../../records/access-draft.ts";
import { ANSWERED_BY, decideByAnswer } from "../answered-by.ts";
import { ascii } from "../ascii.ts";
import { defineDialect } from "../dialect.ts";
import { FIELD } from "../fields.ts";
import { LineFormat, type LineFormatOptions } from "../line-format.ts";
import { mapAuthorityOfUrl } from "../request.ts";
import { WORD } from "../words.ts";

/** `x-amzn-trace-id`, which Linkerd writes as trace_id when there is neither B3 nor a request ID. */
const X_RAY = ascii("Root=");

const REQUEST = '%client.addr% %client.id% - [%timestamp%] "%method% %uri% %version%"';

function linkerdFormat(format: string, cutOff: LineFormatOptions = {}): LineFormat {
  const { classes = {} } = cutOff;
  return new LineFormat(format, {
    ...cutOff,
    classes: {
      "client.addr": "socket",
      "client.id": "word",
      timestamp: "instant",
      version: "word",
      status: "statuses",
      ...classes,
    },
    firstBytes: "0123456789[",
  });
}

/** Up to the method a server's log of any kind can begin so: not with an identity, nor in the proxy's own container. */
const CUT_OFF = { isPart: true, partialFrom: "method" } as const;

/**
 * Linkerd's proxies: a line in Apache's manner, or JSON, for each request that a proxy received. The client's name is that of its certificate, so it is authenticated.
 * No policy is named: a 403 can be the application's or Linkerd's. A request without a status was not answered.
 * `trace_id` is the first of B3's trace ID, the request ID and X-Ray's header that the request has.
 */
export default defineDialect({
  name: "linkerd",
  source: "https://linkerd.io/2/features/access-logging/",
  lines: [
    linkerdFormat(`${REQUEST} %status%`),
    linkerdFormat(REQUEST),
    linkerdFormat(`${REQUEST} %status%`, { ...CUT_OFF, classes: { "client.id": "identity" } }),
    linkerdFormat(`${REQUEST} %status%`, { ...CUT_OFF, writer: "linkerd-proxy" }),
  ],
  keys: {
    "client.addr": "downstream_remote_address",
    "client.id": "downstream_peer_uri_san",
    host: "authority",
    status: "response_code",
    total_ns: "duration_ns",
    request_bytes: "bytes_received",
    response_bytes: "bytes_sent",
    version: "protocol",
  },
  matches: ({ keySet }) =>
    keySet.has("client.addr") &&
    keySet.has("client.id") &&
    (keySet.has("uri") || keySet.has("total_ns") || keySet.has("processing_ns")),
  prepare(reading) {
    if (reading.beginsWith(FIELD.trace_id, X_RAY))
      reading.move(FIELD.trace_id, FIELD.x_amzn_trace_id);
  },
  decide(reading) {
    const status = reading.draft.low[ACCESS.StatusCode]!;
    // Of a line that was cut off the status may be missing.
    if (status === 0)
      return reading.say(ACCESS.Decision, reading.partial ? WORD.unknown : WORD.failed);
    // Its own are refusals, rate limits, and what it answers for an application that it does not reach.
    const mayBeOwn = status === 403 || status === 429 || status >= 500;
    decideByAnswer(
      reading,
      mayBeOwn ? ANSWERED_BY.unknown : ANSWERED_BY.upstream,
      FIELD.response_code,
    );
  },
  finish(reading) {
    reading.say(ACCESS.Direction, WORD.inbound);
    mapAuthorityOfUrl(reading, FIELD.path);
    if (reading.draft.isEmpty(ACCESS.TraceId)) reading.setText(ACCESS.RequestId, FIELD.trace_id);
  },
});
