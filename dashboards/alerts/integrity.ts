import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Something is not what was sealed",
  summary:
    "The server's own verification, or the expiry of a partition, found what is not what was sealed, or a witness knows another history. Keep the machine as it is, and run meshproof verify elsewhere, from a copy.",
  severity: "critical",
  // Everything is verified daily: what is still broken is found again before the alert ends.
  seconds: 93_600,
  above: 0,
  panel: "integrity/10-integrity",
  sql: `
SELECT Subject, count() AS findings
FROM findings
WHERE $__timeFilter(Timestamp) AND FindingKind IN ('integrity_broken', 'witness_conflict', 'expiry_refused') AND State = 'open'
GROUP BY Subject
LIMIT 20`,
} satisfies AlertOptions;
