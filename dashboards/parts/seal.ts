/** SQL on checkpoints and verdicts that several panels use. */
import { sampled } from "./sql.ts";

/**
 * How long access records waited for a published checkpoint: `time` of arrival and `LagMs`. The first checkpoint of its log with more leaves than the record's index covers it.
 * Columns of the join are made narrow first, so that it costs 24 bytes a record.
 */
export const SEALING_LAG = `
  SELECT arrived AS time, dateDiff('millisecond', arrived, published) AS LagMs
  FROM (
    SELECT LogId, LeafIndex, ReceivedTimestamp AS arrived FROM access_records
    WHERE $__timeFilter(Timestamp) AND ${sampled("LeafIndex")}
  ) AS record
  ASOF JOIN (
    SELECT LogId, TreeSize, PublishedAt AS published FROM checkpoints
    WHERE PublishedAt >= $__fromTime AND PublishedAt <= $__toTime + INTERVAL 1 HOUR
  ) AS checkpoint
  ON record.LogId = checkpoint.LogId AND record.LeafIndex < checkpoint.TreeSize`;

/** Verifications of the week before the end of the time range that came to a verdict. */
export const VERDICTS = `ControlKind = 'verified' AND Detail['integrity'] != ''
  AND Timestamp >= $__toTime - INTERVAL 7 DAY AND Timestamp <= $__toTime`;

/** The last verdict: `integrity` is ok or broken, `completeness` ok or gaps. The worst of several logs. */
export function lastVerdict(of: "integrity" | "completeness"): string {
  return `
SELECT if(countIf(verdict != 'ok') > 0, anyIf(verdict, verdict != 'ok'), any(verdict)) AS ${of}
FROM (
  SELECT argMax(Detail['${of}'], LeafIndex) AS verdict FROM control_records
  WHERE ${VERDICTS}
  GROUP BY LogId
)
HAVING count() > 0`;
}
