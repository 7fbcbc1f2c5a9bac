import { stat } from "../parts/panels.ts";

export default stat({
  title: "Since the last checkpoint",
  description:
    "Of the log whose last one is longest ago. A quiet log seals a heartbeat each minute: more than some minutes mean that it stands still, or that the store does.",
  unit: "s",
  thresholds: [
    [null, "green"],
    [180, "orange"],
    [600, "red"],
  ],
  sql: `
SELECT max(ago) AS ago
FROM (
  SELECT dateDiff('second', max(PublishedAt), $__toTime) AS ago FROM checkpoints
  WHERE PublishedAt >= $__toTime - INTERVAL 31 DAY AND PublishedAt <= $__toTime
  GROUP BY LogId
)
HAVING count() > 0`,
});
