import { metrics } from "../parts/panels.ts";
import { rate } from "../parts/promql.ts";

export default metrics({
  title: "Stored, by kind",
  description:
    "Rows a second that ClickHouse has taken, and those that it refused and that were put aside.",
  unit: "cps",
  queries: {
    "{{kind}}": `sum by (kind) (${rate("meshproof_stored_records")})`,
    "put aside, {{kind}}": `sum by (kind) (${rate("meshproof_quarantined_rows")})`,
    "failed, tried again": `sum(${rate("otelcol_exporter_send_failed_log_records")}) + sum(${rate("otelcol_exporter_send_failed_spans")})`,
  },
});
