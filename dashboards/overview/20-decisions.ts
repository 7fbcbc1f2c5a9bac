import { timeseries } from "../parts/panels.ts";
import { BUCKET } from "../parts/sql.ts";
import { namespace, requests, workload } from "../parts/variables.ts";

export default timeseries({
  title: "Requests by decision",
  description:
    "Access records a second. Denied: a policy of the mesh refused; failed: there was no answer.",
  unit: "reqps",
  isStacked: true,
  words: ["allowed", "denied", "failed", "unknown"],
  by: "Decision",
  sql: `
SELECT ${BUCKET}, Decision, count() / $__interval_s AS requests
FROM access_records
WHERE ${requests([namespace, workload])}
GROUP BY time, Decision`,
});
