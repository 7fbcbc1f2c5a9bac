import { ARRIVED, REACHED } from "../parts/identity.ts";
import { table } from "../parts/panels.ts";

export default table({
  title: "Identities and what they reached",
  description: "The pairs with the most requests first, with how sure the identity is.",
  width: 12,
  sql: `
SELECT Actor, ActorKind, ActorAssurance, UserAssurance, ${REACHED} AS Workload, count() AS Requests, countIf(Decision = 'denied') AS Denied, groupUniqArray(8)(toString(Method)) AS Methods, max(Timestamp) AS Last
FROM access_records
WHERE ${ARRIVED}
GROUP BY Actor, ActorKind, ActorAssurance, UserAssurance, Workload
ORDER BY Requests DESC
LIMIT 200`,
});
