import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "No checkpoint for five minutes",
  summary:
    "A quiet log seals a heartbeat each minute. That none was published means that meshproof or its store stands still, or that the quorum of witnesses is missing.",
  severity: "critical",
  // A log that has been quiet for a day was taken out of service.
  seconds: 86_400,
  above: 300,
  panel: "integrity/13-checkpoint-age",
  sql: `
SELECT LogId, dateDiff('second', max(PublishedAt), $__toTime) AS seconds
FROM checkpoints
WHERE $__timeFilter(PublishedAt)
GROUP BY LogId
LIMIT 100`,
} satisfies AlertOptions;
