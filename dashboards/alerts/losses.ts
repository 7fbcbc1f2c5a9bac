import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Records refused, cut or put aside",
  summary:
    "meshproof refused records or batches, cut them, or put rows aside that ClickHouse refused. FindingKind and Subject say what and whose; the finding says why.",
  severity: "warning",
  seconds: 900,
  above: 0,
  panel: "integrity/31-findings",
  sql: `
SELECT FindingKind, Subject, count() AS findings
FROM findings
WHERE $__timeFilter(Timestamp) AND State = 'open'
  AND FindingKind IN ('rejected_record', 'refused_batch', 'quarantined', 'truncated', 'correlation_overflow')
GROUP BY FindingKind, Subject
ORDER BY findings DESC
LIMIT 50`,
} satisfies AlertOptions;
