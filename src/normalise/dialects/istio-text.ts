import { defineDialect } from "../dialect.ts";
import { phaseByDuration } from "../envoy-family.ts";
import { LineFormat } from "../line-format.ts";

const REQUEST =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%';
const BYTES =
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"';
const ROUTE =
  "%UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME%";
const FAILURE = '"%UPSTREAM_TRANSPORT_FAILURE_REASON%"';
const MIXER = '"%DYNAMIC_METADATA(istio.mixer:status)%"';
const CURRENT = `${REQUEST} %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ${FAILURE} ${BYTES} ${ROUTE} %ROUTE_NAME%`;
const classes = { "DYNAMIC_METADATA(istio.mixer:status)": "text" } as const;

/**
 * Istio's default text line, of all versions, as the body of a log record, alone or with labels as attributes; the line outranks the labels. A line of another format that begins or ends as these
 * do is read as far as it goes. Envoy escapes nothing, so what a client sends may look like the rest of the line (see line-format.ts). The time is that of the start.
 */
export default defineDialect({
  name: "istio_text",
  source:
    "https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format",
  lines: [
    // Since 1.9: pilot/pkg/model/telemetry_logging.go, EnvoyTextLogFormat.
    new LineFormat(CURRENT, { partialFrom: "RESPONSE_FLAGS" }),
    // 1.8; 1.3 to 1.7 with what Mixer said; 1.2 without a route; 1.1 without the failure; 1.0 without Mixer.
    new LineFormat(`${REQUEST} ${FAILURE} ${BYTES} ${ROUTE} %ROUTE_NAME%`, {
      partialFrom: "BYTES_SENT",
    }),
    new LineFormat(`${REQUEST} ${MIXER} ${FAILURE} ${BYTES} ${ROUTE} %ROUTE_NAME%`, {
      classes,
      partialFrom: "BYTES_SENT",
    }),
    new LineFormat(`${REQUEST} ${MIXER} ${FAILURE} ${BYTES} ${ROUTE}`, { classes }),
    new LineFormat(`${REQUEST} ${MIXER} ${BYTES} ${ROUTE}`, { classes }),
    new LineFormat(`${REQUEST} ${BYTES} ${ROUTE}`),
    // Cut off behind Envoy's words for what became of the request, which nobody else writes there; or anywhere, where the sidecar's container wrote it.
    new LineFormat(`${REQUEST} %RESPONSE_CODE_DETAILS% %_more%`, {
      classes: { RESPONSE_CODE_DETAILS: "details", _more: "free" },
      isPart: true,
    }),
    new LineFormat(`${REQUEST} %_more%`, {
      classes: { START_TIME: "instant", _more: "free" },
      isPart: true,
      writer: "istio-proxy",
    }),
    new LineFormat(CURRENT, {
      classes: { START_TIME: "instant" },
      partialFrom: "REQ(:METHOD)",
      isPart: true,
      writer: "istio-proxy",
    }),
  ],
  finish: phaseByDuration,
});
