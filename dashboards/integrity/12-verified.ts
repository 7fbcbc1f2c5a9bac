import { stat } from "../parts/panels.ts";
import { VERDICTS } from "../parts/seal.ts";

export default stat({
  title: "Since the last verification",
  description:
    "Of the log whose last one is longest ago. Hourly what is new, daily everything, unless configured otherwise.",
  unit: "s",
  thresholds: [
    [null, "green"],
    [7_200, "orange"],
    [93_600, "red"],
  ],
  noValue: "not yet verified",
  sql: `
SELECT max(ago) AS ago
FROM (SELECT dateDiff('second', max(Timestamp), $__toTime) AS ago FROM control_records WHERE ${VERDICTS} GROUP BY LogId)
HAVING count() > 0`,
});
