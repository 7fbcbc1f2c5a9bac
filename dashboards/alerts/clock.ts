import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "The clock was set",
  summary:
    "The wall clock of meshproof's machine jumped. Times on both sides of it cannot be compared; the order in the log can.",
  severity: "warning",
  seconds: 900,
  above: 0,
  panel: "integrity/31-findings",
  sql: `
SELECT LogId, count() AS jumps
FROM findings
WHERE $__timeFilter(Timestamp) AND FindingKind = 'clock_jump'
GROUP BY LogId
LIMIT 100`,
} satisfies AlertOptions;
