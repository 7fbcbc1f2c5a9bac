import { ARRIVED, UNAUTHENTICATED } from "../parts/identity.ts";
import { timeseries } from "../parts/panels.ts";
import { BUCKET } from "../parts/sql.ts";

export default timeseries({
  title: "Unauthenticated traffic",
  description:
    "Requests a second in which neither the workload nor the user was authenticated, at gateways and behind them.",
  unit: "reqps",
  by: "direction",
  sql: `
SELECT ${BUCKET}, if(Direction = '', 'unknown', toString(Direction)) AS direction, countIf(${UNAUTHENTICATED}) / $__interval_s AS requests
FROM access_records
WHERE ${ARRIVED}
GROUP BY time, direction`,
});
