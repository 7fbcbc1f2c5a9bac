import { stat } from "../parts/panels.ts";
import { namespace, requests, workload } from "../parts/variables.ts";

export default stat({
  title: "Denied",
  description: "Access records that a policy of the mesh refused, in the time range.",
  thresholds: [
    [null, "green"],
    [1, "red"],
  ],
  sql: `
SELECT count() AS denied
FROM access_records
WHERE ${requests([namespace, workload])}
  AND Decision = 'denied'`,
});
