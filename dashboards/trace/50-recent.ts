import { table } from "../parts/panels.ts";
import { RECORD, SERVICE } from "../parts/sql.ts";

export default table({
  title: "Traces with a refused request",
  description: "The newest first: choose one when you have no trace ID yet.",
  sql: `
SELECT Timestamp, TraceId, Actor, ${SERVICE} AS Service, Method, Path, DecisionEngine, Policy, nullIf(StatusCode, 0) AS StatusCode, ${RECORD}
FROM access_records
WHERE $__timeFilter(Timestamp) AND Decision = 'denied' AND TraceId != ''
ORDER BY Timestamp DESC
LIMIT 100`,
});
