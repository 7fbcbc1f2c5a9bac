import { timeseries } from "../parts/panels.ts";
import { BUCKET } from "../parts/sql.ts";

export default timeseries({
  title: "Findings by kind",
  description:
    "What was found to be missing, refused or contradicting itself. One finding is one kind, subject and minute, however often it happened.",
  draw: "bars",
  isStacked: true,
  by: "FindingKind",
  sql: `
SELECT ${BUCKET}, FindingKind, count() AS findings
FROM findings
WHERE $__timeFilter(Timestamp) AND State = 'open'
GROUP BY time, FindingKind`,
});
