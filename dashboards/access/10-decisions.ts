import { MATCHING } from "../parts/access.ts";
import { timeseries } from "../parts/panels.ts";
import { BUCKET } from "../parts/sql.ts";

export default timeseries({
  title: "Matching records by decision",
  description: "How many access records fit what is chosen above.",
  width: 24,
  height: 6,
  draw: "bars",
  isStacked: true,
  words: ["allowed", "denied", "failed", "unknown"],
  by: "Decision",
  isFiltered: true,
  sql: `
SELECT ${BUCKET}, Decision, count() AS records
FROM access_records
WHERE ${MATCHING}
GROUP BY time, Decision`,
});
