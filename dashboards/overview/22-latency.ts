import { timeseries } from "../parts/panels.ts";
import { BUCKET } from "../parts/sql.ts";
import { accessRecords, namespace, workload } from "../parts/variables.ts";

export default timeseries({
  title: "Latency",
  description: "From the first byte received to the last byte sent, as the proxies measured it.",
  unit: "ns",
  sql: `
SELECT ${BUCKET},
  quantileTDigest(0.5)(DurationNs) AS p50,
  quantileTDigest(0.9)(DurationNs) AS p90,
  quantileTDigest(0.99)(DurationNs) AS p99
FROM access_records
WHERE ${accessRecords([namespace, workload])}
  AND DurationNs >= 0
GROUP BY time
ORDER BY time`,
});
