import { stat } from "../parts/panels.ts";

export default stat({
  title: "Sealed records",
  description: "Records under the newest checkpoint of each log, all logs together.",
  unit: "short",
  sql: `
SELECT sum(size) AS records
FROM (SELECT max(TreeSize) AS size FROM checkpoints WHERE PublishedAt <= $__toTime GROUP BY LogId)`,
});
