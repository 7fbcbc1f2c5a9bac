import { KINDS } from "../core/kinds.ts";
import { TABLES } from "../records/columns.ts";
import { quoteIdentifier } from "./sql.ts";

/**
 * When what was sealed, by the rows: read minute by minute, so that a year of a busy log is half a million groups.
 *
 * Minutes come in the order of the log, not of time: a clock that was set back is no gap. A finding carries the minute that it is about, so it never
 * makes one look later than it was.
 */

const IN_RANGE = "LogId = {log:String} AND LeafIndex BETWEEN {first:UInt64} AND {last:UInt64}";

const EVENTS = Object.values(TABLES)
  .map(({ name, kind }) => {
    const at = kind <= KINDS.log ? "ReceivedTimestamp" : "Timestamp";
    const [isStart, isStop] =
      kind === KINDS.control ? ["ControlKind = 'start'", "ControlKind = 'stop'"] : ["0", "0"];
    return `SELECT LeafIndex AS Leaf, toUnixTimestamp64Nano(${at}) AS At, ${isStart} AS IsStart, ${isStop} AS IsStop, ${kind === KINDS.finding ? 1 : 0} AS IsFinding
      FROM ${quoteIdentifier(name)} WHERE ${IN_RANGE}`;
  })
  .join(" UNION ALL ");

/** Time of the row with the highest leaf index; the minute of a finding only where nothing later is known. */
export const NEWEST_TIME = `SELECT count() AS rows, greatest(argMax(At, Leaf), argMaxIf(At, Leaf, NOT IsFinding)) AS newest FROM (${EVENTS})`;

/** When the clock was set forward, as what it would have shown and what it showed. */
export const FORWARD_JUMPS = `SELECT Detail['before'] AS before, Detail['after'] AS after FROM ${quoteIdentifier(TABLES.finding.name)}
  WHERE ${IN_RANGE} AND FindingKind = 'clock_jump' AND Detail['direction'] = 'forward' ORDER BY LeafIndex DESC LIMIT {limit:UInt32}`;

const JUMPED =
  "arraySum((a, b) -> greatest(0, least(b, Since) - greatest(a, Before)), {jumpsFrom:Array(Int64)}, {jumpsTo:Array(Int64)})";

/**
 * Stretches between two records that are longer than `silence`, where the last of start and stop before it is not a stop; the longest first.
 * Time that the clock was set forward by is no stretch of time.
 */
export const SILENCES = `SELECT Before AS from, Since AS to, count() OVER () AS total FROM (
    SELECT Since, lagInFrame(Until) OVER minutes AS Before, row_number() OVER minutes AS Place,
      lagInFrame(Started) OVER minutes AS StartedBefore, lagInFrame(Stopped) OVER minutes AS StoppedBefore
    FROM (
      SELECT First, Since, Until, max(Start) OVER past AS Started, max(Stop) OVER past AS Stopped FROM (
        SELECT intDiv(At, 60000000000) AS Minute, min(Leaf) AS First, min(At) AS Since, max(At) AS Until,
          maxIf(Leaf + 1, IsStart) AS Start, maxIf(Leaf + 1, IsStop) AS Stop
        FROM (${EVENTS}) GROUP BY Minute
      ) WINDOW past AS (ORDER BY First ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ) WINDOW minutes AS (ORDER BY First ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
  ) WHERE Place > 1 AND Since - Before - ${JUMPED} > {silence:Int64} AND StartedBefore >= StoppedBefore
  ORDER BY Since - Before DESC LIMIT {limit:UInt32}`;

/** Starts in the range that follow another start. */
export const UNCLEAN_STOPS = `SELECT countIf(Leaf >= {first:UInt64} AND Event = 'start' AND Before = 'start') AS unclean FROM (
    SELECT LeafIndex AS Leaf, ControlKind AS Event, lagInFrame(ControlKind) OVER (ORDER BY LeafIndex ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS Before
    FROM ${quoteIdentifier(TABLES.control.name)}
    WHERE LogId = {log:String} AND LeafIndex <= {last:UInt64} AND ControlKind IN ('start', 'stop')
  )`;
