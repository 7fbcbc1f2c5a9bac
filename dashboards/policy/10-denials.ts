import { timeseries } from "../parts/panels.ts";
import { DECIDED } from "../parts/policy.ts";
import { among, BUCKET } from "../parts/sql.ts";

const DENIED = `${DECIDED}
  AND Decision = 'denied'`;

export default timeseries({
  title: "Denials by policy",
  description: "Refused requests by the policy that refused them: the ten with the most.",
  draw: "bars",
  isStacked: true,
  by: "policy",
  sql: `
SELECT ${BUCKET}, if(Policy = '', concat(DecisionEngine, ' (no policy named)'), Policy) AS policy, count() AS denials
FROM access_records
WHERE ${DENIED}
  AND ${among("(DecisionEngine, Policy)", DENIED)}
GROUP BY time, policy`,
});
