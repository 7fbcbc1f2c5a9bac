import { timeseries } from "../parts/panels.ts";
import { BUCKET, IS_LINKED, IS_UNTRACED, sampled } from "../parts/sql.ts";
import { accessRecords, namespace, workload } from "../parts/variables.ts";

export default timeseries({
  title: "Linked to a span",
  description:
    "Share of the access records of sampled traces that are linked to a span. The newest minute is lower while spans are on their way. Of more than a million records a sample.",
  unit: "percentunit",
  max: 1,
  sql: `
SELECT ${BUCKET}, toNullable(countIf(${IS_LINKED}) / count()) AS linked
FROM access_records
WHERE ${accessRecords([namespace, workload])}
  AND NOT ${IS_UNTRACED} AND ${sampled("LeafIndex")}
GROUP BY time`,
});
