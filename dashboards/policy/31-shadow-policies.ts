import { table } from "../parts/panels.ts";
import { SHADOWED } from "../parts/policy.ts";

export default table({
  title: "Policies in shadow mode",
  description:
    "Of the requests that each of them has judged, how many it would have refused, and whether the policy in force agreed.",
  width: 12,
  height: 8,
  units: { WouldBreak: "percentunit" },
  sql: `
SELECT ShadowPolicy, count() AS Judged, countIf(ShadowDecision = 'denied') AS WouldDeny, countIf(ShadowDecision = 'denied' AND Decision = 'denied') AS DeniedAnyway, countIf(ShadowDecision = 'denied' AND Decision != 'denied') / count() AS WouldBreak
FROM access_records
WHERE ${SHADOWED}
GROUP BY ShadowPolicy
ORDER BY WouldDeny DESC
LIMIT 100`,
});
