import { WEIGHTS } from "../attribute-keys.ts";
import { defineDialect } from "../dialect.ts";

/** Fields that must be there when Envoy's labels are not. */
const MIN_FIELDS = 4;
/** Envoy writes no scope; where there is one, a collector or an SDK was at work, and more must speak for Envoy. */
const SCOPE_WEIGHT = 2;

/**
 * Envoy's OpenTelemetry access logger with attributes, whatever names the user chose for them; also Envoy's JSON lines whose keys a collector made attributes.
 * A record is claimed when the resource carries Envoy's labels, or when keys that are Envoy's own stand among its attributes: one of them
 * beside a request, or several of the words that Envoy shares with others. HTTP attributes of the semantic conventions alone are any application's.
 */
export default defineDialect({
  name: "envoy_otel",
  source:
    "https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/access_loggers/open_telemetry/v3/logs_service.proto",
  matches(plan, traits) {
    if (traits.envoyLabels) return plan.fieldCount >= 2;
    const needed =
      (plan.hasRequest ? WEIGHTS.sure : WEIGHTS.sure + WEIGHTS.likely) +
      (traits.scopeName === "" ? 0 : SCOPE_WEIGHT);
    return plan.fieldCount >= MIN_FIELDS && plan.weight >= needed;
  },
});
