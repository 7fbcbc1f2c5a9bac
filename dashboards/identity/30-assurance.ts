import { ARRIVED } from "../parts/identity.ts";
import { timeseries } from "../parts/panels.ts";
import { BUCKET } from "../parts/sql.ts";

export default timeseries({
  title: "How the peer was known",
  description:
    "Requests a second by what vouches for the peer: mtls is a certificate that the proxy has checked; address, header and none are nobody's word but the network's or the client's.",
  unit: "reqps",
  isStacked: true,
  by: "ActorAssurance",
  sql: `
SELECT ${BUCKET}, ActorAssurance, count() / $__interval_s AS requests
FROM access_records
WHERE ${ARRIVED}
GROUP BY time, ActorAssurance`,
});
