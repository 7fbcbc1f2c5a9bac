import { stat } from "../parts/panels.ts";

export default stat({
  title: "Open findings",
  description:
    "Blind spots, rejected records, contradicting identities and the like, in the time range, that were not resolved since.",
  thresholds: [
    [null, "green"],
    [1, "orange"],
  ],
  sql: `
SELECT countIf(state = 'open') AS findings
FROM (
  SELECT argMax(State, LeafIndex) AS state FROM findings
  WHERE $__timeFilter(Timestamp) AND Severity != 'info'
  GROUP BY LogId, FindingKind, Subject, Timestamp
)`,
});
