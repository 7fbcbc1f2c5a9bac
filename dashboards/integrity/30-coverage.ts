import { table } from "../parts/panels.ts";
import { EVERY, IS_LINKED, IS_UNTRACED, sampled, WORKLOAD } from "../parts/sql.ts";
import { accessRecords } from "../parts/variables.ts";

export default table({
  title: "Coverage by workload",
  description:
    "Of the access records of each workload, how many have their span, and of how many none can be known: no trace ID, or a trace that was not sampled. Of more than a million records by a sample. The API's /api/v1/coverage has the spans too.",
  units: { LinkedShare: "percentunit" },
  width: 12,
  sql: `
SELECT ${WORKLOAD} AS Workload, count() * ${EVERY} AS Records, countIf(${IS_LINKED}) * ${EVERY} AS Linked, countIf(${IS_UNTRACED}) * ${EVERY} AS Untraced,
  if(Records = Untraced, NULL, Linked / (Records - Untraced)) AS LinkedShare
FROM access_records
WHERE ${accessRecords()} AND ${sampled("LeafIndex")}
GROUP BY Workload
ORDER BY Records DESC
LIMIT 100`,
});
