import { readdirSync } from "node:fs";
import { stringify } from "yaml";
import { loadAlerts } from "./parts/alerts.ts";
import { loadDashboard } from "./parts/dashboard.ts";

/** Folders beside this file that are no dashboards. */
const OTHERS = new Set(["alerts", "parts", "provisioning"]);

const FOLDERS = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !OTHERS.has(entry.name))
  .map(({ name }) => name)
  .toSorted();

/** Every dashboard by the name of its folder. */
export const DASHBOARDS = new Map(
  await Promise.all(
    FOLDERS.map(
      async (name) => [name, await loadDashboard(new URL(`${name}/`, import.meta.url))] as const,
    ),
  ),
);

/** The alert rules, as Grafana's provisioning wants them. */
export const ALERTS = await loadAlerts(new URL("alerts/", import.meta.url));

const NOTE = "# Generated from dashboards/alerts by `npm run generate`.\n";

/** The generated files by their paths from the project's root. */
export const GENERATED: Readonly<Record<string, () => string>> = {
  ...Object.fromEntries(
    [...DASHBOARDS].map(([name, dashboard]) => [
      `dashboards/${name}.json`,
      () => `${JSON.stringify(dashboard, null, 2)}\n`,
    ]),
  ),
  "dashboards/provisioning/alerting/meshproof.yaml": () =>
    NOTE + stringify(ALERTS, { lineWidth: 0, aliasDuplicateObjects: false }),
};
