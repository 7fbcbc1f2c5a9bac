import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Nothing verified for a day",
  summary:
    "The server verifies itself each hour and each day unless configured otherwise; for 26 hours no run has come to a verdict.",
  severity: "warning",
  seconds: 691_200,
  above: 93_600,
  panel: "integrity/40-verifications",
  // Since the last verdict, else since the first record of a week: a log that is a day old may have none yet.
  sql: `
SELECT LogId, dateDiff('second', if(countIf(isVerdict) > 0, maxIf(Timestamp, isVerdict), min(Timestamp)), $__toTime) AS seconds
FROM (
  SELECT LogId, Timestamp, ControlKind = 'verified' AND Detail['integrity'] != '' AS isVerdict
  FROM control_records
  WHERE $__timeFilter(Timestamp)
)
GROUP BY LogId
HAVING max(Timestamp) >= $__toTime - INTERVAL 1 DAY
LIMIT 100`,
} satisfies AlertOptions;
