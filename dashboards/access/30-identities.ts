import { MATCHING } from "../parts/access.ts";
import { table } from "../parts/panels.ts";
import { SERVICE } from "../parts/sql.ts";

export default table({
  title: "Identities",
  description: "Who made the matching requests, those with the most first.",
  width: 12,
  isFiltered: true,
  sql: `
SELECT Actor, ActorKind, ActorAssurance, count() AS Requests, countIf(Decision = 'denied') AS Denied, uniq(${SERVICE}) AS Services, min(Timestamp) AS First, max(Timestamp) AS Last
FROM access_records
WHERE ${MATCHING}
GROUP BY Actor, ActorKind, ActorAssurance
ORDER BY Requests DESC
LIMIT 100`,
});
