import { stat } from "../parts/panels.ts";
import { accessRecords, namespace, workload } from "../parts/variables.ts";

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
WHERE ${accessRecords([namespace, workload])}
  AND Decision = 'denied'`,
});
