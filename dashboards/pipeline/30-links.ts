import { metrics } from "../parts/panels.ts";
import { rate } from "../parts/promql.ts";

export default metrics({
  title: "Links",
  description:
    "Links a second between access records and spans by rule, and records that left the correlation window early.",
  unit: "cps",
  queries: {
    "{{rule}}": `sum by (rule) (${rate("meshproof_links")})`,
    "left early": `sum(${rate("meshproof_correlation_overflow_records")})`,
  },
});
