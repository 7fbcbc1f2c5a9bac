import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expandMacros } from "../../support/grafana/macros.ts";
import { startShop } from "../../support/grafana/shop.ts";
import { type Question, questions } from "../../support/grafana/targets.ts";
import { ALL, interpolate } from "../../support/grafana/variables.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { GoModules } from "../go.ts";
import { checkPromql } from "../grafana/promql.ts";
import type { Lane, LaneContext } from "../lane.ts";
import { requireEngine } from "../server.ts";

/**
 * The dashboards as Go code of Grafana's makers sees them: their types read the files, their plugin SDK makes frames of the answers. Where there is a Prometheus,
 * it answers what is asked of one.
 */
export const lane: Lane = {
  name: "grafana",
  title: "Grafana's own types read our dashboards, its plugin SDK makes frames of the answers",
  needs: ["go"],
  timeLimitMs: 20 * 60_000,
  run,
};

const DASHBOARDS = resolve(import.meta.dirname, "../../../dashboards");
const TIME_LIMIT = { timeLimitMs: 120_000 };

interface Field {
  readonly name: string;
  readonly type: string;
  readonly labels?: Readonly<Record<string, string>>;
}

interface Verdict {
  readonly name: string;
  readonly error?: string;
  readonly panels?: number;
  readonly rows: number;
  readonly fields?: readonly Field[];
}

async function run(context: LaneContext): Promise<void> {
  requireEngine();
  context.note("building with the Foundation SDK and the plugin SDK");
  const program = await (await GoModules.open(context)).build("grafanacheck");
  const check = async (...args: string[]): Promise<Verdict[]> => {
    const { code, stdout, stderr } = await context.children.run(program, args, TIME_LIMIT);
    if (code !== 0) throw new Error(stderr.trim());
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Verdict);
  };
  await checkModels(context, check);
  const server = await startShop(join(context.directory, "server"));
  try {
    await checkFrames(context, server, check);
    await checkPromql(context, server);
  } finally {
    await server.kill();
  }
}

type Check = (...args: string[]) => Promise<Verdict[]>;

/** What a reader who knows Grafana's schema must find wrong. */
const MISTAKES: readonly (readonly [what: string, from: RegExp, to: string])[] = [
  ["an option that a stat does not have", /"graphMode"/, '"grafMode"'],
  ["a draw style that is none", /"drawStyle": "\w+"/, '"drawStyle": 7'],
  ["a panel whose type is a number", /"type": "stat"/, '"type": 1'],
  ["a field of a link that is spelt wrong", /"asDropdown"/, '"asDropDown"'],
];

async function checkModels({ check, directory }: LaneContext, verdicts: Check): Promise<void> {
  const files = readdirSync(DASHBOARDS)
    .filter((file) => file.endsWith(".json"))
    .map((file) => join(DASHBOARDS, file));
  await check(
    "every dashboard is what Grafana's types say, down to each panel's options",
    async () => {
      const read = await verdicts("model", ...files);
      assert.deepEqual(
        read.filter(({ error }) => error !== undefined),
        [],
      );
      assert.equal(read.length, files.length);
      return `${read.length} dashboards, ${read.reduce((sum, { panels = 0 }) => sum + panels, 0)} panels`;
    },
  );
  const overview = readFileSync(join(DASHBOARDS, "overview.json"), "utf8");
  for (const [what, from, to] of MISTAKES)
    await check(`refused: ${what}`, async () => {
      assert.match(overview, from, "it is there to be changed");
      const file = join(directory, "changed.json");
      writeFileSync(file, overview.replace(from, to));
      const [read] = await verdicts("model", file);
      assert.ok(read?.error, "it was taken");
      return read.error.split("\n")[0]!;
    });
}

async function checkFrames(
  context: LaneContext,
  server: ServerProcess,
  verdicts: Check,
): Promise<void> {
  const [row] = await server.query<{ TraceId: string }>(
    "SELECT TraceId FROM otel_logs WHERE TraceId IN (SELECT TraceId FROM trace_links) LIMIT 1",
  );
  const asked = questions();
  const file = join(context.directory, "questions.jsonl");
  const unsorted =
    "SELECT toDateTime(3 - number) AS time, 'a' AS label, 1 AS value FROM numbers(3)";
  const lines = asked.map((question) => ({
    name: question.name,
    sql: finished(question, row!.TraceId),
    // An answer to an alert rule becomes a table; its numbers have labels.
    format: question.model.format,
  }));
  const control = [
    { name: "unsorted", sql: unsorted, format: 0 },
    { name: "no time", sql: "SELECT 'a' AS label, 1 AS value", format: 0 },
    { name: "not allowed", sql: "INSERT INTO findings (Subject) VALUES ('x')", format: 1 },
  ];
  writeFileSync(file, [...lines, ...control].map((line) => JSON.stringify(line)).join("\n"));
  const found = await verdicts(
    `-address=127.0.0.1:${server.ports.clickhouseNative}`,
    `-password-file=${join(server.dataDirectory, "secrets/clickhouse-reader")}`,
    "frames",
    file,
  );
  const byName = new Map(found.map((verdict) => [verdict.name, verdict]));
  await context.check(
    "every query is answered over the native protocol, and becomes a frame",
    async () => {
      for (const { name, model } of asked) {
        const { error, fields = [] } = byName.get(name)!;
        assert.equal(error, undefined, name);
        assert.ok(fields.length > 0, name);
        if (model.format === 0) assertLines(name, fields);
      }
      return `${asked.length} queries`;
    },
  );
  for (const { name } of control)
    await context.check(`refused: ${name}`, async () => {
      const { error } = byName.get(name)!;
      assert.ok(error, "a frame came of it");
      return error;
    });
}

/** One column of times, then a column of numbers for each line, which its labels name. */
function assertLines(name: string, [time, ...lines]: readonly Field[]): void {
  assert.match(time!.type, /^\*?time\.Time$/, name);
  for (const { type } of lines) assert.match(type, /^\*?(?:u?int|float)\d+$/, `${name}: ${type}`);
  const keys = lines.map((line) => `${line.name} ${JSON.stringify(line.labels ?? {})}`);
  assert.equal(new Set(keys).size, lines.length, `${name}: two lines with one name`);
}

/** A query with nothing left to expand: nothing chosen but a trace. */
function finished({ model, seconds = 3_600 }: Question, trace: string): string {
  const all = Object.fromEntries(
    ["identity", "namespace", "workload", "decision", "policy"].map((name) => [name, [ALL]]),
  );
  const chosen = { ...all, path: "", history: "7", trace_id: trace };
  const toMs = Date.now() + 1_000;
  return expandMacros(interpolate(model.rawSql, chosen), {
    fromMs: toMs - seconds * 1_000,
    toMs,
    intervalMs: 10_000,
  });
}
