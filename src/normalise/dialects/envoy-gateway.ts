import { ACCESS } from "../../records/access-draft.ts";
import { defineDialect } from "../dialect.ts";
import { FAMILY, familyOf, isEnvoyShape } from "../envoy-family.ts";
import { WORD } from "../words.ts";

/**
 * Envoy Gateway's JSON lines and attributes: Envoy's words, but headers under their own names (`:authority`, `x-envoy-origin-path`, `x-request-id`) and routes named after the
 * Kubernetes objects. Up to 1.2 all values are text, and a quotation mark in a header breaks the JSON: then what stands before it is read. The time is that of the start.
 */
export default defineDialect({
  name: "envoy_gateway",
  source: "https://gateway.envoyproxy.io/docs/tasks/observability/proxy-accesslog/",
  matches: isEnvoyShape,
  accepts: (reading) => familyOf(reading) === FAMILY.envoyGateway,
  finish: (reading) => reading.say(ACCESS.Direction, WORD.gateway),
});
