import { stat } from "../parts/panels.ts";
import { SEALING_LAG } from "../parts/seal.ts";

export default stat({
  title: "Sealing lag, p99",
  description:
    "From the arrival of a record to the first checkpoint in the store that covers it. The store keeps one checkpoint every ten seconds, so that much is normal.",
  unit: "ms",
  thresholds: [
    [null, "green"],
    [20_000, "orange"],
    [60_000, "red"],
  ],
  sql: `
SELECT quantileTDigest(0.99)(LagMs) AS lag
FROM (${SEALING_LAG})
HAVING count() > 0`,
});
