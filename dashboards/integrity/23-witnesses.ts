import { timeseries } from "../parts/panels.ts";

/** Names of the keys in a signed note. */
const SIGNERS = "extractAll(Note, '\\n— ([^ ]+) ')";

export default timeseries({
  title: "Signatures on checkpoints",
  description:
    "Share of the checkpoints that each key has signed: the log's own has them all, and each witness those that it has cosigned. A line that falls is a witness that does not answer.",
  unit: "percentunit",
  max: 1,
  by: "signer",
  sql: `
SELECT time, signer, toNullable(countIf(has(signed, signer)) / count()) AS share
FROM (
  SELECT LogId, $__timeInterval(PublishedAt) AS time, ${SIGNERS} AS signed
  FROM checkpoints
  WHERE $__timeFilter(PublishedAt)
) AS checkpoint
INNER JOIN (
  SELECT LogId, arrayJoin(groupUniqArrayArray(${SIGNERS})) AS signer
  FROM checkpoints
  WHERE $__timeFilter(PublishedAt)
  GROUP BY LogId
) AS signers USING LogId
GROUP BY time, signer`,
});
