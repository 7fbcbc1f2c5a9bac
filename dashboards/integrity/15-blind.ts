import { stat } from "../parts/panels.ts";

export default stat({
  title: "Blind spots",
  description:
    "Requests of which a proxy left a span and no access record, by open findings of the time range.",
  thresholds: [
    [null, "green"],
    [1, "orange"],
  ],
  sql: `
SELECT sum(toUInt64OrZero(Detail['count'])) AS requests
FROM findings
WHERE $__timeFilter(Timestamp) AND FindingKind = 'span_without_access' AND State = 'open'`,
});
