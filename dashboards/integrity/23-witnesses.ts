import { timeseries } from "../parts/panels.ts";

export default timeseries({
  title: "Signatures on checkpoints",
  description:
    "Share of the checkpoints that each key has signed: the log's own has them all, and each witness those that it has cosigned. A line that falls is a witness that does not answer.",
  unit: "percentunit",
  max: 1,
  by: "signer",
  sql: `
SELECT time, signer, toNullable(count() / any(total)) AS share
FROM (
  SELECT $__timeInterval(PublishedAt) AS time, arrayJoin(arrayDistinct(extractAll(Note, '\\n— ([^ ]+) '))) AS signer, total
  FROM (
    SELECT PublishedAt, Note, count() OVER (PARTITION BY LogId, $__timeInterval(PublishedAt)) AS total
    FROM checkpoints
    WHERE $__timeFilter(PublishedAt)
  )
)
GROUP BY time, signer`,
});
