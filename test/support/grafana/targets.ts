import { ALERTS, DASHBOARDS } from "../../../dashboards/index.ts";
import type { ClickHouseModel, PrometheusModel } from "../../../dashboards/parts/datasource.ts";

/** What asks a data source: a panel, a variable, an annotation or an alert rule. */
export interface Question {
  /** Dashboard and title, such as `overview / Latency`. */
  readonly name: string;
  readonly dashboard: string;
  /** Type of the panel, or what it is instead. */
  readonly shape: string;
  readonly model: ClickHouseModel;
  /** Seconds before now that an alert rule asks for. */
  readonly seconds?: number;
}

interface Target {
  readonly rawSql?: string;
  readonly expr?: string;
}

function isClickHouse(target: Target): boolean {
  return target.rawSql !== undefined;
}

/** Every query to ClickHouse. */
export function questions(): Question[] {
  const found: Question[] = [];
  for (const [dashboard, { panels, templating, annotations }] of DASHBOARDS) {
    const add = (title: string, shape: string, target: unknown): void => {
      if (isClickHouse(target as Target))
        found.push({
          name: `${dashboard} / ${title}`,
          dashboard,
          shape,
          model: target as ClickHouseModel,
        });
    };
    for (const panel of panels ?? [])
      if ("targets" in panel)
        for (const target of panel.targets ?? [])
          add(
            panel.targets!.length === 1
              ? panel.title!
              : `${panel.title}, ${(target as unknown as ClickHouseModel).refId}`,
            panel.type,
            target,
          );
    for (const { name, query } of templating.list ?? [])
      if (typeof query === "object") add(`variable ${name}`, "variable", query);
    for (const { name, target } of annotations.list ?? [])
      add(`annotation ${name}`, "annotation", target);
  }
  for (const { rules } of ALERTS.groups)
    for (const { title, data } of rules) {
      const { model, relativeTimeRange } = data[0]!;
      if (isClickHouse(model))
        found.push({
          name: `alert / ${title}`,
          dashboard: "alert",
          shape: "alert",
          model: model as ClickHouseModel,
          seconds: relativeTimeRange.from,
        });
    }
  return found;
}

/** Every expression in PromQL, by where it stands. */
export function expressions(): [name: string, expr: string][] {
  const found: [string, string][] = [];
  for (const [dashboard, { panels }] of DASHBOARDS)
    for (const panel of panels ?? [])
      if ("targets" in panel)
        for (const target of panel.targets ?? []) {
          const { expr, legendFormat } = target as unknown as PrometheusModel;
          if (expr !== undefined)
            found.push([`${dashboard} / ${panel.title}: ${legendFormat}`, expr]);
        }
  for (const { rules } of ALERTS.groups)
    for (const { title, data } of rules) {
      const { expr } = data[0]!.model as PrometheusModel;
      if (expr !== undefined) found.push([`alert / ${title}`, expr]);
    }
  return found;
}
