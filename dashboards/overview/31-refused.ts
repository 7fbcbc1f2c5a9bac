import { table } from "../parts/panels.ts";
import { accessRecords, namespace, workload } from "../parts/variables.ts";

export default table({
  title: "Who was refused, by which policy",
  description:
    "Refused requests by who asked, what was asked and what refused it: the hundred most frequent.",
  width: 12,
  sql: `
SELECT Actor, ActorAssurance, ServiceName, DecisionEngine, Policy, count() AS Denials, max(Timestamp) AS Last, any(DecisionReason) AS Reason
FROM access_records
WHERE ${accessRecords([namespace, workload])}
  AND Decision = 'denied'
GROUP BY Actor, ActorAssurance, ServiceName, DecisionEngine, Policy
ORDER BY Denials DESC
LIMIT 100`,
});
