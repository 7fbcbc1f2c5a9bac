import { table } from "../parts/panels.ts";
import { SERVICE } from "../parts/sql.ts";
import { namespace, requests, workload } from "../parts/variables.ts";

export default table({
  title: "Who was refused, by which policy",
  description:
    "Refused requests by who asked, what was asked and what refused it, most frequent first.",
  width: 12,
  sql: `
SELECT Actor, ActorAssurance, ${SERVICE} AS Service, DecisionEngine, Policy, count() AS Denials, max(Timestamp) AS Last, any(DecisionReason) AS Reason
FROM access_records
WHERE ${requests([namespace, workload])}
  AND Decision = 'denied'
GROUP BY Actor, ActorAssurance, Service, DecisionEngine, Policy
ORDER BY Denials DESC
LIMIT 100`,
});
