import { metrics } from "../parts/panels.ts";
import { rate } from "../parts/promql.ts";

export default metrics({
  title: "Accepted",
  description: "Records a second in requests that were answered with 200: they are on disk.",
  unit: "cps",
  queries: {
    "log records": `sum(${rate("otelcol_receiver_accepted_log_records")})`,
    spans: `sum(${rate("otelcol_receiver_accepted_spans")})`,
  },
});
