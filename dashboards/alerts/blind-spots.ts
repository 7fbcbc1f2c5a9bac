import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Blind spot",
  summary:
    "A proxy left spans and no access records: its access log is off, cut, or does not arrive. Subject names the workload.",
  severity: "warning",
  seconds: 900,
  above: 0,
  panel: "integrity/31-findings",
  sql: `
SELECT Subject, sum(toUInt64OrZero(Detail['count'])) AS requests
FROM findings
WHERE $__timeFilter(Timestamp) AND FindingKind = 'span_without_access' AND State = 'open'
GROUP BY Subject
ORDER BY requests DESC
LIMIT 50`,
} satisfies AlertOptions;
