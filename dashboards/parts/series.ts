import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import type { Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import { PanelBuilder } from "@grafana/grafana-foundation-sdk/timeseries";
import { COLOURS, type Common, fixedColour, withCommon } from "./common.ts";
import { CLICKHOUSE, clickHouse, PROMETHEUS, promql } from "./datasource.ts";

interface Appearance extends Common {
  readonly draw?: "lines" | "bars";
  readonly isStacked?: boolean;
  /** End of the axis, such as 1 for shares. */
  readonly max?: number;
  /** Series whose name is a word with a colour of its own. */
  readonly words?: readonly string[];
}

interface SeriesOptions extends Appearance {
  /** First a column `time`, by which rows are ordered; then numbers. A column of text becomes a label: one series for each of its values. */
  readonly sql: string;
}

/** Lines or bars over time. */
export function timeseries(options: SeriesOptions): Builder<Panel> {
  return seriesPanel(options)
    .datasource(CLICKHOUSE)
    .withTarget(clickHouse(options.sql, "timeseries"));
}

interface MetricsOptions extends Appearance {
  /** Expressions in PromQL by the name of their series, in which labels stand as `{{label}}`. */
  readonly queries: Readonly<Record<string, string>>;
}

/** Our own metrics over time, from Prometheus. */
export function metrics(options: MetricsOptions): Builder<Panel> {
  const panel = seriesPanel(options).datasource(PROMETHEUS);
  for (const [i, [legend, expr]] of Object.entries(options.queries).entries())
    panel.withTarget(promql(expr, legend, String.fromCharCode(65 + i)));
  return panel;
}

/** No interval is shorter than this: checkpoints come each second, and a point a second says no more. */
const MIN_INTERVAL = "10s";

function seriesPanel(options: Appearance): PanelBuilder {
  const { draw = "lines", isStacked = false, max, words = [] } = options;
  const panel = withCommon(new PanelBuilder(), options, { width: 12, height: 8 })
    .min(0)
    .interval(MIN_INTERVAL)
    .drawStyle(draw === "bars" ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .fillOpacity(draw === "bars" ? 80 : 10)
    .showPoints(VisibilityMode.Auto)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true)
        .calcs([]),
    )
    .tooltip(
      new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending),
    );
  if (isStacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group("A"));
  if (max !== undefined) panel.max(max);
  for (const word of words)
    panel.overrideByRegexp(`/(^| )${word}$/`, [fixedColour(COLOURS[word]!)]);
  return panel;
}
