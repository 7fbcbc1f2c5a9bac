import { MATCHING } from "../parts/access.ts";
import { table } from "../parts/panels.ts";
import { SERVICE } from "../parts/sql.ts";

export default table({
  title: "Paths",
  description: "What was asked for, paths with the most matching requests first.",
  width: 12,
  units: { p99: "ns" },
  isFiltered: true,
  sql: `
SELECT ${SERVICE} AS Service, Method, Path, count() AS Requests, countIf(Decision = 'denied') AS Denied, uniq(Actor) AS Identities, quantileTDigestIfOrNull(0.99)(DurationNs, DurationNs >= 0) AS p99
FROM access_records
WHERE ${MATCHING}
GROUP BY Service, Method, Path
ORDER BY Requests DESC
LIMIT 100`,
});
