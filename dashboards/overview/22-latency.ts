import { timeseries } from "../parts/panels.ts";
import { BUCKET } from "../parts/sql.ts";
import { namespace, requests, workload } from "../parts/variables.ts";

export default timeseries({
  title: "Latency",
  description: "From the first byte received to the last byte sent, as the proxies measured it.",
  unit: "ns",
  sql: `
SELECT ${BUCKET},
  toNullable(quantileTDigest(0.5)(DurationNs)) AS p50,
  toNullable(quantileTDigest(0.9)(DurationNs)) AS p90,
  toNullable(quantileTDigest(0.99)(DurationNs)) AS p99
FROM access_records
WHERE ${requests([namespace, workload])}
  AND DurationNs >= 0
GROUP BY time`,
});
