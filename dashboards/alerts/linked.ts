import { IS_LINKED, sampled, WORKLOAD } from "../parts/sql.ts";
import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Access records without spans",
  summary:
    "Of the access records of traces that are known to be sampled, more than a tenth has no span: spans are lost, or the proxies' access log lacks span IDs.",
  severity: "warning",
  seconds: 900,
  lasting: "10m",
  above: 0.1,
  panel: "overview/23-linked",
  // The newest two minutes are left out: their spans may be on the way. So is what may not have been sampled.
  sql: `
SELECT ${WORKLOAD} AS Workload, 1 - countIf(${IS_LINKED}) / count() AS unlinked
FROM access_records
WHERE Timestamp >= $__fromTime AND Timestamp <= $__toTime - INTERVAL 2 MINUTE AND TraceId != '' AND SampledHint = 1 AND ${sampled("LeafIndex")}
GROUP BY Workload
HAVING count() >= 100
ORDER BY unlinked DESC
LIMIT 50`,
} satisfies AlertOptions;
