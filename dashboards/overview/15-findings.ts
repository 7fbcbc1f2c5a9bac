import { stat } from "../parts/panels.ts";

export default stat({
  title: "Open findings",
  description:
    "Blind spots, rejected records, contradicting identities and the like, in the time range.",
  thresholds: [
    [null, "green"],
    [1, "orange"],
  ],
  sql: `
SELECT uniqExact(LogId, FindingKind, Subject, Timestamp) AS findings
FROM findings
WHERE $__timeFilter(Timestamp) AND State = 'open' AND Severity != 'info'`,
});
