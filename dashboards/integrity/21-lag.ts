import { timeseries } from "../parts/panels.ts";
import { SEALING_LAG } from "../parts/seal.ts";

export default timeseries({
  title: "Sealing lag",
  description:
    "From the arrival of an access record to the first checkpoint in the store that covers it. The store keeps one checkpoint every ten seconds, so that much is normal; with witnesses add their round. Over more than two days a sample.",
  unit: "ms",
  sql: `
SELECT $__timeInterval(arrival) AS time, quantileTDigest(0.5)(LagMs) AS p50, quantileTDigest(0.99)(LagMs) AS p99, max(LagMs) AS longest
FROM (SELECT time AS arrival, LagMs FROM (${SEALING_LAG}))
GROUP BY time
ORDER BY time`,
});
