import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  AdHocVariableBuilder,
  ConstantVariableBuilder,
  CustomVariableBuilder,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { CLICKHOUSE, clickHouseModel, PROMETHEUS, PROVISIONED } from "./datasource.ts";
import { COUNTED, WORKLOAD } from "./sql.ts";

/**
 * Variables, and the SQL conditions that they stand for.
 *
 * Values come from clients and from links, and the plugin puts them between quotes without looking at them (`'${value.join("','")}'`); Grafana's own format `sqlstring`
 * does not know that ClickHouse takes a backslash for an escape. So no value is ever put into SQL as it is: Grafana percent-encodes it, which leaves neither
 * quote nor backslash, and ClickHouse decodes it.
 */
export interface Variable {
  readonly name: string;
  readonly builder: Builder<VariableModel>;
  /** True where no value is chosen, or the record has one that is. */
  readonly condition: string;
}

/** `var-name=first&var-name=second` as Grafana's format `queryparam` writes it, as an array. */
function chosen(name: string): string {
  return `arrayMap(v -> decodeURLFormComponent(v), extractAll('\${${name}:queryparam}', 'var-${name}=([^&]*)'))`;
}

/** One text, encoded by Grafana's format `percentencode`. */
export function textOf(name: string): string {
  return `decodeURLComponent('\${${name}:percentencode}')`;
}

/** A condition that is not there while nothing is chosen: a macro of the plugin. */
function unlessAll(condition: string, name: string): string {
  return `$__conditionalAll(${condition}, $${name})`;
}

/** Values that a list offers. */
const MAX_VALUES = 500;

/**
 * The values of an expression over access records, most frequent first; several can be chosen. The list is made when the dashboard is opened: Grafana drops
 * what is chosen from it when a new list lacks it, and takes another for it, so that a list of each time range would change what an investigation is about.
 */
function choice(name: string, label: string, expression: string, description: string): Variable {
  const sql = `SELECT ${expression} AS value FROM access_records
WHERE $__timeFilter(Timestamp) AND value != ''
GROUP BY value ORDER BY count() DESC LIMIT ${MAX_VALUES}`;
  return {
    name,
    builder: new QueryVariableBuilder(name)
      .label(label)
      .description(`${description}. The ${MAX_VALUES} most frequent; others can be typed.`)
      .datasource(CLICKHOUSE)
      // What the editor of variables calls a query that is written by hand.
      .query({ ...clickHouseModel(sql, "table", `${name}-values`), queryType: "sql" })
      .definition(sql)
      .refresh(VariableRefresh.OnDashboardLoad)
      .sort(VariableSort.Disabled)
      .multi(true)
      .includeAll(true)
      .allowCustomValue(true)
      .current({ text: ["All"], value: ["$__all"] }),
    // `has` of a constant array, since ClickHouse uses the order of a table and its projections for it.
    condition: unlessAll(`has(${chosen(name)}, ${expression})`, name),
  };
}

export const identity = choice(
  "identity",
  "Identity",
  "Actor",
  "Who asked: the end user, else the workload, else the address",
);
export const namespace = choice(
  "namespace",
  "Namespace",
  "LocalNamespace",
  "Namespace of the workload whose proxy wrote the record",
);
export const workload = choice(
  "workload",
  "Workload",
  WORKLOAD,
  "Workload whose proxy wrote the record",
);
export const decision = choice(
  "decision",
  "Decision",
  "Decision",
  "allowed, denied, failed or unknown",
);
export const policy = choice("policy", "Policy", "Policy", "The policy that decided");

/** A text that is typed. */
function text(name: string, label: string, description: string, condition: string): Variable {
  return {
    name,
    builder: new TextBoxVariableBuilder(name)
      .label(label)
      .description(description)
      .defaultValue("")
      .current({ text: "", value: "" }),
    condition: unlessAll(condition, name),
  };
}

