import { stat } from "../parts/panels.ts";
import { namespace, requests, workload } from "../parts/variables.ts";

export default stat({
  title: "Access records",
  description:
    "Requests and connections a second, each counted once by every proxy that it passed.",
  unit: "reqps",
  sql: `
SELECT count() / greatest(1, dateDiff('second', $__fromTime, $__toTime)) AS rate
FROM access_records
WHERE ${requests([namespace, workload])}`,
});
