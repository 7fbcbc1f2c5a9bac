import { defineDialect } from "../dialect.ts";
import { LineFormat } from "../line-format.ts";

const REQUEST =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%';
const BYTES =
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"';
const ROUTE =
  "%UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%";

/** Istio's default text line as the body of a log record, alone or with labels as attributes. The line outranks the labels. */
export default defineDialect({
  name: "istio_text",
  source:
    "https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format",
  lines: [
    // Since 1.9: pilot/pkg/model/telemetry_logging.go, EnvoyTextLogFormat.
    new LineFormat(
      `${REQUEST} %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" ${BYTES} ${ROUTE}`,
      { partialFrom: "RESPONSE_FLAGS" },
    ),
    // 1.5 to 1.8, and before these with what Mixer said.
    new LineFormat(`${REQUEST} "%UPSTREAM_TRANSPORT_FAILURE_REASON%" ${BYTES} ${ROUTE}`),
    new LineFormat(
      `${REQUEST} "%DYNAMIC_METADATA(istio.mixer:status)%" "%UPSTREAM_TRANSPORT_FAILURE_REASON%" ${BYTES} ${ROUTE}`,
    ),
  ],
});
