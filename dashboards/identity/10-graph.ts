import { ARRIVED, PEER, REACHED } from "../parts/identity.ts";
import { graph } from "../parts/panels.ts";

const EDGES = `
    SELECT ${PEER} AS peer, if(${REACHED} = '', '(unknown)', ${REACHED}) AS reached, count() AS requests, countIf(Decision = 'denied') AS denied
    FROM access_records
    WHERE ${ARRIVED}
    GROUP BY peer, reached
    ORDER BY requests DESC, peer, reached
    LIMIT 100`;

export default graph({
  title: "Who reaches what",
  description:
    "Workloads by their certificates, and what they reached: the hundred edges with the most requests. The red part of a circle is what was refused there.",
  nodes: `
SELECT node AS id, node AS title, sum(requests) AS mainstat, concat(toString(sum(refused)), ' denied') AS secondarystat,
  1 - arc__denied AS arc__allowed, sum(refused) / greatest(sum(requests), 1) AS arc__denied
FROM (
  SELECT concat('from ', peer) AS node, requests, denied AS refused FROM (${EDGES})
  UNION ALL
  SELECT concat('to ', reached) AS node, requests, denied AS refused FROM (${EDGES})
)
GROUP BY node
ORDER BY mainstat DESC
LIMIT 200`,
  edges: `
SELECT concat(peer, ' ', reached) AS id, concat('from ', peer) AS source, concat('to ', reached) AS target, requests AS mainstat, concat(toString(denied), ' denied') AS secondarystat
FROM (${EDGES})
ORDER BY mainstat DESC
LIMIT 100`,
});
