import { table } from "../parts/panels.ts";
import { WORKLOAD } from "../parts/sql.ts";
import { namespace, requests, workload } from "../parts/variables.ts";

export default table({
  title: "Workloads",
  description:
    "What the proxy of each workload saw, most requests first. Errors is the share of responses with a status of 500 or more.",
  units: { Requests: "short", Denied: "short", p50: "ns", p99: "ns", Errors: "percentunit" },
  width: 12,
  sql: `
SELECT ${WORKLOAD} AS Workload,
  count() AS Requests,
  countIf(Decision = 'denied') AS Denied,
  countIf(StatusCode >= 500) / nullIf(countIf(StatusCode > 0), 0) AS Errors,
  quantileTDigestIfOrNull(0.5)(DurationNs, DurationNs >= 0) AS p50,
  quantileTDigestIfOrNull(0.99)(DurationNs, DurationNs >= 0) AS p99
FROM access_records
WHERE ${requests([namespace, workload])}
GROUP BY Workload
ORDER BY Requests DESC
LIMIT 50`,
});
