import { table } from "../parts/panels.ts";
import { WOULD_BREAK } from "../parts/policy.ts";
import { SERVICE } from "../parts/sql.ts";

export default table({
  title: "Who would be refused",
  description:
    "Requests that a policy in shadow mode would have refused, by who made them and what for. These break on the day that the policy is enforced.",
  sql: `
SELECT ShadowPolicy, ShadowDecision, Actor, ActorAssurance, ${SERVICE} AS Service, Method, Path, count() AS Requests, min(Timestamp) AS First, max(Timestamp) AS Last, argMax(TraceId, Timestamp) AS TraceId
FROM access_records
WHERE ${WOULD_BREAK}
GROUP BY ShadowPolicy, ShadowDecision, Actor, ActorAssurance, Service, Method, Path
ORDER BY Requests DESC
LIMIT 200`,
});
