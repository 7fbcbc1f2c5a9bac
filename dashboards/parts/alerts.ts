import { readdirSync } from "node:fs";
import { panelOf } from "./dashboard.ts";
import { clickHouseModel, PROVISIONED, type PrometheusModel } from "./datasource.ts";

/** A rule: one query that gives one number for each thing that it watches, and from where on somebody has to look. */
export interface AlertOptions {
  readonly title: string;
  /** What it means, and what to do. */
  readonly summary: string;
  readonly severity: "critical" | "warning";
  /** Numbers in one column, and texts that become labels. No row is no alert. */
  readonly sql?: string;
  /** Instead of `sql`, where it is our own metrics that tell. */
  readonly promql?: string;
  /** It fires above this. */
  readonly above: number;
  /** Seconds before now that the query's time range begins; default 600. */
  readonly seconds?: number;
  /** How long it must hold, such as `5m`; default at once. */
  readonly lasting?: string;
  /** The panel that shows more: its folder and file, such as `integrity/31-findings`, which is marked when the rule fires. */
  readonly panel: string;
}

/** A file of rules as Grafana's provisioning reads it (docs: "Use configuration files to provision alerting resources"). */
export interface AlertFile {
  readonly apiVersion: 1;
  readonly groups: readonly AlertGroup[];
}

interface AlertGroup {
  readonly orgId: number;
  readonly name: string;
  readonly folder: string;
  readonly interval: string;
  readonly rules: readonly AlertRule[];
}

export interface AlertRule {
  readonly uid: string;
  readonly title: string;
  readonly condition: string;
  readonly data: readonly AlertQuery[];
  readonly noDataState: "OK";
  readonly execErrState: "Error";
  readonly for: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly isPaused: boolean;
}

export interface AlertQuery {
  readonly refId: string;
  readonly relativeTimeRange: { readonly from: number; readonly to: number };
  readonly datasourceUid: string;
  readonly model: object;
}

const DEFAULT_SECONDS = 600;
/** Grafana's own expressions are a data source too. */
const EXPRESSIONS = "__expr__";

/** The rules of a folder, one a file, in the order of their names. Those that ask Prometheus are a group of their own: whoever has none deletes it. */
export async function loadAlerts(folder: URL): Promise<AlertFile> {
  const files = readdirSync(folder)
    .filter((file) => file.endsWith(".ts"))
    .toSorted();
  const rules = await Promise.all(
    files.map(async (file) => {
      const { default: options } = (await import(new URL(file, folder).href)) as {
        default: AlertOptions;
      };
      return { options, rule: ruleOf(file.slice(0, -".ts".length), options) };
    }),
  );
  const group = (name: string, isOfPrometheus: boolean): AlertGroup => ({
    orgId: 1,
    name,
    folder: "meshproof",
    interval: "1m",
    rules: rules
      .filter(({ options }) => (options.promql !== undefined) === isOfPrometheus)
      .map(({ rule }) => rule),
  });
  return { apiVersion: 1, groups: [group("records", false), group("pipeline", true)] };
}

function ruleOf(name: string, options: AlertOptions): AlertRule {
  const { title, summary, severity, above, lasting = "0s" } = options;
  const { uid, id } = panelOf(options.panel);
  return {
    uid: `meshproof-${name}`,
    title,
    condition: "C",
    data: [question(options), reduce, threshold(above)],
    noDataState: "OK",
    execErrState: "Error",
    for: lasting,
    // Grafana refuses one of the two without the other, and with it the whole file.
    annotations: { summary, __dashboardUid__: uid, __panelId__: String(id) },
    labels: { severity, service: "meshproof" },
    isPaused: false,
  };
}

function question({ sql, promql, seconds = DEFAULT_SECONDS }: AlertOptions): AlertQuery {
  const range = { refId: "A", relativeTimeRange: { from: seconds, to: 0 } };
  if (promql === undefined)
    return {
      ...range,
      datasourceUid: PROVISIONED.clickhouse,
      model: clickHouseModel(sql ?? "", "table"),
    };
  const model: PrometheusModel = { refId: "A", expr: promql, instant: true, range: false };
  return { ...range, datasourceUid: PROVISIONED.prometheus, model };
}

/** Expressions need no time; Grafana wants one. */
const NO_RANGE = { from: 0, to: 0 };

/** The last value: what a query gives as one number stays what it is. */
const reduce: AlertQuery = {
  refId: "B",
  relativeTimeRange: NO_RANGE,
  datasourceUid: EXPRESSIONS,
  model: { refId: "B", type: "reduce", expression: "A", reducer: "last" },
};

function threshold(above: number): AlertQuery {
  return {
    refId: "C",
    relativeTimeRange: NO_RANGE,
    datasourceUid: EXPRESSIONS,
    model: {
      refId: "C",
      type: "threshold",
      expression: "B",
      conditions: [{ evaluator: { type: "gt", params: [above] } }],
    },
  };
}
