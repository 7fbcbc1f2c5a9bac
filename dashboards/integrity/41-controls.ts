import { table } from "../parts/panels.ts";
import { RECORD } from "../parts/sql.ts";

export default table({
  title: "What meshproof did",
  description:
    "Starts, stops, keys, retention, erasures, exports and reads of records: sealed like everything. A start without a stop before it was no clean end.",
  width: 12,
  height: 8,
  sql: `
SELECT Timestamp, ControlKind, toString(Detail) AS Detail, ${RECORD}
FROM control_records
WHERE $__timeFilter(Timestamp) AND ControlKind NOT IN ('heartbeat', 'verified')
ORDER BY Timestamp DESC
LIMIT 200`,
});
