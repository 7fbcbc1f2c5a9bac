import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Panel, VariableRefresh } from "@grafana/grafana-foundation-sdk/dashboard";
import t from "tap";
import { parse } from "yaml";
import { ALERTS, DASHBOARDS } from "../dashboards/index.ts";
import { PROVISIONED } from "../dashboards/parts/datasource.ts";
import { WORKLOAD } from "../dashboards/parts/sql.ts";
import { COVERAGE } from "../src/query/statements.ts";
import { expressions, questions } from "./support/grafana/targets.ts";

/** What can be said of dashboards without a server. That the JSON is what the code says is in docs.test.ts. */

const PROVISIONING = resolve(import.meta.dirname, "../dashboards/provisioning");

function panelsOf(name: string): Panel[] {
  return (DASHBOARDS.get(name)!.panels ?? []) as Panel[];
}

t.test("each dashboard is found, and its panels have room", async (t) => {
  t.same(
    [...DASHBOARDS.keys()],
    ["access", "identity", "integrity", "overview", "pipeline", "policy", "trace"],
  );
  t.equal(new Set([...DASHBOARDS.values()].map(({ uid }) => uid)).size, DASHBOARDS.size);
  t.equal(DASHBOARDS.get("overview")!.uid, "meshproof-overview", "links from elsewhere stay");
  for (const [name, { title, description, schemaVersion }] of DASHBOARDS) {
    t.match(title, /^meshproof: /);
    t.ok(description!.length > 20 && schemaVersion >= 39);
    const panels = panelsOf(name);
    t.ok(panels.length > 0 && panels.length <= 14, `${name}: the reader runs 16 queries at a time`);
    const cells = new Set<string>();
    let taken = 0;
    for (const { title, description, gridPos } of panels) {
      const { x, y, w, h } = gridPos!;
      t.ok(x + w <= 24, `${name} / ${title} is within the grid`);
      t.ok(description!.length > 20, `${name} / ${title} says what one sees`);
      for (let dx = 0; dx < w; dx++)
        for (let dy = 0; dy < h; dy++) cells.add(`${x + dx} ${y + dy}`);
      taken += w * h;
    }
    t.equal(cells.size, taken, `${name}: no panel covers another`);
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  }
});

t.test("no value of a variable is put into SQL as it is", async (t) => {
  for (const { name, model } of questions()) {
    // The plugin's macro takes a variable's name, and puts its value nowhere.
    const rest = model.rawSql.replaceAll(/, \$\w+\)/g, ")");
    for (const [reference] of rest.matchAll(/\$(?!__)\{?\w+[^}\s]*\}?/g))
      t.match(reference, /^\$\{\w+:(?:queryparam|percentencode)\}$/, `${name}: ${reference}`);
  }
});

