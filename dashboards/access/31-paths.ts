import { MATCHING } from "../parts/access.ts";
import { table } from "../parts/panels.ts";

export default table({
  title: "Paths",
  description: "What was asked for: the hundred paths with the most matching requests.",
  width: 12,
  units: { p99: "ns" },
  sql: `
SELECT ServiceName, Method, Path, count() AS Requests, countIf(Decision = 'denied') AS Denied, uniq(Actor) AS Identities, quantileTDigestIf(0.99)(DurationNs, DurationNs >= 0) AS p99
FROM access_records
WHERE ${MATCHING}
GROUP BY ServiceName, Method, Path
ORDER BY Requests DESC
LIMIT 100`,
});
