import { defineDialect } from "../dialect.ts";
import { FAMILY, familyOf, isEnvoyShape } from "../envoy-family.ts";

/**
 * Envoy's OpenTelemetry access logger with attributes, whatever names the user chose for them; a body that is JSON or a list of values; and JSON lines of an Envoy
 * that no mesh can be told of. All values are text, and a dash is nothing. The time is that of the start.
 */
export default defineDialect({
  name: "envoy_otel",
  source:
    "https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/access_loggers/open_telemetry/v3/logs_service.proto",
  matches: isEnvoyShape,
  accepts: (reading) => familyOf(reading) === FAMILY.envoy,
});
