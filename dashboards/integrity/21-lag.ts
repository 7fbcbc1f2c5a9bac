import { timeseries } from "../parts/panels.ts";
import { SEALING_LAG } from "../parts/seal.ts";

export default timeseries({
  title: "Sealing lag",
  description:
    "From the arrival of an access record to the first checkpoint in the store that covers it. The store keeps one checkpoint every ten seconds, so that much is normal; with witnesses add their round. Of more than a million records a sample.",
  unit: "ms",
  sql: `
SELECT $__timeInterval(arrival) AS time, toNullable(quantileTDigest(0.5)(LagMs)) AS p50, toNullable(quantileTDigest(0.99)(LagMs)) AS p99, toNullable(max(LagMs)) AS longest
FROM (SELECT time AS arrival, LagMs FROM (${SEALING_LAG}))
GROUP BY time`,
});
