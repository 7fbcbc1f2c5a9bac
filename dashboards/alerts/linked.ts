import { WORKLOAD } from "../parts/sql.ts";
import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Access records without spans",
  summary:
    "Of the access records of sampled traces, more than a tenth has no span: spans are lost, or the proxies' access log lacks span IDs.",
  severity: "warning",
  seconds: 900,
  lasting: "10m",
  above: 0.1,
  dashboard: "meshproof-overview",
  // The newest two minutes are left out: their spans may be on the way.
  sql: `
SELECT ${WORKLOAD} AS Workload, 1 - countIf((LogId, LeafIndex) IN (
    SELECT AccessLog, AccessLeaf FROM trace_links
    WHERE Timestamp >= $__fromTime - INTERVAL 1 HOUR AND Rule NOT IN ('peer', 'decision')
  )) / count() AS unlinked
FROM access_records
WHERE Timestamp >= $__fromTime AND Timestamp <= $__toTime - INTERVAL 2 MINUTE AND TraceId != '' AND SampledHint != 0
GROUP BY Workload
HAVING count() >= 100
ORDER BY unlinked DESC
LIMIT 50`,
} satisfies AlertOptions;
