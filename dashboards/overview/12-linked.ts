import { stat } from "../parts/panels.ts";
import { IS_LINKED, IS_UNTRACED, sampled } from "../parts/sql.ts";
import { accessRecords, namespace, workload } from "../parts/variables.ts";

export default stat({
  title: "Linked to a span",
  description:
    "Share of the access records of sampled traces that are linked to a span. The rest came without one, or their span is still on its way. Of more than a million records a sample.",
  unit: "percentunit",
  thresholds: [
    [null, "red"],
    [0.9, "orange"],
    [0.99, "green"],
  ],
  sql: `
SELECT countIf(${IS_LINKED}) / count() AS linked
FROM access_records
WHERE ${accessRecords([namespace, workload])}
  AND NOT ${IS_UNTRACED} AND ${sampled("LeafIndex")}
HAVING count() > 0`,
});
