import { timeseries } from "../parts/panels.ts";

export default timeseries({
  title: "Published records",
  description:
    "Size of the newest checkpoint of each log. It never falls; a log that stands still is flat.",
  unit: "short",
  by: "LogId",
  sql: `
SELECT $__timeInterval(PublishedAt) AS time, LogId, toNullable(max(TreeSize)) AS records
FROM checkpoints
WHERE $__timeFilter(PublishedAt)
GROUP BY time, LogId`,
});
