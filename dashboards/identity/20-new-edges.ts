import { PEER, REACHED } from "../parts/identity.ts";
import { table } from "../parts/panels.ts";
import { COUNTED } from "../parts/sql.ts";
import { HISTORY, identity, namespace, workload } from "../parts/variables.ts";

export default table({
  title: "New edges",
  description:
    "A workload that reached something in the time range that it had not reached in the history before. A new version, or a foothold. While the log is younger than the history, everything is new.",
  width: 12,
  sql: `
SELECT ${PEER} AS Peer, ${REACHED} AS Workload, min(Timestamp) AS First, count() AS Requests, countIf(Decision = 'denied') AS Denied, argMin(TraceId, Timestamp) AS TraceId
FROM access_records
WHERE Timestamp >= $__fromTime - ${HISTORY} AND Timestamp <= $__toTime
  AND ${[namespace, workload, identity].map(({ condition }) => condition).join("\n  AND ")}
  AND Direction != 'outbound' AND ${COUNTED}
GROUP BY Peer, Workload
HAVING First >= $__fromTime
ORDER BY First DESC
LIMIT 100`,
});