t.test("a query uses variables that its dashboard has", async (t) => {
  for (const [name, { templating }] of DASHBOARDS) {
    const known = new Set(templating.list!.map((one) => one.name));
    const text = JSON.stringify(panelsOf(name));
    for (const [, variable] of text.matchAll(/\$\{?(?!__|value\b)([a-z]\w*)/g))
      t.ok(
        known.has(variable!) || ["datasource", "api"].includes(variable!),
        `${name}: ${variable}`,
      );
    if (text.includes("${api"))
      t.ok(known.has("api"), `${name} has links to the API, and its address`);
  }
});

interface Link {
  readonly title: string;
  readonly url: string;
}

/** Every link of a dashboard's cells, with the query of its panel. */
function* links(): Generator<[panel: string, column: string, link: Link, sql: string]> {
  for (const name of DASHBOARDS.keys())
    for (const { title, targets, fieldConfig } of panelsOf(name))
      for (const { matcher, properties } of fieldConfig?.overrides ?? [])
        for (const { id, value } of properties)
          if (id === "links")
            for (const link of value as Link[])
              yield [
                `${name} / ${title}`,
                String(matcher.options),
                link,
                (targets![0] as unknown as { rawSql: string }).rawSql,
              ];
}

t.test("links lead to dashboards and variables that are there", async (t) => {
  const byUid = new Map([...DASHBOARDS.values()].map((one) => [one.uid!, one]));
  const edges = new Set<string>();
  for (const [panel, column, { url }, sql] of links()) {
    t.match(sql, new RegExp(`\\b${column}\\b`), `${panel}: ${column}`);
    const [, uid, query] = /^\/d\/([\w-]+)\?(.*)$/.exec(url) ?? [];
    if (uid === undefined) {
      t.match(url, /^\$\{api\}\/api\/v1\/records\/\$\{__value\.raw\}(?:\/proof)?$/);
      edges.add(`${panel.split(" / ")[0]} proof`);
      continue;
    }
    const target = byUid.get(uid);
    t.ok(target, `${panel}: ${uid}`);
    edges.add(`${panel.split(" / ")[0]} ${uid.replace("meshproof-", "")}`);
    const names = target!.templating.list!.map(({ name }) => name);
    for (const [, name] of query!.matchAll(/\bvar-(\w+)=/g)) t.ok(names.includes(name!), `${name}`);
    for (const [, field] of query!.matchAll(/__data\.fields\.(\w+)/g))
      t.match(sql, new RegExp(`AS ${field}\\b`), `${panel} has ${field}`);
    t.match(query, /\$\{__url_time_range\}/, "the time range goes along");
  }
  for (const edge of ["access trace", "access proof", "trace access", "trace proof"])
    t.ok(edges.has(edge), edge);
});

t.test("what is chosen stays chosen when the time range changes", async (t) => {
  for (const [name, { templating }] of DASHBOARDS)
    for (const one of templating.list!)
      if (typeof one.query === "object" && "rawSql" in one.query)
        t.equal(one.refresh, VariableRefresh.OnDashboardLoad, `${name}: ${one.name}`);
});

t.test("a panel says how much it shows at most", async (t) => {
  for (const { name, shape, model } of questions()) {
    const [, limit] = /LIMIT (\d+)(?:\nSETTINGS .*)?$/.exec(model.rawSql) ?? [];
    if (limit === undefined || ["annotation", "variable", "alert", "nodeGraph"].includes(shape))
      continue;
    const [folder, title] = name.split(" / ") as [string, string];
    const { description } = panelsOf(folder).find((panel) => panel.title === title)!;
    t.match(description, new RegExp(`At most ${limit} \\w+\\.`), name);
  }
});

t.test("workloads are called as by the API", async (t) => {
  t.match(COVERAGE, WORKLOAD);
});

t.test("alert rules are whole", async (t) => {
  const rules = ALERTS.groups.flatMap((group) => group.rules);
  t.same(
    ALERTS.groups.map(({ name }) => name),
    ["records", "pipeline"],
  );
  t.equal(new Set(rules.map(({ uid }) => uid)).size, rules.length);
  const byUid = new Map([...DASHBOARDS.values()].map((one) => [one.uid!, one]));
  for (const { uid, title, data, condition, annotations, labels } of rules) {
    // Grafana's limit.
    t.ok(uid.length <= 40, uid);
    // Grafana refuses a rule with one of these and not the other, and starts no more.
    const shown = byUid.get(annotations["__dashboardUid__"]!)?.panels as Panel[] | undefined;
    t.ok(
      shown?.some(({ id }) => String(id) === annotations["__panelId__"]),
      title,
    );
    t.match(labels["severity"], /^(?:critical|warning)$/);
    t.same(
      data.map(({ refId }) => refId),
      ["A", "B", "C"],
    );
    t.equal(condition, "C");
    // Where Grafana expands environment variables; not in models (provisioning/alerting, rules_types.go).
    t.notMatch(JSON.stringify([title, labels, annotations]), /\$/);
  }
});

interface DataSource {
  readonly uid: string;
  readonly type: string;
  readonly jsonData?: Readonly<Record<string, unknown>>;
}

t.test("the data sources for provisioning are those that rules name", async (t) => {
  const file = readFileSync(join(PROVISIONING, "datasources/meshproof.yaml"), "utf8");
  const { datasources } = parse(file) as { datasources: DataSource[] };
  t.same(Object.fromEntries(datasources.map(({ uid, type }) => [uid, type])), {
    [PROVISIONED.clickhouse]: "grafana-clickhouse-datasource",
    [PROVISIONED.prometheus]: "prometheus",
  });
  const { username, defaultDatabase, maxOpenConns } = datasources[0]!.jsonData!;
  t.same({ username, defaultDatabase }, { username: "reader", defaultDatabase: "otel" });
  t.ok(Number(maxOpenConns) <= 8, "of sixteen queries at a time the API has eight");
});

t.test("every metric that is asked for is one that we have", async (t) => {
  const source = ["metrics.ts", "gauges.ts"]
    .map((file) => readFileSync(resolve(import.meta.dirname, "../src/telemetry", file), "utf8"))
    .join("\n");
  t.ok(expressions().length > 20);
  for (const [where, expr] of expressions())
    for (const [, name] of expr.matchAll(/\b((?:meshproof|otelcol)_[a-z_]+?)(?=\(_total|\W|$)/g)) {
      const bare = name!.replace(/_(?:bucket|sum|count)$/, "");
      const stem = bare.replace(/(?:log_records|spans)$/, "");
      t.ok(
        [`"${bare}"`, `"${stem}"`].some((one) => source.includes(one)),
        `${where}: ${bare}`,
      );
    }
});
