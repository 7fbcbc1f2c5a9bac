import { table } from "../parts/panels.ts";
import { SPANS_OF_TRACE } from "../parts/trace.ts";
import { TRACE } from "../parts/variables.ts";

export default table({
  title: "Findings",
  description:
    "What is missing of this trace, or contradicts itself: findings that name it, or one of its spans or access records as evidence.",
  width: 10,
  sql: `
SELECT Timestamp, FindingKind, Severity, State, Subject, Message
FROM findings
WHERE TraceId = ${TRACE}
  OR (TraceId = '' AND $__timeFilter(Timestamp)
    AND arrayExists(leaf -> (LogId, leaf) IN (
      SELECT LogId, LeafIndex FROM otel_traces WHERE ${SPANS_OF_TRACE} UNION ALL
      SELECT LogId, LeafIndex FROM access_records WHERE TraceId = ${TRACE}
    ), Evidence))
ORDER BY Timestamp
LIMIT 100`,
});
