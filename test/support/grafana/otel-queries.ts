/**
 * What the ClickHouse data source asks in its OpenTelemetry mode, which Explore uses. Each text is what the plugin's own generator (4.20, sqlGenerator.ts)
 * makes for a data source whose default database is otel.
 */

const LOG_COLUMNS =
  'Timestamp as "timestamp", Body as "body", SeverityText as "level", TraceId as "traceID", ResourceAttributes, ScopeAttributes, LogAttributes';
const LOGS = '"otel"."otel_logs"';

/** Search for traces: roots of the time range. */
export const TRACE_SEARCH =
  'SELECT "TraceId" as traceID, "ServiceName" as serviceName, "SpanName" as operationName, "Timestamp" as startTime, multiply("Duration", 0.000001) as duration FROM "otel"."otel_traces" WHERE ( Timestamp >= $__fromTime AND Timestamp <= $__toTime ) AND ( ParentSpanId = \'\' ) AND ( Duration > 0 ) ORDER BY Timestamp DESC, Duration DESC LIMIT 1000';

/** A trace by its ID, by way of otel_traces_trace_id_ts. */
export function traceById(traceId: string): string {
  const times = 'FROM "otel"."otel_traces_trace_id_ts" WHERE TraceId = __gf_trace_id';
  const fields = (map: string): string =>
    `arrayMap(key -> map('key', key, 'value',${map}[key]), mapKeys(${map}))`;
  const inner = (map: string): string =>
    `arrayMap(key -> map('key', key, 'value', ${map}[key]), mapKeys(${map}))`;
  return [
    `WITH '${traceId}' as __gf_trace_id, (SELECT min(Start) ${times}) as __gf_trace_start, (SELECT max(End) + 1 ${times}) as __gf_trace_end`,
    'SELECT "TraceId" as traceID, "SpanId" as spanID, "ParentSpanId" as parentSpanID, "ServiceName" as serviceName, "SpanName" as operationName,',
    'multiply(toUnixTimestamp64Nano("Timestamp"), 0.000001) as startTime, multiply("Duration", 0.000001) as duration,',
    `${fields('"SpanAttributes"')} as tags, ${fields('"ResourceAttributes"')} as serviceTags,`,
    "if(\"StatusCode\" IN ('Error', 'STATUS_CODE_ERROR'), 2, 0) as statusCode,",
    `arrayMap((name, timestamp, attributes) -> tuple(name, toString(toUnixTimestamp64Milli(timestamp)), ${inner("attributes")})::Tuple(name String, timestamp String, fields Array(Map(String, String))), "Events".Name, "Events".Timestamp, "Events".Attributes) AS logs,`,
    `arrayMap((traceID, spanID, attributes) -> tuple(traceID, spanID, ${inner("attributes")})::Tuple(traceID String, spanID String, tags Array(Map(String, String))), "Links".TraceId, "Links".SpanId, "Links".Attributes) AS references,`,
    '"SpanKind" as kind, "StatusMessage" as statusMessage, "TraceState" as traceState',
    'FROM "otel"."otel_traces" WHERE traceID = __gf_trace_id AND "Timestamp" >= __gf_trace_start AND "Timestamp" <= __gf_trace_end',
  ].join(" ");
}

/** Logs of the time range: with the older schema's TimestampTime, which our tables have too, and without. */
export const LOGS_OLDER = `SELECT ${LOG_COLUMNS} FROM ${LOGS} WHERE ( TimestampTime >= $__fromTime AND TimestampTime <= $__toTime ) ORDER BY (TimestampTime, timestamp) DESC LIMIT 1000`;
export const LOGS_NEWER = `SELECT ${LOG_COLUMNS} FROM ${LOGS} WHERE ( timestamp >= $__fromTime AND timestamp <= $__toTime ) ORDER BY timestamp DESC LIMIT 1000`;

/** Levels, and the words that count as each. */
const LEVELS = {
  critical: ["critical", "fatal", "crit", "alert", "emerg"],
  error: ["error", "err", "eror"],
  warn: ["warn", "warning"],
  info: ["info", "information", "informational"],
  debug: ["debug", "dbug"],
  trace: ["trace"],
  unknown: ["unknown"],
} as const;

/** How many logs of each level: the bars above a list of logs. */
export const LOG_VOLUME = `SELECT toStartOfInterval("TimestampTime", INTERVAL 1 MINUTE) as "time", ${Object.entries(
  LEVELS,
)
  .map(([level, words]) => {
    const capital = (word: string): string => word[0]!.toUpperCase() + word.slice(1);
    const all = [...words, ...words.map((word) => word.toUpperCase()), ...words.map(capital)];
    return `sum(multiSearchAny(toString("SeverityText"), [${all.map((word) => `'${word}'`).join(",")}])) as ${level}`;
  })
  .join(
    ", ",
  )} FROM ${LOGS} WHERE ( time >= $__fromTime AND time <= $__toTime ) GROUP BY time ORDER BY time ASC`;

/** The logs of one service before or behind one log. */
export function logContext(direction: "before" | "behind", nanos: string, service: string): string {
  const [operator, order] = direction === "behind" ? [">=", "ASC"] : ["<=", "DESC"];
  return `SELECT ${LOG_COLUMNS} FROM ${LOGS} WHERE ( TimestampTime ${operator} fromUnixTimestamp64Nano(${nanos}) ) AND ( ResourceAttributes['service.name'] = '${service}' ) ORDER BY TimestampTime ${order} LIMIT 100`;
}

/** What the editor and its lists of filters ask of the server. */
export const EDITOR = [
  'DESC TABLE "otel"."otel_traces"',
  'SHOW TABLES FROM "otel"',
  "SELECT name, type, table FROM system.columns WHERE database IN ('otel')",
  'SELECT DISTINCT "Policy" FROM "otel"."access_records" WHERE "Policy" IS NOT NULL LIMIT 1000',
] as const;
