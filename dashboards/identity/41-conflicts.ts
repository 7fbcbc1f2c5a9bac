import { table } from "../parts/panels.ts";

export default table({
  title: "Contradicting identities",
  description: "Findings: two sources named different callers of one request.",
  width: 10,
  sql: `
SELECT Timestamp, Subject, Severity, State, toUInt64OrZero(Detail['count']) AS Requests, Message
FROM findings
WHERE $__timeFilter(Timestamp) AND FindingKind = 'identity_conflict'
ORDER BY Timestamp DESC
LIMIT 100`,
});
