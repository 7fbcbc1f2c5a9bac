import { table } from "../parts/panels.ts";
import { DECIDED } from "../parts/policy.ts";
import { SERVICE } from "../parts/sql.ts";

export default table({
  title: "Policies",
  description: "What each policy decided, and about how many identities and services.",
  height: 8,
  sql: `
SELECT DecisionEngine, Policy, countIf(Decision = 'denied') AS Denied, countIf(Decision = 'allowed') AS Allowed, uniq(Actor) AS Identities, uniq(${SERVICE}) AS Services, max(Timestamp) AS Last, anyIf(DecisionReason, Decision = 'denied') AS Reason
FROM access_records
WHERE ${DECIDED}
  AND (Policy != '' OR Decision = 'denied')
GROUP BY DecisionEngine, Policy
ORDER BY Denied DESC, Allowed DESC
LIMIT 100`,
});
