import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Checkpoints without witnesses",
  summary:
    "Checkpoints are published without the quorum of witnesses: until it is back, only the log's own signature stands against a second history.",
  severity: "warning",
  // Said once when it begins, and once when it ends.
  seconds: 86_400,
  lasting: "5m",
  above: 0,
  panel: "integrity/23-witnesses",
  sql: `
SELECT Subject, countIf(state = 'open') AS logs
FROM (
  SELECT LogId, Subject, argMax(State, LeafIndex) AS state FROM findings
  WHERE $__timeFilter(Timestamp) AND FindingKind = 'unwitnessed'
  GROUP BY LogId, Subject
)
GROUP BY Subject
LIMIT 100`,
} satisfies AlertOptions;
