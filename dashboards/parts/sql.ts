/** SQL that several panels use. Tables have no database in front: the data source's default database is where they are. */

/** A workload as findings and the API's coverage name it: workload.namespace, as Envoy names the service of its spans. */
export const WORKLOAD =
  "multiIf(LocalWorkload = '', ServiceName, LocalNamespace = '', LocalWorkload, concat(LocalWorkload, '.', LocalNamespace))";

/** What was asked for: the service; where the proxy names none, the workload or the host. */
export const SERVICE = `multiIf(ServiceName != '', ServiceName, LocalWorkload != '', ${WORKLOAD}, Authority)`;

/** A stream is counted when it ends: some proxies log that it began, or that it goes on, as well. What was refused at its beginning has no end. */
export const COUNTED = "(Phase = 'end' OR Decision = 'denied')";

/** Behind a query whose rows the filters of the dashboard narrow: a macro of the plugin, which would otherwise look for the table itself. */
export const FILTERED = "SETTINGS $__adHocFilters('access_records')";

/** The peer's address as people write it. */
export const ADDRESS =
  "if(PeerAddress = toIPv6('::'), '', replaceOne(toString(PeerAddress), '::ffff:', ''))";

/** The API's name of a record, under which it gives the record and its proof. */
export const RECORD = "concat(LogId, ':', toString(LeafIndex)) AS Record";

/** A column of times for time series: one point for each interval that the panel has room for. */
export const BUCKET = "$__timeInterval(Timestamp) AS time";

/** Access records that a query joins with others, so that it stays within the reader's memory. */
const MAX_JOINED = 1_000_000;

/** A sample is one record of so many: all, up to a million in the time range. */
export const EVERY = `(SELECT intDiv(count(), ${MAX_JOINED}) + 1 FROM access_records WHERE $__timeFilter(Timestamp))`;

/** Whether a record is in the sample: leaf indexes are dense, and have nothing to do with what a record says. */
export function sampled(column: string): string {
  return `${column} % ${EVERY} = 0`;
}

/** Access records with a link to a span. Links are made after the record has come, at most a correlation window later: an hour and a day are room for both. */
export const IS_LINKED = `(LogId, LeafIndex) IN (
    SELECT AccessLog, AccessLeaf FROM trace_links
    WHERE Timestamp >= $__fromTime - INTERVAL 1 HOUR AND Timestamp <= $__toTime + INTERVAL 1 DAY
      AND Rule NOT IN ('peer', 'decision') AND ${sampled("AccessLeaf")}
  )`;

/** Access records of which no span can be known: they name no trace, or one that was not sampled. */
export const IS_UNTRACED = "(TraceId = '' OR SampledHint = 0)";

/** Only the values that come most often, so that a panel has as many series as can be told apart. */
export function among(expression: string, where: string, limit = 10): string {
  return `${expression} IN (
    SELECT ${expression} FROM access_records WHERE ${where}
    GROUP BY 1 ORDER BY count() DESC LIMIT ${limit}
  )`;
}
