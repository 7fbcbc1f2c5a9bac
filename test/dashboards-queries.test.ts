import t, { type Test } from "tap";
import type { ServerProcess } from "./support/server-process.ts";
import { type QueryRange, expandMacros } from "./support/grafana/macros.ts";
import { startShop, STREAM } from "./support/grafana/shop.ts";
import { type Question, questions } from "./support/grafana/targets.ts";
import {
  ALL,
  asInUrl,
  type Chosen,
  type Filter,
  interpolate,
  strictly,
  type UrlEncoding,
} from "./support/grafana/variables.ts";
import * as otel from "./support/grafana/otel-queries.ts";
import { temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";

/** Every query of every dashboard and alert rule, on a real server with the demo's traffic, as the user that Grafana is. */

t.setTimeout(300_000);

/** The names of all variables, with nothing chosen. */
const NOTHING: Chosen = {
  identity: [ALL],
  namespace: [ALL],
  workload: [ALL],
  decision: [ALL],
  policy: [ALL],
  path: "",
  trace_id: "",
  history: "7",
};

interface Column {
  readonly name: string;
  readonly type: string;
}

interface Answer {
  readonly meta: readonly Column[];
  readonly data: readonly (readonly unknown[])[];
}

/** What Grafana's plugin sends with its default deadline of a minute. */
const SETTINGS = "SETTINGS max_execution_time = 65";

async function ask(server: ServerProcess, sql: string): Promise<Answer> {
  // What has settings of its own has one more; statements about tables have none.
  const settings = /^(?:DESC|SHOW) /.test(sql)
    ? ""
    : /^SETTINGS /m.test(sql)
      ? `, ${SETTINGS.slice("SETTINGS ".length)}`
      : SETTINGS;
  const bytes = await server.queryBytes(`${sql} ${settings} FORMAT JSONCompact`);
  return JSON.parse(bytes.toString("utf8")) as Answer;
}

const isNumber = (type: string): boolean => /^(?:Nullable\()?(?:U?Int|Float)/.test(type);
const isText = (type: string): boolean => /^(?:LowCardinality\()?String\b/.test(type);
const isTime = (type: string): boolean => type.startsWith("DateTime");

/** More lines than that nobody tells apart. */
const MAX_SERIES = 40;
/** What a browser is asked to draw at most. */
const MAX_ROWS = 10_000;

type Check = (t: Test, answer: Answer, sql: string) => void;

function column(answer: Answer, name: string): unknown[] {
  const index = answer.meta.findIndex((one) => one.name === name);
  return answer.data.map((row) => row[index]);
}

/** What each kind of question must get for an answer; a row is not demanded here. */
const SHAPES: Readonly<Record<string, Check>> = {
  timeseries: (t, { meta, data }) => {
    t.match(meta[0], { name: "time" });
    t.ok(isTime(meta[0]!.type), "first the time");
    const labels = meta.flatMap(({ type }, i) => (isText(type) ? [i] : []));
    const numbers = meta.flatMap(({ type }, i) => (isNumber(type) ? [i] : []));
    t.ok(numbers.length > 0, "then numbers");
    t.equal(1 + labels.length + numbers.length, meta.length, "and labels of text");
    const keys = data.map((row) => labels.map((i) => row[i]).join("\n"));
    t.ok(new Set(keys).size * numbers.length <= MAX_SERIES, "few lines");
    t.equal(
      new Set(data.map((row, i) => `${String(row[0])} ${keys[i]}`)).size,
      data.length,
      "one point of a line at a time",
    );
    t.same(
      data.map((row) => String(row[0])),
      data.map((row) => String(row[0])).toSorted(),
      "by time: the plugin makes lines of rows in this order only",
    );
    t.notOk(keys.includes("") && labels.length > 0, "each line has a name");
    for (const row of data)
      for (const i of numbers)
        if (!Number.isFinite(Number(row[i]))) t.fail(`${meta[i]!.name} is ${String(row[i])}`);
  },
  stat: (t, { meta, data }) => {
    t.equal(meta.length, 1, "one value");
    t.ok(isNumber(meta[0]!.type) || isText(meta[0]!.type), meta[0]!.type);
    t.ok(data.length <= 1, "one row");
  },
  table: (t, { meta, data }, sql) => {
    const [, limit] = /LIMIT (\d+)(?:\nSETTINGS .*)?$/.exec(sql) ?? [];
    t.ok(Number(limit) <= 500, "a limit at its end");
    t.ok(data.length <= Number(limit));
    for (const { name, type } of meta) {
      t.ok(
        isNumber(type) || isText(type) || isTime(type) || type === "Array(String)",
        `${name} is shown as it is: ${type}`,
      );
      t.match(name, /^(?:[A-Z]\w*|p\d+)$/, "named like our columns");
    }
    t.equal(new Set(meta.map(({ name }) => name)).size, meta.length, "each name once");
  },
  nodeGraph: (t, answer) => {
    const names = answer.meta.map(({ name }) => name);
    t.ok(names.includes("id") && names.includes("mainstat"));
    t.equal(new Set(column(answer, "id")).size, answer.data.length, "each once");
    t.ok(answer.data.length <= 200);
  },
  traces: (t, answer) => {
    const types = Object.fromEntries(answer.meta.map(({ name, type }) => [name, type]));
    // Grafana's documentation, "Trace integration", "Data frame structure".
    for (const name of ["traceID", "spanID", "parentSpanID", "serviceName", "operationName"])
      t.ok(isText(types[name] ?? ""), name);
    for (const name of ["startTime", "duration", "statusCode"]) t.ok(isNumber(types[name]!), name);
    for (const name of ["tags", "serviceTags"]) t.equal(types[name], "Array(Map(String, String))");
    const spans = new Set(column(answer, "spanID"));
    t.equal(spans.size, answer.data.length, "each span once");
    const parents = column(answer, "parentSpanID").filter((id) => id !== "");
    t.same(
      parents.filter((id) => !spans.has(id)),
      [],
      "and its parent",
    );
    const now = Date.now();
    for (const start of column(answer, "startTime"))
      if (Math.abs(Number(start) - now) > 600_000)
        t.fail(`${String(start)} is no millisecond of now`);
  },
  logs: (t, { meta }) => {
    t.same(
      meta.slice(0, 4).map(({ name }) => name),
      ["timestamp", "body", "level", "traceID"],
    );
    t.ok(isTime(meta[0]!.type) && isText(meta[1]!.type));
  },
  annotation: (t, { meta, data }) => {
    t.same(
      meta.map(({ name }) => name),
      ["time", "title", "text", "tags"],
    );
    t.ok(isTime(meta[0]!.type) && meta.slice(1).every(({ type }) => isText(type)));
    t.ok(data.length <= 200);
  },
  variable: (t, { meta, data }) => {
    t.equal(meta.length, 1);
    t.ok(isText(meta[0]!.type));
    t.ok(data.length <= 500);
    t.notOk(
      data.some(([value]) => value === ""),
      "nothing that chooses all",
    );
  },
  alert: (t, { meta, data }) => {
    t.equal(meta.filter(({ type }) => isNumber(type)).length, 1, "one number");
    t.equal(meta.filter(({ type }) => isText(type)).length, meta.length - 1, "and labels");
    t.ok(data.length <= 100);
  },
};

/** What the traffic has nothing of, and why that is right. */
const EMPTY: Readonly<Record<string, string>> = {
  "trace / Findings": "no finding names a trace",
  "alert / The clock was set": "it was not",
  "alert / Something is not what was sealed": "everything is",
  "alert / Checkpoints without witnesses": "none are asked for",
  "alert / Access records without spans": "the newest two minutes are left out",
};

function expand(
  question: Question,
  chosen: Chosen,
  range: Partial<QueryRange> = {},
  filters: readonly Filter[] = [],
): string {
  const toMs = Date.now() + 1_000;
  const fromMs = toMs - (question.seconds ?? 3_600) * 1_000;
  return expandMacros(interpolate(question.model.rawSql, chosen, strictly, filters), {
    fromMs,
    toMs,
    intervalMs: 10_000,
    ...range,
  });
}

const skip = whyNoEngine();
const server = skip === false ? await startShop(temporaryDirectory(t)) : undefined;
t.teardown(() => server?.kill());

t.test("every query gets what its panel draws", { skip }, async (t) => {
  const [{ TraceId: trace }] = (await server!.query<{ TraceId: string }>(
    `SELECT TraceId FROM otel_logs WHERE TraceId IN (SELECT TraceId FROM trace_links) LIMIT 1`,
  )) as [{ TraceId: string }];
  for (const question of questions()) {
    const { name, dashboard, shape, model } = question;
    await t.test(name, async (t) => {
      const chosen = { ...NOTHING, trace_id: dashboard === "trace" ? trace : "" };
      const sql = expand(question, chosen);
      const answer = await ask(server!, sql);
      SHAPES[shape]!(t, answer, sql);
      for (const [i, { name, type }] of answer.meta.entries())
        if (!type.includes("Nullable") && answer.data.some((row) => row[i] === null))
          t.fail(`${name} is not a number`);
      if (EMPTY[name] === undefined) t.ok(answer.data.length > 0, "and there is something");
      else t.equal(answer.data.length, 0, EMPTY[name]);
      t.equal(model.refId === "" || sql.includes("$"), false, "nothing is left to expand");
    });
  }
});

t.test("a query over thirteen months stays within the reader's limits", { skip }, async (t) => {
  const toMs = Date.now();
  const year = { fromMs: toMs - 395 * 86_400_000, toMs, intervalMs: 43_200_000 };
  for (const question of questions()) {
    const { data } = await ask(server!, expand(question, NOTHING, year));
    t.ok(data.length <= MAX_ROWS, `${question.name}: ${data.length} rows`);
  }
});

/** Values that would leave their quotes, or their place in a list, if anything were put into SQL as it is. */
const HOSTILE = [
  "' OR 1=1 --",
  "\\",
  "\\' OR 1=1 --",
  'a","b',
  "a','b",
  "x&var-identity=mallory",
  "100% + 1 / 2 = a b",
  "$__fromTime ${identity}",
  "é ☃ \u0000",
] as const;

/** Everything hostile at once in what is chosen from lists, and one after the other in what is typed. */
function* hostileChoices(): Generator<[chosen: Chosen, encode: UrlEncoding]> {
  const lists = ["identity", "namespace", "workload", "decision", "policy"];
  const chosen = { ...NOTHING, ...Object.fromEntries(lists.map((name) => [name, HOSTILE])) };
  for (const encode of [strictly, asInUrl]) yield [chosen, encode];
  for (const text of HOSTILE)
    yield [{ ...NOTHING, path: text, trace_id: text, history: text }, strictly];
}

t.test("whatever is chosen is a value, never SQL", { skip }, async (t) => {
  const range = { fromMs: Date.now() - 3_600_000, toMs: Date.now(), intervalMs: 10_000 };
  const asked = new Set(questions().map(({ model }) => interpolate(model.rawSql, NOTHING)));
  for (const [chosen, encode] of hostileChoices())
    for (const { name, model } of questions()) {
      const sql = interpolate(model.rawSql, chosen, encode);
      if (asked.has(sql)) continue;
      asked.add(sql);
      const { meta, data } = await ask(server!, expandMacros(sql, range));
      // A history that is no number is none, and then everything is new.
      if (name === "identity / New edges" && chosen["identity"] === NOTHING["identity"]) continue;
      t.same(
        data.flatMap((row) =>
          row.filter((value, i) => !isTime(meta[i]!.type) && Number(value) !== 0),
        ),
        [],
        `${name} finds nothing`,
      );
    }
  t.ok(asked.size > 100);
});

t.test("a value is found by itself, and with hostile ones beside it", { skip }, async (t) => {
  const records = questions().find(({ name }) => name === "access / Newest matching records")!;
  const identities = async (chosen: Chosen): Promise<unknown[]> => [
    ...new Set(column(await ask(server!, expand(records, { ...NOTHING, ...chosen })), "Actor")),
  ];
  t.same(await identities({ identity: ["mallory"] }), ["mallory"]);
  t.same(await identities({ identity: "mallory" }), ["mallory"], "as a single value");
  t.same(await identities({ identity: [...HOSTILE, "mallory"] }), ["mallory"]);
  t.ok((await identities({})).length > 3, "nothing chosen is everybody");
  const denied = await ask(
    server!,
    expand(records, { ...NOTHING, decision: ["denied", "failed"] }),
  );
  t.same(new Set(column(denied, "Decision")), new Set(["denied", "failed"]));
  const path = await ask(server!, expand(records, { ...NOTHING, path: "/api/orders" }));
  t.ok(path.data.length > 0);
  t.ok(column(path, "Path").every((one) => String(one).startsWith("/api/orders")));
});

t.test("filters on any column, as people add them in Grafana", { skip }, async (t) => {
  for (const question of questions().filter(({ dashboard }) => dashboard === "access")) {
    if (question.shape === "annotation" || question.shape === "variable") continue;
    const all = expand(question, NOTHING);
    const some = expand(question, NOTHING, {}, [
      ["Method", "=", "POST"],
      ["Authority", "=~", "^orders"],
    ]);
    const dataOf = async (sql: string): Promise<string> =>
      JSON.stringify((await ask(server!, sql)).data);
    t.not(await dataOf(some), await dataOf(all), question.name);
    if (question.shape === "table" && some.includes("Method, Authority"))
      t.same(new Set(column(await ask(server!, some), "Method")), new Set(["POST"]));
  }
});

t.test("what Explore asks in OpenTelemetry mode", { skip }, async (t) => {
  const toMs = Date.now();
  const range = { fromMs: toMs - 3_600_000, toMs, intervalMs: 30_000 };
  const answer = (sql: string): Promise<Answer> => ask(server!, expandMacros(sql, range));

  const found = await answer(otel.TRACE_SEARCH);
  t.ok(found.data.length > 100);
  t.same(
    found.meta.map(({ name }) => name),
    ["traceID", "serviceName", "operationName", "startTime", "duration"],
  );
  const logs = await answer(otel.LOGS_OLDER);
  t.ok(logs.data.length > 50);
  SHAPES["logs"]!(t, logs, otel.LOGS_OLDER);
  t.same((await answer(otel.LOGS_NEWER)).data.length, logs.data.length, "both schemas are ours");

  const [trace] = column(logs, "traceID") as [string];
  const spans = await answer(otel.traceById(trace));
  t.ok(spans.data.length > 3);
  SHAPES["traces"]!(t, spans, "");
  const view = questions().find(({ name }) => name === "trace / Trace")!;
  const ours = await ask(server!, expand(view, { ...NOTHING, trace_id: trace }));
  const bySpan = (one: Answer): Record<string, unknown>[] =>
    one.data
      .map((row): Record<string, unknown> =>
        Object.fromEntries(one.meta.map(({ name }, i) => [name, row[i]])),
      )
      .map((span): Record<string, unknown> => ({
        ...span,
        tags: null,
        kind: String(span["kind"]).toLowerCase(),
      }))
      .toSorted((a, b) => (String(a["spanID"]) < String(b["spanID"]) ? -1 : 1));
  t.same(bySpan(ours), bySpan(spans), "our trace view has the same spans, but for attributes");
  t.match(JSON.stringify(column(ours, "tags")), /"meshproof\.record"/, "and more of these");

  const volume = await answer(otel.LOG_VOLUME);
  const counted = volume.data
    .flatMap((row) => row.slice(1))
    .reduce((sum: number, n) => sum + Number(n), 0);
  t.equal(counted, logs.data.length, "each log is in one bar");

  const row = logs.meta.map(({ name }) => name);
  const [middle] = logs.data.slice(20) as [unknown[]];
  // TimestampTime has whole seconds.
  const at = `${Math.floor(Date.parse(`${String(middle[0]).replace(" ", "T").slice(0, 23)}Z`) / 1_000)}000000000`;
  const { "service.name": service } = middle[row.indexOf("ResourceAttributes")] as Record<
    string,
    string
  >;
  for (const direction of ["before", "behind"] as const)
    t.ok((await answer(otel.logContext(direction, at, service!))).data.length > 0, direction);

  for (const sql of otel.EDITOR) t.ok((await ask(server!, sql)).data.length > 0, sql);
});

/** The answer to the question with this name; `toMs` behind now for what leaves the newest out. */
async function askNamed(name: string, chosen: Chosen, laterMs = 0): Promise<Answer> {
  const question = questions().find((one) => one.name === name)!;
  const toMs = Date.now() + 1_000 + laterMs;
  return ask(server!, expand(question, { ...NOTHING, ...chosen }, { toMs }));
}

t.test("the trace of a blind spot names it", { skip }, async (t) => {
  const [blind] = await server!.query<{ TraceId: string }>(
    `SELECT TraceId FROM otel_traces WHERE (LogId, LeafIndex) IN
       (SELECT LogId, arrayJoin(Evidence) FROM findings WHERE FindingKind = 'span_without_access')`,
  );
  const answer = await askNamed("trace / Findings", { trace_id: blind!.TraceId });
  t.same(column(answer, "FindingKind"), ["span_without_access"]);
});

/** Sum of a column of numbers. */
function total(answer: Answer, name: string): number {
  return column(answer, name).reduce((sum: number, n) => sum + Number(n), 0);
}

t.test("a series has a point in every interval", { skip }, async (t) => {
  const toMs = Math.ceil(Date.now() / 60_000) * 60_000;
  const range = { fromMs: toMs - 3_600_000, toMs, intervalMs: 60_000 };
  for (const name of [
    "overview / Requests by decision",
    "overview / Denials by engine",
    "overview / Latency",
  ]) {
    const question = questions().find((one) => one.name === name)!;
    const answer = await ask(server!, expand(question, NOTHING, range));
    const lines = Map.groupBy(answer.data, (row) => (isText(answer.meta[1]!.type) ? row[1] : ""));
    t.ok(lines.size > 0);
    for (const rows of lines.values()) t.equal(rows.length, 60, name);
    const numbers = answer.data
      .map((row) => row.at(-1))
      .map((n) => (n === null ? null : Number(n)));
    t.ok(numbers.includes(name === "overview / Latency" ? null : 0), "nothing is 0, or unknown");
  }
});

t.test(
  "a stream is one request, a refusal has its line, a flow its workload",
  { skip },
  async (t) => {
    const streams = await server!.query<{ n: string }>(
      `SELECT count() AS n FROM access_records WHERE Path = '${STREAM}'`,
    );
    t.same(streams, [{ n: "3" }]);
    const [{ requests, denied }] = (await server!.query<{ requests: string; denied: string }>(
      "SELECT count() - 2 AS requests, countIf(Decision = 'denied') AS denied FROM access_records WHERE Timestamp > now() - 3600",
    )) as [{ requests: string; denied: string }];
    const rate = await askNamed("overview / Access records", {});
    t.equal(Math.round(total(rate, "rate") * 3_600), Number(requests));
    const policies = await askNamed("policy / Denials by policy", {});
    t.equal(total(policies, "denials"), Number(denied));
    t.ok(column(policies, "policy").includes("rbac (no policy named)"));
    const refused = await askNamed("policy / Who was refused", {});
    t.ok(column(refused, "Service").includes("ledger.db"));
    t.notOk(column(refused, "Service").includes(""));
  },
);

t.test("what is unknown is no number", { skip }, async (t) => {
  const flow = await askNamed("access / Newest matching records", { workload: ["ledger.db"] });
  t.equal(flow.data.length, 1);
  for (const name of ["StatusCode", "DurationNs"]) t.same(column(flow, name), [null], name);
  const workloads = await askNamed("overview / Workloads", { workload: ["ledger.db"] });
  for (const name of ["Errors", "p50", "p99"]) t.same(column(workloads, name), [null], name);
});

t.test("of no trace there is nothing", { skip }, async (t) => {
  for (const { name, dashboard, shape } of questions())
    if (dashboard === "trace" && shape !== "annotation" && !name.endsWith("a refused request"))
      t.same((await askNamed(name, { trace_id: "" })).data, [], name);
});

t.test("few records are all counted, however long the time range", { skip }, async (t) => {
  const coverage = questions().find(({ name }) => name === "integrity / Coverage by workload")!;
  const toMs = Date.now() + 1_000;
  const records = async (days: number): Promise<number> =>
    total(
      await ask(server!, expand(coverage, NOTHING, { fromMs: toMs - days * 86_400_000, toMs })),
      "Records",
    );
  const all = await records(1);
  t.ok(all > 100);
  t.equal(await records(395), all);
});

t.test("a witness that signs no more falls to nothing", { skip }, async (t) => {
  const note = (...names: string[]): string =>
    `origin\\n1\\nroot\\n\\n${names.map((name) => `— ${name} c2ln\\n`).join("")}`;
  const rows = [
    [300, note("log", "witness")],
    [200, note("log", "witness")],
    [100, note("log")],
  ].map(
    ([ago, text]) => `('fedcba9876543210', ${1_000 - Number(ago)}, '${text}', now64(9) - ${ago})`,
  );
  await server!.query(
    `INSERT INTO checkpoints (LogId, TreeSize, Note, PublishedAt) VALUES ${rows.join(", ")}`,
    "admin",
  );
  const { data } = await askNamed("integrity / Signatures on checkpoints", {});
  const shares = (signer: string): unknown[] =>
    data.filter((row) => row[1] === signer && row[2] !== null).map((row) => row[2]);
  t.same(shares("log"), [1, 1, 1]);
  t.same(shares("witness"), [1, 1, 0]);
});

t.test("alert rules tell what went wrong", { skip }, async (t) => {
  for (const kind of ["integrity_broken", "clock_jump"])
    await server!.query(
      `INSERT INTO findings (LogId, Timestamp, FindingKind, State, Subject) VALUES ('0123456789abcdef', now64(9), '${kind}', 'open', 'shop')`,
      "admin",
    );
  t.same((await askNamed("alert / Something is not what was sealed", {})).data, [["shop", "1"]]);
  t.same((await askNamed("alert / The clock was set", {})).data, [["0123456789abcdef", "1"]]);
  const unlinked = await askNamed("alert / Access records without spans", {}, 130_000);
  t.ok(unlinked.data.length > 0);
  for (const share of column(unlinked, "unlinked")) t.ok(Number(share) < 0.1, "the demo is linked");
  const insert = async (kind: string, state: string, leaf: number): Promise<void> => {
    await server!.query(
      `INSERT INTO findings (LogId, LeafIndex, Timestamp, FindingKind, Severity, State, Subject) VALUES ('0123456789abcdef', ${leaf}, toStartOfMinute(now()), '${kind}', 'warning', '${state}', 'shop')`,
      "admin",
    );
  };
  await insert("expiry_refused", "open", 1);
  t.same((await askNamed("alert / Something is not what was sealed", {})).data, [["shop", "2"]]);
  const open = total(await askNamed("overview / Open findings", {}), "findings");
  for (const [state, leaf, firing] of [
    ["open", 2, 1],
    ["resolved", 3, 0],
  ] as const) {
    await insert("unwitnessed", state, leaf);
    const { data } = await askNamed("alert / Checkpoints without witnesses", {});
    t.same(data, [["shop", String(firing)]], state);
    const now = total(await askNamed("overview / Open findings", {}), "findings");
    t.equal(now, open + firing, "what is resolved is not open");
  }
  const stale = await askNamed("alert / No checkpoint for five minutes", {}, 600_000);
  t.ok(Number(column(stale, "seconds")[0]) > 300);
});
