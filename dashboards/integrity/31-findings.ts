import { table } from "../parts/panels.ts";
import { RECORD } from "../parts/sql.ts";

export default table({
  title: "Findings",
  description:
    "The newest first. Record is the finding itself, which is sealed like everything; Evidence are leaf indexes of its log.",
  width: 12,
  sql: `
SELECT Timestamp, FindingKind, Severity, State, Subject, Message, arrayStringConcat(arraySlice(Evidence, 1, 5), ', ') AS Evidence, TraceId, ${RECORD}
FROM findings
WHERE $__timeFilter(Timestamp)
ORDER BY Timestamp DESC
LIMIT 200`,
});
