import { metrics } from "../parts/panels.ts";
import { quantile } from "../parts/promql.ts";

export default metrics({
  title: "Where time goes, p99",
  description: "From a request's bytes to rows, one fsync of the journal, one INSERT.",
  unit: "s",
  queries: {
    "decode {{signal}}": quantile(0.99, "meshproof_decode_duration_seconds", "signal"),
    "journal fsync": quantile(0.99, "meshproof_journal_fsync_duration_seconds"),
    "insert {{kind}}": quantile(0.99, "meshproof_insert_duration_seconds", "kind"),
  },
});
