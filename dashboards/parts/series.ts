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
import { FILTERED } from "./sql.ts";

interface Appearance extends Common {
  readonly draw?: "lines" | "bars";
  readonly isStacked?: boolean;
  /** End of the axis, such as 1 for shares. */
  readonly max?: number;
  /** Series whose name is a word with a colour of its own. */
  readonly words?: readonly string[];
}

interface SeriesOptions extends Appearance {
  /** Columns `time`, and numbers: a row for each interval that has any, in no order. A number that is unknown where there is no row is Nullable. */
  readonly sql: string;
  /** A column of text behind `time`: one series for each of its values, which is its name. */
  readonly by?: string;
  /** Whether the filters that people add hold here. */
  readonly isFiltered?: boolean;
}

/** Lines or bars over time. */
export function timeseries(options: SeriesOptions): Builder<Panel> {
  const { by, isFiltered = false } = options;
  const sql = everyInterval(options.sql, by);
  const panel = seriesPanel(options)
    .spanNulls(BRIDGED_MS)
    .datasource(CLICKHOUSE)
    .withTarget(clickHouse(isFiltered ? `${sql}\n${FILTERED}` : sql, "timeseries"));
  return by === undefined ? panel : panel.displayName(`\${__field.labels.${by}}`);
}

/** A point in every interval, since Grafana draws a line from one point to the next however far that is, and bars as wide: 0, or a gap where the number is Nullable. */
function everyInterval(sql: string, by?: string): string {
  const order = by === undefined ? "time" : `${by}, time`;
  return `
SELECT * FROM (${sql}
  ORDER BY ${order} WITH FILL FROM toStartOfInterval($__fromTime, INTERVAL $__interval_s second) TO $__toTime STEP $__interval_s
)${by === undefined ? "" : `\nWHERE ${by} != ''`}
ORDER BY time`;
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

/** Gaps of a quiet log are bridged: a number each minute is not five of six unknown. */
const BRIDGED_MS = 300_000;

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
