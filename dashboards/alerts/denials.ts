import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Many more denials than an hour ago",
  summary:
    "A policy refuses ten times what it refused in the hour before: a rollout that went wrong, or somebody who tries doors.",
  severity: "warning",
  seconds: 600,
  lasting: "2m",
  above: 10,
  panel: "policy/10-denials",
  // Denials of ten minutes against ten minutes of the hour before; under twenty nobody needs to get up.
  sql: `
SELECT DecisionEngine, Policy, countIf(Timestamp >= $__fromTime) / greatest(1, countIf(Timestamp < $__fromTime) / 6) AS times
FROM access_records
WHERE Timestamp >= $__fromTime - INTERVAL 1 HOUR AND Timestamp <= $__toTime AND Decision = 'denied'
GROUP BY DecisionEngine, Policy
HAVING countIf(Timestamp >= $__fromTime) >= 20
ORDER BY times DESC
LIMIT 20`,
} satisfies AlertOptions;
