import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Something is not what was sealed",
  summary:
    "The server's own verification found rows, entries, tiles or checkpoints that are not what was sealed. Keep the machine as it is, and run meshproof verify elsewhere, from a copy.",
  severity: "critical",
  seconds: 3_600,
  above: 0,
  dashboard: "meshproof-integrity",
  sql: `
SELECT Subject, count() AS findings
FROM findings
WHERE $__timeFilter(Timestamp) AND FindingKind IN ('integrity_broken', 'witness_conflict') AND State = 'open'
GROUP BY Subject
LIMIT 20`,
} satisfies AlertOptions;
