import { PLACE_COLUMNS, TABLES, type Table } from "../records/columns.ts";

/**
 * Every statement of the API. Values are parameters, columns are named, answers are bounded by LIMIT.
 *
 * A list is read in two steps: first the keys of its records (kind, time, log, leaf index), from a few narrow columns; then the rows of these keys,
 * found by leaf index. In one step ClickHouse may read all 85 columns of every row that it has to sort.
 */

/** What a key is: the columns that the statements named `…Keys` give. */
export interface KeyRow {
  /** Of the table, whatever the row says. */
  readonly TableKind: number;
  /** Nanoseconds since the epoch. */
  readonly Time: string;
  readonly LogId: string;
  readonly LeafIndex: string;
}

function keyOf({ kind }: Table): string {
  return `toUInt8(${kind}) AS TableKind, toUnixTimestamp64Nano(Timestamp) AS Time, LogId, LeafIndex`;
}

/** The conditions that the parameters of a list stand for. */
export const ACCESS_FILTERS = {
  trace: "TraceId = {trace:String}",
  principal:
    "(Actor = {principal:String} OR EndUser = {principal:String} OR PeerPrincipal = {principal:String})",
  principalPrefix:
    "(startsWith(Actor, {principalPrefix:String}) OR startsWith(EndUser, {principalPrefix:String}) OR startsWith(PeerPrincipal, {principalPrefix:String}))",
  decision: "Decision = {decision:String}",
  path: "Path = {path:String}",
  pathPrefix: "startsWith(Path, {pathPrefix:String})",
  service: "ServiceName = {service:String}",
  policy: "Policy = {policy:String}",
} as const;

export type AccessFilter = keyof typeof ACCESS_FILTERS;

const TIME_RANGE =
  "Timestamp >= fromUnixTimestamp64Nano({from:Int64}) AND Timestamp < fromUnixTimestamp64Nano({to:Int64})";

/** Keys of the newest access records below a position, newest first. Parameters: from, to, time, log, leaf, limit, and those of the filters. */
export function accessKeys(filters: readonly AccessFilter[]): string {
  const conditions = [
    TIME_RANGE,
    "(Timestamp < fromUnixTimestamp64Nano({time:Int64}) OR (LogId, LeafIndex) < ({log:String}, {leaf:UInt64}))",
    ...filters.map((name) => ACCESS_FILTERS[name]),
  ];
  return `SELECT ${keyOf(TABLES.access)} FROM access_records WHERE ${conditions.join(" AND ")}
    ORDER BY Timestamp DESC, LogId DESC, LeafIndex DESC LIMIT {limit:UInt32}`;
}

/**
 * The newest hour in a time range that has an access record, in seconds: read off the end of the table's own order. LeafVersion is there only because
 * the projection by_actor lacks it: ClickHouse would else read the whole of the projection.
 */
export const NEWEST_HOUR = `SELECT toUnixTimestamp(toStartOfHour(Timestamp)) AS Hour, LeafVersion FROM access_records WHERE ${TIME_RANGE}
  ORDER BY toStartOfHour(Timestamp) DESC LIMIT 1`;

/** Tables whose records name their trace. */
const TRACED = [TABLES.access, TABLES.span, TABLES.log, TABLES.link];
/** A finding belongs to a trace when it names it, or a record of it as evidence. */
const FINDING_OF_TRACE = `TraceId = {trace:String} OR arrayExists(leaf -> (LogId, leaf) IN (
    ${[TABLES.access, TABLES.span].map(({ name }) => `SELECT LogId, LeafIndex FROM ${name} WHERE TraceId = {trace:String}`).join(" UNION ALL ")}
  ), Evidence)`;

/** Keys of the records of a trace behind a position, in the order of time. Parameters: trace, time, log, leaf, limit. */
export const TRACE_KEYS = `SELECT TableKind, Time, LogId, LeafIndex FROM (
  ${TRACED.map((table) => `SELECT ${keyOf(table)} FROM ${table.name} WHERE TraceId = {trace:String}`).join("\n  UNION ALL ")}
  UNION ALL SELECT ${keyOf(TABLES.finding)} FROM findings WHERE ${FINDING_OF_TRACE}
) WHERE (Time, LogId, LeafIndex) > ({time:Int64}, {log:String}, {leaf:UInt64})
ORDER BY Time, LogId, LeafIndex LIMIT {limit:UInt32}`;

/** Rows with one leaf index that are looked for. There is one, unless the store was changed. */
const MAX_DOUBLES = 3;

/** Keys of the rows that any table holds under one leaf index of one log. Parameters: log, leaf. */
export const RECORD_KEYS = `SELECT TableKind, Time, LogId, LeafIndex FROM (
  ${Object.values(TABLES)
    .map(
      (table) =>
        `SELECT ${keyOf(table)} FROM ${table.name} WHERE LogId = {log:String} AND LeafIndex = {leaf:UInt64}`,
    )
    .join("\n  UNION ALL ")}
) LIMIT ${MAX_DOUBLES}`;

