import { table } from "../parts/panels.ts";
import { RECORD } from "../parts/sql.ts";

export default table({
  title: "Verifications",
  description:
    "What the server's verifications of itself came to: a sealed record each. An empty verdict is a run that could not finish.",
  width: 12,
  height: 8,
  units: { Duration: "ms" },
  sql: `
SELECT Timestamp, Detail['mode'] AS Mode, Detail['outcome'] AS Outcome, Detail['integrity'] AS Integrity, Detail['completeness'] AS Completeness,
  toUInt64OrZero(Detail['records']) AS Records, toUInt64OrZero(Detail['faults']) AS Faults, Detail['first_faults'] AS FirstFaults,
  toUInt64OrZero(Detail['duration_ms']) AS Duration, Detail['reason'] AS Reason, ${RECORD}
FROM control_records
WHERE $__timeFilter(Timestamp) AND ControlKind = 'verified'
ORDER BY Timestamp DESC
LIMIT 100`,
});
