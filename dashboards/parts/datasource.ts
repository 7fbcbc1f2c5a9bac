import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import type { DataSourceRef } from "@grafana/grafana-foundation-sdk/common";

/** The data source of the rows, as the dashboard's variable names it. The plugin is `grafana-clickhouse-datasource`, version 4. */
export const CLICKHOUSE: DataSourceRef = {
  type: "grafana-clickhouse-datasource",
  uid: "${datasource}",
};

/** The data source of our own metrics. */
export const PROMETHEUS: DataSourceRef = { type: "prometheus", uid: "${prometheus}" };

/** What the data sources of `provisioning/datasources` are called: alert rules have no variables. */
export const PROVISIONED = {
  clickhouse: "meshproof-clickhouse",
  prometheus: "meshproof-prometheus",
} as const;

/** What becomes of an answer (`queryType` in the editor), and the number that the plugin's back end wants for it (sqlds, FormatQueryOption). */
export const FORMATS = { timeseries: 0, table: 1, logs: 2, traces: 3 } as const;

export type Format = keyof typeof FORMATS;

/** A query as the ClickHouse data source keeps it in a dashboard: `rawSql` is what runs; the rest tells the editor how to show it. */
export interface ClickHouseModel {
  readonly refId: string;
  readonly datasource?: DataSourceRef;
  readonly editorType: "sql" | "builder";
  readonly queryType: Format;
  readonly format: number;
  readonly rawSql: string;
  readonly pluginVersion: string;
  /** What the query builder shows; it makes `rawSql` of it again when somebody changes it. */
  readonly builderOptions?: object;
}

/** Of the editor's fields; a dashboard of an older version would be migrated when it is opened. */
const PLUGIN_VERSION = "4.20.0";

/** The parts of a query that a panel, an annotation and an alert rule have in common. */
export function clickHouseModel(sql: string, format: Format, refId = "A"): ClickHouseModel {
  return {
    refId,
    editorType: "sql",
    queryType: format,
    format: FORMATS[format],
    rawSql: sql.trim(),
    pluginVersion: PLUGIN_VERSION,
  };
}

/** A target in SQL. */
export function clickHouse(sql: string, format: Format, refId = "A"): Builder<Dataquery> {
  return target({ ...clickHouseModel(sql, format, refId), datasource: CLICKHOUSE });
}

/** A target that the plugin's query builder opens: `sql` is what it makes of `builderOptions`. */
export function clickHouseBuilder(
  sql: string,
  format: Format,
  builderOptions: object,
): Builder<Dataquery> {
  return target({
    ...clickHouseModel(sql, format),
    editorType: "builder",
    builderOptions,
    datasource: CLICKHOUSE,
  });
}

/** A query to Prometheus, as its data source keeps it. */
export interface PrometheusModel {
  readonly refId: string;
  readonly datasource?: DataSourceRef;
  readonly expr: string;
  readonly legendFormat?: string;
  readonly instant?: boolean;
  readonly range?: boolean;
}

/** A target in PromQL; `legend` names the series, with labels as `{{label}}`. */
export function promql(expr: string, legend: string, refId: string): Builder<Dataquery> {
  return target({ refId, datasource: PROMETHEUS, expr, legendFormat: legend, range: true });
}

/** The SDK's queries are marked by a method that plain models do not have. */
export function target(model: object): Builder<Dataquery> {
  return { build: () => model as Dataquery };
}
