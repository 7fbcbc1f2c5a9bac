import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import {
  BigValueColorMode,
  ReduceDataOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import {
  type Panel,
  PanelBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { PanelBuilder as LogsBuilder } from "@grafana/grafana-foundation-sdk/logs";
import { PanelBuilder as NodeGraphBuilder } from "@grafana/grafana-foundation-sdk/nodegraph";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TableBuilder } from "@grafana/grafana-foundation-sdk/table";
import { colouredWords, type Common, fixedColour, withCommon } from "./common.ts";
import { CLICKHOUSE, clickHouse } from "./datasource.ts";
import { LINKED_COLUMNS, linksOf } from "./links.ts";
import { FILTERED } from "./sql.ts";

export { metrics, timeseries } from "./series.ts";

/** From which value on a panel has which colour; the first holds below all others. */
export type Thresholds = readonly (readonly [from: number | null, colour: string])[];

interface StatOptions extends Common {
  /** One row with one column: a number or a word. */
  readonly sql: string;
  readonly thresholds?: Thresholds;
  /** What stands there when there is no row. */
  readonly noValue?: string;
}

/** One value, large. */
export function stat(options: StatOptions): Builder<Panel> {
  const { thresholds = [[null, "text"]], noValue = "none", sql } = options;
  return (
    withCommon(new StatBuilder(), options, { width: 4, height: 4 })
      .datasource(CLICKHOUSE)
      .withTarget(clickHouse(sql, "table"))
      .colorMode(BigValueColorMode.Value)
      .mappings(colouredWords())
      .noValue(noValue)
      .thresholds(
        new ThresholdsConfigBuilder()
          .mode(ThresholdsMode.Absolute)
          .steps(thresholds.map(([value, color]) => ({ value, color }))),
      )
      // Also a column of text, which the default leaves out.
      .reduceOptions(
        new ReduceDataOptionsBuilder().calcs(["lastNotNull"]).fields("/.*/").values(false),
      )
  );
}

interface TableOptions extends Common {
  /** Rows with named columns, and a LIMIT at the end, which the description says. */
  readonly sql: string;
  /** Whether the filters that people add hold here. */
  readonly isFiltered?: boolean;
  /** Units of columns by their names. */
  readonly units?: Readonly<Record<string, string>>;
}

/** Columns of which every word has a colour. */
const WORDS = /\b(?:\w*Decision|State|Severity|Integrity|Completeness)\b/g;

const TABLE_SIZE = { width: 24, height: 10 };

/** A reader must know that a panel does not show everything. */
function atMost(options: Common, limit: number, what: string): Common {
  return { ...options, description: `${options.description} At most ${limit} ${what}.` };
}

/** What stands behind LIMIT. Throws: an Error for a query without one at its end. */
function limitOf(sql: string): number {
  const [, limit] = /LIMIT (\d+)$/.exec(sql.trim()) ?? [];
  if (limit === undefined) throw new Error(`no LIMIT at the end: ${sql}`);
  return Number(limit);
}

/** Rows. Columns that links.ts names have their links, words their colours. */
export function table(options: TableOptions): Builder<Panel> {
  const { sql, units = {}, isFiltered = false } = options;
  const panel = withCommon(new TableBuilder(), atMost(options, limitOf(sql), "rows"), TABLE_SIZE)
    .datasource(CLICKHOUSE)
    .withTarget(clickHouse(isFiltered ? `${sql}\n${FILTERED}` : sql, "table"))
    .filterable(true)
    .mappings(colouredWords());
  for (const [column, unit] of Object.entries(units))
    panel.overrideByName(column, [{ id: "unit", value: unit }]);
  for (const column of LINKED_COLUMNS)
    if (new RegExp(`\\b${column}\\b`).test(sql)) panel.overrideByName(column, [linksOf(column)]);
  for (const column of new Set(sql.match(WORDS)))
    panel.overrideByName(column, [{ id: "custom.cellOptions", value: { type: "color-text" } }]);
  return panel;
}

interface GraphOptions extends Common {
  /** Columns id, title, mainstat, and arc__… for parts of the circle. */
  readonly nodes: string;
  /** Columns id, source, target, mainstat. */
  readonly edges: string;
}

/** Nodes and edges. */
export function graph(options: GraphOptions): Builder<Panel> {
  return withCommon(new NodeGraphBuilder(), options, { width: 24, height: 14 })
    .datasource(CLICKHOUSE)
    .withTarget(clickHouse(options.nodes, "table", "nodes"))
    .withTarget(clickHouse(options.edges, "table", "edges"))
    .overrideByName("arc__allowed", [fixedColour("green")])
    .overrideByName("arc__denied", [fixedColour("red")]);
}

interface TargetOptions extends Common {
  readonly target: Builder<Dataquery>;
  /** The LIMIT of the target, which the description says. */
  readonly limit: number;
}

/** A trace, in the columns of Grafana's trace view. The SDK has no builder of its own for this panel. */
export function traces(options: TargetOptions): Builder<Panel> {
  const { limit } = options;
  return withCommon(new PanelBuilder().type("traces"), atMost(options, limit, "spans"), {
    width: 24,
    height: 16,
  })
    .datasource(CLICKHOUSE)
    .withTarget(options.target)
    .overrideByName("spanID", [linksOf("spanID")]);
}

/** Logs: columns timestamp, body, level and so on. */
export function logs(options: TargetOptions): Builder<Panel> {
  const { limit } = options;
  return withCommon(new LogsBuilder(), atMost(options, limit, "logs"), { width: 24, height: 8 })
    .datasource(CLICKHOUSE)
    .withTarget(options.target)
    .showTime(true)
    .wrapLogMessage(true)
    .enableLogDetails(true);
}
