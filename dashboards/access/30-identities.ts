import { MATCHING } from "../parts/access.ts";
import { table } from "../parts/panels.ts";

export default table({
  title: "Identities",
  description: "Who made the matching requests: the hundred with the most.",
  width: 12,
  sql: `
SELECT Actor, ActorKind, ActorAssurance, count() AS Requests, countIf(Decision = 'denied') AS Denied, uniq(ServiceName) AS Services, min(Timestamp) AS First, max(Timestamp) AS Last
FROM access_records
WHERE ${MATCHING}
GROUP BY Actor, ActorKind, ActorAssurance
ORDER BY Requests DESC
LIMIT 100`,
});
