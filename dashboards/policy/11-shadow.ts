import { timeseries } from "../parts/panels.ts";
import { WOULD_BREAK } from "../parts/policy.ts";
import { among, BUCKET } from "../parts/sql.ts";

export default timeseries({
  title: "What would break: shadow denials",
  description:
    "Requests that went through and that a policy in shadow mode would have refused: the ten policies with the most. Nothing here for a day of normal traffic: it can be enforced.",
  draw: "bars",
  isStacked: true,
  by: "ShadowPolicy",
  sql: `
SELECT ${BUCKET}, ShadowPolicy, count() AS requests
FROM access_records
WHERE ${WOULD_BREAK}
  AND ${among("ShadowPolicy", WOULD_BREAK)}
GROUP BY time, ShadowPolicy`,
});
