import { ARRIVED, REACHED, UNAUTHENTICATED } from "../parts/identity.ts";
import { table } from "../parts/panels.ts";
import { ADDRESS } from "../parts/sql.ts";

export default table({
  title: "Where nobody was authenticated",
  description: "What was reached without a certificate or a verified token, and from where.",
  width: 14,
  sql: `
SELECT ${REACHED} AS Workload, Actor, ${ADDRESS} AS Address, ActorAssurance, count() AS Requests, countIf(Decision = 'allowed') AS Allowed, uniq(Path) AS Paths, max(Timestamp) AS Last
FROM access_records
WHERE ${ARRIVED}
  AND ${UNAUTHENTICATED}
GROUP BY Workload, Actor, Address, ActorAssurance
ORDER BY Requests DESC
LIMIT 200`,
});