/** Keys of the rows that any table holds under some leaf indexes of one log, in the order of time. Parameters: log, leaves. */
export const RECORDS_KEYS = `SELECT TableKind, Time, LogId, LeafIndex FROM (
  ${Object.values(TABLES)
    .map(
      (table) =>
        `SELECT ${keyOf(table)} FROM ${table.name} WHERE LogId = {log:String} AND LeafIndex IN {leaves:Array(UInt64)} ORDER BY LeafIndex LIMIT ${MAX_DOUBLES} BY LeafIndex`,
    )
    .join("\n  UNION ALL ")}
) ORDER BY Time, LogId, LeafIndex`;

/** The order of an answer; rows come in the order of their keys. */
export type Order = "newest first" | "oldest first";

function rowsIn(order: Order): ReadonlyMap<Table, string> {
  const direction = order === "newest first" ? "DESC" : "ASC";
  return new Map(
    Object.values(TABLES).map((table) => [
      table,
      `SELECT ${[...PLACE_COLUMNS, ...table.columns].map(({ name }) => `\`${name}\``).join(", ")} FROM ${table.name}
      WHERE LogId IN {logs:Array(String)} AND LeafIndex IN {leaves:Array(UInt64)}
        AND Timestamp >= fromUnixTimestamp64Nano({first:Int64}) AND Timestamp <= fromUnixTimestamp64Nano({last:Int64})
      ORDER BY Timestamp ${direction}, LogId ${direction}, LeafIndex ${direction} LIMIT {limit:UInt32} FORMAT RowBinary`,
    ]),
  );
}

const ROWS: Readonly<Record<Order, ReadonlyMap<Table, string>>> = {
  "newest first": rowsIn("newest first"),
  "oldest first": rowsIn("oldest first"),
};

/** Whole rows of a table by their places and the times they lie between. Parameters: logs, leaves, first, last, limit. */
export function rowsStatement(table: Table, order: Order): string {
  return ROWS[order].get(table)!;
}

/**
 * Spans of a proxy for a request that came to it, as src/correlate/proxy-spans.ts tells them from other spans, and the name of the proxy's workload there.
 */
const PROXY_SPAN = `(ScopeName = 'envoy' OR SpanAttributes['component'] = 'proxy' OR ResourceAttributes['telemetry.sdk.name'] = 'envoy')
    AND NOT match(SpanName, '^(router|async) .* egress$')
    AND (SpanKind = 'Server' OR hasAny(mapKeys(SpanAttributes), ['downstream_cluster', 'guid:x-request-id', 'http.url']))`;
const SPAN_WORKLOAD =
  "if((ServiceName = '' OR startsWith(ServiceName, 'unknown_service')) AND mapContains(SpanAttributes, 'node_id'), SpanAttributes['node_id'], ServiceName)";

/** Envoy names the service of its spans workload.namespace where a mesh configures it. */
const RECORD_WORKLOAD =
  "multiIf(LocalWorkload = '', ServiceName, LocalNamespace = '', LocalWorkload, concat(LocalWorkload, '.', LocalNamespace))";

/**
 * What is known of each workload's traffic in a time range. Parameters: from, to, linkedFrom, limit.
 *
 * `spans`: requests that came to its proxies, by their spans; `accessRecords`: what its proxies logged; `linked`: of these, those with a link to a span;
 * `untraced`: those of which no span can be known, for want of a trace ID or because the trace was not sampled; `blind`: requests that, as open findings
 * say, have a span and no access record.
 */
export const COVERAGE = `SELECT Workload, sum(Spans) AS spans, sum(Records) AS accessRecords, sum(Linked) AS linked, sum(Untraced) AS untraced, sum(Blind) AS blind
FROM (
  SELECT ${RECORD_WORKLOAD} AS Workload, 0 AS Spans, count() AS Records,
    countIf((LogId, LeafIndex) IN (SELECT AccessLog, AccessLeaf FROM trace_links WHERE Rule NOT IN ('peer', 'decision') AND Timestamp >= fromUnixTimestamp64Nano({linkedFrom:Int64}))) AS Linked,
    countIf(TraceId = '' OR SampledHint = 0) AS Untraced, 0 AS Blind
  FROM access_records WHERE ${TIME_RANGE} GROUP BY Workload
  UNION ALL
  SELECT ${SPAN_WORKLOAD} AS Workload, count() AS Spans, 0 AS Records, 0 AS Linked, 0 AS Untraced, 0 AS Blind
  FROM otel_traces WHERE ${TIME_RANGE} AND ${PROXY_SPAN} GROUP BY Workload
  UNION ALL
  SELECT Subject AS Workload, 0 AS Spans, 0 AS Records, 0 AS Linked, 0 AS Untraced, sum(Requests) AS Blind
  FROM (
    SELECT Subject, argMax(State, LeafIndex) AS LastState, argMax(toUInt64OrZero(Detail['count']), LeafIndex) AS Requests
    FROM findings WHERE ${TIME_RANGE} AND FindingKind = 'span_without_access' GROUP BY LogId, Subject, Timestamp
  ) WHERE LastState = 'open' GROUP BY Workload
)
GROUP BY Workload ORDER BY Workload LIMIT {limit:UInt32}`;