export const path = text(
  "path",
  "Path",
  "Beginning of the path, such as /api/orders",
  `startsWith(Path, ${textOf("path")})`,
);

/**
 * The trace that is chosen. IDs are hexadecimal: encoding changes none, and what it would change matches none. NULL while none is chosen, so that what
 * has no trace ID is not of that trace.
 */
export const TRACE = "nullIf('${trace_id:percentencode}', '')";
export const traceId = text("trace_id", "Trace ID", "32 hexadecimal digits", `TraceId = ${TRACE}`);

/** How far before the time range something must have been seen not to be new. */
export const history: Variable = {
  name: "history",
  builder: new CustomVariableBuilder("history")
    .label("History")
    .description("What was seen this long before the time range is not new")
    .values("1,7,30")
    .current({ text: "7", value: "7" })
    .options(["1", "7", "30"].map((days) => ({ text: days, value: days, selected: days === "7" }))),
  condition: "",
};

/** An interval of so many days; what is no number counts as none. */
export const HISTORY = "toIntervalDay(toUInt16OrZero('${history:percentencode}'))";

/** Where links to proofs lead. */
export const api: Variable = {
  name: "api",
  builder: new TextBoxVariableBuilder("api")
    .label("API")
    .description("Where browsers reach meshproof's API, for links to records and proofs")
    .defaultValue("http://127.0.0.1:8320")
    .current({ text: "http://127.0.0.1:8320", value: "http://127.0.0.1:8320" }),
  condition: "",
};

export const clickhouse: Variable = {
  name: "datasource",
  builder: new DatasourceVariableBuilder("datasource")
    .label("ClickHouse")
    .type("grafana-clickhouse-datasource")
    // Where there are several; where there is none of this name, Grafana takes the first.
    .current({ text: "meshproof", value: PROVISIONED.clickhouse }),
  condition: "",
};

export const prometheus: Variable = {
  name: "prometheus",
  builder: new DatasourceVariableBuilder("prometheus")
    .label("Prometheus")
    .type("prometheus")
    .current({ text: "meshproof metrics", value: PROVISIONED.prometheus }),
  condition: "",
};

/** Which meshproof, where Prometheus reads several. */
export const instance: Variable = {
  name: "instance",
  builder: new QueryVariableBuilder("instance")
    .label("Instance")
    .datasource(PROMETHEUS)
    .query({ refId: "instances", query: "label_values(meshproof_tree_size, instance)", qryType: 1 })
    .definition("label_values(meshproof_tree_size, instance)")
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue(".+")
    .current({ text: ["All"], value: ["$__all"] }),
  condition: "",
};

/** Which columns can be filters, and what values they have: the plugin looks for a variable of this name. Without it, columns of all tables are offered, and values of all years. */
export const filterValues: Variable = {
  name: "clickhouse_adhoc_query",
  builder: new ConstantVariableBuilder("clickhouse_adhoc_query").value(
    "SELECT DISTINCT $__adhoc_column FROM access_records WHERE Timestamp > now() - 86400 LIMIT 1000",
  ),
  condition: "",
};

/** Any column: the plugin turns its filters into the setting `additional_table_filters`, where a query says FILTERED. */
export const filters: Variable = {
  name: "filters",
  builder: new AdHocVariableBuilder("filters")
    .label("Filters")
    .description("Conditions on any column of access_records")
    .datasource(CLICKHOUSE),
  condition: "",
};

/** Access records in the time range that fit what is chosen. */
export function accessRecords(variables: readonly Variable[] = []): string {
  const conditions = variables.map(({ condition }) => condition).filter((one) => one !== "");
  return ["$__timeFilter(Timestamp)", ...conditions].join("\n  AND ");
}

/** Requests and connections in the time range that fit what is chosen, each once for every proxy that it passed. */
export function requests(variables: readonly Variable[] = []): string {
  return `${accessRecords(variables)}\n  AND ${COUNTED}`;
}
