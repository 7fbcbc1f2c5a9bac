import { timeseries } from "../parts/panels.ts";
import { BUCKET } from "../parts/sql.ts";
import { namespace, requests, workload } from "../parts/variables.ts";

export default timeseries({
  title: "Denials by engine",
  description: "Refused requests by what refused them: rbac, ext_authz, jwt, rate_limit and so on.",
  draw: "bars",
  isStacked: true,
  by: "DecisionEngine",
  sql: `
SELECT ${BUCKET}, DecisionEngine, count() AS denials
FROM access_records
WHERE ${requests([namespace, workload])}
  AND Decision = 'denied'
GROUP BY time, DecisionEngine`,
});
