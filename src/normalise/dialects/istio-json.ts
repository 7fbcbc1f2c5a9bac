import { defineDialect } from "../dialect.ts";
import { FAMILY, familyOf, isEnvoyShape } from "../envoy-family.ts";

/**
 * Istio's JSON lines, as a body or with their keys as attributes. Old versions write all values as text and a dash for nothing, newer ones numbers and null. Consul writes the same
 * keys, so it is the names of clusters that count, and the set of keys where there are none. The time is that of the start.
 */
export default defineDialect({
  name: "istio_json",
  source:
    "https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format",
  matches: isEnvoyShape,
  accepts: (reading) => familyOf(reading) === FAMILY.istio,
});
