import { table } from "../parts/panels.ts";
import { DECIDED } from "../parts/policy.ts";
import { SERVICE } from "../parts/sql.ts";

export default table({
  title: "Who was refused",
  description: "Refused requests by who asked and for what.",
  width: 12,
  height: 8,
  sql: `
SELECT Actor, ActorAssurance, ${SERVICE} AS Service, Method, Path, DecisionEngine, Policy, count() AS Denials, max(Timestamp) AS Last
FROM access_records
WHERE ${DECIDED}
  AND Decision = 'denied'
GROUP BY Actor, ActorAssurance, Service, Method, Path, DecisionEngine, Policy
ORDER BY Denials DESC
LIMIT 200`,
});
