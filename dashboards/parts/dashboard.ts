import { readdirSync } from "node:fs";
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  type Panel,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { ANNOTATIONS } from "./annotations.ts";
import { CLICKHOUSE, clickHouse } from "./datasource.ts";
import type { Variable } from "./variables.ts";

/** What the file dashboard.ts of a folder says; the panels are the other files beside it, in the order of their names. */
export interface DashboardOptions {
  readonly uid: string;
  readonly title: string;
  /** The question that it answers. */
  readonly description: string;
  readonly variables: readonly Variable[];
  /** Beginning of the time range, such as `now-1h`. */
  readonly from?: string;
  /** How often it is asked again; empty is never. */
  readonly refresh?: string;
  /** Whether findings and starts are marked, which needs ClickHouse; default true. */
  readonly hasAnnotations?: boolean;
}

const TAG = "meshproof";

/** The dashboard of a folder. */
export async function loadDashboard(folder: URL): Promise<Dashboard> {
  const options = await load<DashboardOptions>(new URL("dashboard.ts", folder));
  const panels = await Promise.all(
    panelFiles(folder).map((file) => load<Builder<Panel>>(new URL(file, folder))),
  );
  return build(options, panels);
}

function panelFiles(folder: URL): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".ts") && file !== "dashboard.ts")
    .toSorted();
}

/** What Grafana calls the panel in the file `overview/12-linked`: UID of the dashboard, ID of the panel. Throws: an Error when there is none. */
export function panelOf(path: string): { readonly uid: string; readonly id: number } {
  const [folder, name] = path.split("/") as [string, string];
  const index = panelFiles(new URL(`../${folder}/`, import.meta.url)).indexOf(`${name}.ts`);
  if (index < 0) throw new Error(`no panel ${path}`);
  return { uid: `meshproof-${folder}`, id: index + 1 };
}

async function load<T>(file: URL): Promise<T> {
  return ((await import(file.href)) as { default: T }).default;
}

function build(options: DashboardOptions, panels: readonly Builder<Panel>[]): Dashboard {
  const { uid, title, description, variables, from = "now-1h", refresh = "30s" } = options;
  const annotations = options.hasAnnotations === false ? [] : ANNOTATIONS;
  const dashboard = new DashboardBuilder(`meshproof: ${title}`)
    .uid(uid)
    .description(description)
    .tags([TAG])
    .editable()
    .timezone("browser")
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from, to: "now" })
    .refresh(refresh)
    .link(
      new DashboardLinkBuilder("meshproof")
        .type(DashboardLinkType.Dashboards)
        .tags([TAG])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
    );
  for (const { builder } of variables) dashboard.withVariable(builder);
  for (const { name, colour, sql } of annotations)
    dashboard.annotation(
      new AnnotationQueryBuilder()
        .name(name)
        .enable(true)
        .iconColor(colour)
        .datasource(CLICKHOUSE)
        .target(clickHouse(sql, "table", "annotation")),
    );
  for (const panel of panels) dashboard.withPanel(panel);
  const built = dashboard.build();
  // Names of panels in links and in Grafana's own statistics: stable as long as none is put between them.
  built.panels?.forEach((panel, i) => (panel.id = i + 1));
  // The SDK hides links between dashboards in a menu; in plain sight is Grafana's default.
  built.links?.forEach((link) => delete link.placement);
  return built;
}
