import { defineDialect } from "../dialect.ts";
import { phaseByDuration } from "../envoy-family.ts";
import { LineFormat } from "../line-format.ts";

/** Envoy, configuration/observability/access_log/usage, "Default format string". */
const REQUEST =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION%';
const DEFAULT = `${REQUEST} %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"`;
/** Tells the last field from one in front of it, where the line was cut off. */
const classes = { UPSTREAM_HOST: "host" } as const;

/**
 * Envoy's default text line, which Contour, AWS App Mesh and early Envoy Gateways write as well, and Emissary with `ACCESS` in front. It names neither who refused nor a policy: a denial
 * can be told by the flags alone. The time is that of the start.
 */
export default defineDialect({
  name: "envoy_text",
  source:
    "https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#default-format-string",
  lines: [
    new LineFormat(DEFAULT, { classes, partialFrom: "BYTES_SENT" }),
    new LineFormat(`ACCESS ${DEFAULT}`, { classes, partialFrom: "BYTES_SENT" }),
    // Cut off behind the numbers.
    new LineFormat(`${REQUEST} %_more%`, { classes: { _more: "free" }, isPart: true }),
  ],
  finish: phaseByDuration,
});
