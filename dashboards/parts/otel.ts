import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import { clickHouseBuilder } from "./datasource.ts";
import { TRACE } from "./variables.ts";

/** Columns of otel_logs by the plugin's names for what they hold ("hints"), as its OpenTelemetry mode sets them for tables with TimestampTime. */
const LOG_COLUMNS = {
  filter_time: "TimestampTime",
  time: "Timestamp",
  log_message: "Body",
  log_level: "SeverityText",
  trace_id: "TraceId",
  resource_attributes: "ResourceAttributes",
  scope_attributes: "ScopeAttributes",
  log_attributes: "LogAttributes",
} as const;

/** Logs that a panel is given. */
export const MAX_LOGS = 500;

/**
 * The logs of a trace as the plugin's query builder asks for them in OpenTelemetry mode, so that it opens the query there. The value is
 * percent-encoded: a trace ID is not changed by that, anything else cannot leave its quotes.
 */
export function otelLogsOfTrace(): Builder<Dataquery> {
  // The builder puts no quotes around a value with a variable in it.
  const value = TRACE;
  const sql = [
    'SELECT Timestamp as "timestamp", Body as "body", SeverityText as "level", TraceId as "traceID",',
    "ResourceAttributes, ScopeAttributes, LogAttributes",
    'FROM "otel_logs" WHERE ( timestamp >= $__fromTime AND timestamp <= $__toTime )',
    `AND ( traceID = ${value} ) ORDER BY timestamp DESC LIMIT ${MAX_LOGS}`,
  ].join(" ");
  return clickHouseBuilder(sql, "logs", {
    database: "",
    table: "otel_logs",
    queryType: "logs",
    mode: "list",
    columns: Object.entries(LOG_COLUMNS).map(([hint, name]) => ({ name, hint })),
    filters: [
      {
        filterType: "custom",
        key: "",
        hint: "time",
        type: "datetime",
        operator: "WITH IN DASHBOARD TIME RANGE",
        condition: "AND",
      },
      {
        filterType: "custom",
        key: "",
        hint: "trace_id",
        type: "string",
        operator: "=",
        value,
        condition: "AND",
      },
    ],
    orderBy: [{ name: "", hint: "time", dir: "DESC" }],
    limit: MAX_LOGS,
    meta: { otelEnabled: true, otelVersion: "1.29.0" },
  });
}
