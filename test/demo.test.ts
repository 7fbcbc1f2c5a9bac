import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import t, { type Test } from "tap";
import type { DemoResult } from "../src/cli/demo-result.ts";
import { tellStory } from "../src/cli/demo-story.ts";
import { demo } from "../src/cli/demo.ts";
import { displayWidth, Output } from "../src/cli/output.ts";
import { MeshproofError } from "../src/core/errors.ts";
import { compare, type Counts } from "../src/demo/evidence.ts";
import { type Plan, tallyOf } from "../src/demo/plan.ts";
import { Random } from "../src/demo/random.ts";
import { planShop } from "../src/demo/shop.ts";
import type { RunningServer } from "../src/server.ts";
import { runCommand } from "./support/command.ts";
import { whyNoEngine } from "./support/server-fixture.ts";

t.setTimeout(300_000);
const skip = whyNoEngine();
const LAUNCHER = resolve(import.meta.dirname, "../bin/meshproof.js");

/** A short path: the story prints it. */
function workDirectory(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), "mp-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 }));
  return path;
}

/** `meshproof demo` as a process of its own, whose temporary directories are made in `temporary`. */
class DemoProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  stdout = "";
  stderr = "";

  constructor(t: Test, temporary: string, args: readonly string[] = [], detached = false) {
    this.child = spawn(process.execPath, [LAUNCHER, "demo", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      detached,
      env: { ...process.env, TMPDIR: temporary, COLUMNS: "80" },
    });
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.ended = new Promise((done) => this.child.once("close", (code) => done(code)));
    t.teardown(() => this.child.kill("SIGKILL"));
  }

  /** Resolves when `isThere`; fails the test when the process ends before. */
  async waitFor(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.stdout}${this.stderr}`);
      await setTimeout(20);
    }
  }
}

/** Command lines of processes that name `path`. */
function processesWith(path: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      } catch {
        return ""; // it has just ended
      }
    })
    .filter((line) => line.includes(path));
}

/** The story of a result, as a terminal or a pipe gets it. */
function storyOf(result: DemoResult, isTTY: boolean): string {
  let text = "";
  const stdout = { isTTY, columns: 80, write: (part: string) => (text += part) };
  tellStory(result, new Output({ stdout, stderr: stdout }, {}));
  return text;
}

function plan(seed: number, startNs = 1_790_000_000_000_000_000n): Plan {
  return planShop({ random: new Random(seed), startNs, requests: 600, intervalNs: 2_500_000n });
}

t.test("a seed plays the same traffic every time, another seed other traffic", async (t) => {
  t.same(plan(7), plan(7));
  t.notSame(tallyOf(plan(7)), tallyOf(plan(8)));
});

t.test("a play is whole: parents, times and IDs fit, and one proxy alone is blind", async (t) => {
  const { access, spans, logs, blindSpanId, requests } = plan(1);
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  t.equal(byId.size, spans.length, "span IDs are unique");
  for (const { spanId, traceId, parentSpanId, startNs, endNs } of spans) {
    const parent = byId.get(parentSpanId);
    if (parentSpanId === "") continue;
    if (parent?.traceId !== traceId) t.fail(`the parent of ${spanId} is in its trace`);
    if (parent!.startNs > startNs || parent!.endNs < endNs)
      t.fail(`span ${spanId} lies within its parent`);
  }
  const recorded = new Set(access.map(({ spanId }) => spanId));
  t.equal(recorded.size, access.length, "one access record a proxy and request");
  const silent = spans.filter(
    ({ spanId, attributes }) => attributes["component"] === "proxy" && !recorded.has(spanId),
  );
  t.same(
    silent.map(({ spanId }) => spanId),
    [blindSpanId],
  );
  for (const { spanId, isSampled, startNs } of access)
    if (isSampled ? byId.get(spanId)?.startNs !== startNs : byId.has(spanId))
      t.fail(`the access record of ${spanId} has its span, if its trace is sampled`);
  t.ok(logs.every(({ spanId }) => byId.has(spanId)));
  t.equal(new Set(access.map(({ traceId }) => traceId)).size, requests);
  for (const list of [access, spans, logs])
    t.ok(
      list.every(({ endNs }, i) => i === 0 || list[i - 1]!.endNs <= endNs),
      "in order of ends",
    );
});

t.test("whatever is missing, doubled or linked wrongly is said", async (t) => {
  const sent = tallyOf(plan(1));
  const stored: Counts = {
    ...sent,
    seconds: 1,
    trueLinks: sent.links,
    denied: 0,
    failed: 0,
    shadowDenied: 0,
    retried: 0,
  };
  const verdicts = [...sent.verdicts].map(([key, count]) => {
    const [decision, engine = "", policy = ""] = key.split(" ");
    return { decision: decision!, engine, policy, count };
  });
  t.same(compare(sent, stored, verdicts), []);
  for (const name of ["requests", "access", "spans", "logs", "links", "unsampled"] as const)
    for (const change of [1, -1])
      t.not(
        compare(sent, { ...stored, [name]: stored[name] + change }, verdicts).length,
        0,
        `${name} ${change}`,
      );
  t.match(compare(sent, { ...stored, trueLinks: stored.links - 1 }, verdicts), [
    /1 join what does not belong together/,
  ]);
  t.equal(compare(sent, stored, verdicts.slice(1)).length, 1, "a verdict that nobody gave");
  t.equal(compare(sent, stored, [...verdicts, { ...verdicts[0]!, policy: "x" }]).length, 1);
});

t.test("a directory with something in it is left alone", async (t) => {
  const directory = t.testdir({ file: "precious" });
  const { code, stderr } = await runCommand("demo", "--directory", directory);
  t.equal(code, 2);
  t.match(stderr, /expected a new or an empty directory/);
  t.same(readdirSync(directory), ["file"]);
  t.match(await runCommand("demo", "--directory", join(directory, "file")), {
    code: 2,
    stderr: /expected a new or an empty directory, got E/,
  });
  t.equal((await runCommand("demo", "--seed", "-1")).code, 2);
});

t.test("a server that does not start is an error, and nothing stays", async (t) => {
  const temporary = workDirectory(t);
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = temporary;
  t.teardown(() => {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  });
  const nowhere = { write: () => true };
  const context = { output: new Output({ stdout: nowhere, stderr: nowhere }, {}), env: {} };
  const failure = new MeshproofError("ENGINE_FAILED", "the engine is not installed");
  await t.rejects(
    demo({ seed: 1 }, context, () => Promise.reject(failure)),
    failure,
  );
  t.same(readdirSync(temporary), []);
});

t.test(
  "nothing stays of a demo whose terminal is closed, or whose output nobody reads any more",
  async (t) => {
    const home = workDirectory(t);
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = home;
    t.teardown(() => {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    });
    const nowhere = { write: () => true };
    const context = { output: new Output({ stdout: nowhere, stderr: nowhere }, {}), env: {} };
    const signals = new EventEmitter();
    const start = async (): Promise<RunningServer> => {
      t.equal(readdirSync(home).length, 1);
      signals.emit("exit"); // what the process does at a write into a closed pipe
      t.same(readdirSync(home), []);
      signals.emit("SIGHUP");
      await setTimeout(0);
      const server = { failed: new Promise(() => {}), stop: () => Promise.resolve() };
      return server as object as RunningServer;
    };
    t.equal(await demo({ seed: 1 }, context, start, signals), 3);
    t.same(signals.eventNames(), []);
  },
);

t.test(
  "a demo that was to keep its directory says where it stays, also when stopped early",
  async (t) => {
    const directory = join(workDirectory(t), "kept");
    let notes = "";
    const stderr = { write: (text: string) => ((notes += text), true) };
    const context = { output: new Output({ stdout: stderr, stderr }, {}), env: {} };
    const signals = new EventEmitter();
    const server = { failed: new Promise(() => {}), stop: () => Promise.resolve() };
    const start = async (): Promise<RunningServer> => {
      signals.emit("SIGINT");
      await setTimeout(0);
      return server as object as RunningServer;
    };
    t.equal(await demo({ seed: 1, keep: true, directory }, context, start, signals), 3);
    t.match(notes, `Stopped before the end.\nThe directory stays:\n  ${directory}\n`);
    t.same(readdirSync(directory), ["meshproof.yaml"]);
  },
);

t.test(
  "the demo with --keep: every number is what ClickHouse, API and log say",
  { skip },
  async (t) => {
    const home = workDirectory(t);
    const directory = join(home, "demo");
    const run = new DemoProcess(t, home, ["--json", "--keep", "--directory", directory]);
    await run.waitFor(() => run.stdout.includes("\n"));
    const result = JSON.parse(run.stdout) as DemoResult;
    const { stored, sent, denied, finding, proof, forgery, after, before, ports } = result;
    t.same(result.problems, []);
    t.equal(result.ok, true);

    const config = join(directory, "meshproof.yaml");
    const query = async (sql: string): Promise<Record<string, string>[]> => {
      const password = readFileSync(
        join(directory, "data/secrets/clickhouse-reader"),
        "utf8",
      ).trim();
      const response = await fetch(`http://127.0.0.1:${ports.clickhouseHttp}/?database=otel`, {
        method: "POST",
        headers: { "X-ClickHouse-User": "reader", "X-ClickHouse-Key": password },
        body: `${sql} FORMAT JSONStringsEachRow`,
      });
      const text = await response.text();
      if (!response.ok) throw new Error(text);
      return text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, string>);
    };
    const one = async (sql: string): Promise<number> =>
      Number(Object.values((await query(sql))[0]!)[0]);

    await t.test("counts", async (t) => {
      for (const [figure, sql] of [
        [stored.requests, "SELECT count(DISTINCT TraceId) FROM access_records"],
        [stored.access, "SELECT count() FROM access_records"],
        [stored.spans, "SELECT count() FROM otel_traces"],
        [stored.logs, "SELECT count() FROM otel_logs"],
        [stored.links, "SELECT count(DISTINCT AccessLeaf) FROM trace_links WHERE Rule = 'span'"],
        // The forged row is denied no more.
        [stored.denied - 1, "SELECT count() FROM access_records WHERE Decision = 'denied'"],
        [stored.failed, "SELECT count() FROM access_records WHERE Decision = 'failed'"],
        [stored.retried, "SELECT count() FROM access_records WHERE Attempts > 1"],
        [stored.shadowDenied, "SELECT count() FROM access_records WHERE ShadowDecision = 'denied'"],
        [
          stored.unsampled,
          "SELECT count() FROM access_records WHERE (TraceId, SpanId) NOT IN (SELECT TraceId, SpanId FROM otel_traces)",
        ],
        [
          stored.trueLinks,
          "SELECT count() FROM access_records WHERE (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM otel_traces)",
        ],
      ] as const)
        t.equal(await one(sql), figure, sql);
      t.ok(stored.requests > 2000);
      for (const name of ["requests", "access", "spans", "logs", "links", "unsampled"] as const)
        t.equal(stored[name], sent[name], `${name}: what was sent is stored`);
      for (const kind of ["denied", "failed"] as const)
        t.equal(
          result.verdicts
            .filter(({ decision }) => decision === kind)
            .reduce((sum, { count }) => sum + count, 0),
          stored[kind],
        );
      t.ok(stored.failed > 0 && stored.retried > 0 && stored.shadowDenied > 0);
      t.ok(result.slowest!.milliseconds > 1000);
      t.equal(result.probe!.address, "198.51.100.23");
    });

    await t.test("the denied request, its trace and the blind spot", async (t) => {
      t.match(denied, { Decision: "denied", Policy: "payments/refunds-by-support-only#0" });
      t.match(denied, { EndUser: "mallory", PeerServiceAccount: "frontend" });
      const ofTrace = result.trace!.records;
      for (const [kind, table] of [
        [1, "access_records"],
        [2, "otel_traces"],
        [4, "trace_links"],
      ] as const)
        t.equal(
          ofTrace.filter(({ Kind }) => Kind === kind).length,
          await one(`SELECT count() FROM ${table} WHERE TraceId = '${String(denied!["TraceId"])}'`),
          `all of ${table}`,
        );
      t.equal(finding!.kind, "span_without_access");
      t.equal(
        await one("SELECT count() FROM findings WHERE FindingKind = 'span_without_access'"),
        1,
      );
      const [span] = await query(
        `SELECT TraceId, SpanId FROM otel_traces WHERE LeafIndex = ${finding!.evidence[0]}`,
      );
      t.equal(
        await one(
          `SELECT count() FROM access_records WHERE TraceId = '${span!["TraceId"]}' AND SpanId = '${span!["SpanId"]}'`,
        ),
        0,
      );
    });

    await t.test("the proof, the forged row, and what verify says of it", async (t) => {
      const leaf = Number(denied!["LeafIndex"]);
      t.match(proof, { leafIndex: leaf, decision: "denied" });
      const key = ["--key", result.verifierKey];
      t.equal((await runCommand("verify-proof", proof!.file, ...key)).code, 0);
      const bent = join(home, "bent.tlog-proof");
      writeFileSync(bent, readFileSync(proof!.file, "utf8").replace(/^extra ..../m, "extra AAAA"));
      t.equal((await runCommand("verify-proof", bent, ...key)).code, 1);

      t.equal(before.integrity, "ok");
      t.ok(before.checked.records > sent.access + sent.spans + sent.logs + sent.links);
      t.equal(forgery!.leafIndex, leaf);
      const [row] = await query(
        `SELECT Decision, count() OVER () AS rows FROM access_records WHERE LeafIndex = ${leaf}`,
      );
      t.match(row, { Decision: "allowed", rows: "1" });
      const expected = [{ fault: "row_changed", leafIndex: leaf, table: "access_records" }];
      t.match(after, { integrity: "broken", faultCount: 1, faults: expected });
      const again = await runCommand("verify", "--json", "--config", config);
      t.equal(again.code, 1);
      t.match(JSON.parse(again.stdout), { faultCount: 1, faults: expected });
    });

    await t.test("the story has these numbers, and fits 80 columns in colour", async (t) => {
      const story = storyOf(result, true);
      // oxlint-disable-next-line no-control-regex
      const plain = story.replaceAll(/\u001b\[\d+m/g, "");
      t.not(plain, story, "there is colour on a terminal");
      t.equal(storyOf(result, false), plain, "and nothing else there");
      for (const line of plain.split("\n"))
        if (displayWidth(line) > 80) t.fail(`a line of at most 80 columns: ${line}`);
      for (const [label, figure] of [
        ["Requests", stored.requests],
        ["Access records", stored.access],
        ["Spans", stored.spans],
        ["Logs", stored.logs],
        ["Links", stored.links],
        ["Denied", stored.denied],
        ["Failed", stored.failed],
        ["Retried", stored.retried],
        ["Shadow", stored.shadowDenied],
        ["Probed", result.probe!.requests],
      ] as const)
        t.match(plain, new RegExp(`^  ${label} +${figure.toLocaleString("en-US")}( |$)`, "m"));
      t.match(plain, `  Record         ${proof!.leafIndex}, in a log of`);
      t.match(plain, /All of it held/);
      const wrong = storyOf({ ...result, ok: false, problems: ["spans: 2 were sent"] }, false);
      t.match(wrong, /What did not hold\n\n {2}spans: 2 were sent\n/);
      t.notMatch(wrong, /All of it held/);
    });

    await t.test("the addresses and commands that it names work", async (t) => {
      const story = storyOf(result, false);
      const urls = [...story.matchAll(/http:\/\/127\.0\.0\.1:\S+/g)].map(([url]) => url);
      t.equal(urls.length, 5);
      for (const url of urls.filter((one) => !one.endsWith(`:${ports.otlp}`)))
        t.equal((await fetch(url)).status, 200, url);
      const commands = [...story.matchAll(/^ {4}npx meshproof ((?:.*\\\n)*.*)$/gm)].map(
        ([, words]) => words!.replaceAll("\\\n", " ").trim().split(/\s+/),
      );
      t.same(
        commands.map(([name]) => name),
        ["verify-proof", "records", "trace", "verify"],
      );
      for (const words of commands) {
        const { code, stderr } = await runCommand(...words);
        t.equal(code, words[0] === "verify" ? 1 : 0, `${words.join(" ")}: ${stderr}`);
      }
    });

    await t.test("Ctrl-C ends it; the directory stays, and nothing else", async (t) => {
      run.child.kill("SIGINT");
      t.equal(await run.ended, 0, run.stderr);
      t.same(processesWith(home), []);
      t.same(readdirSync(directory).toSorted(), ["data", "denied.tlog-proof", "meshproof.yaml"]);
      t.notOk(existsSync(join(directory, "data/ports.json")));
      await t.rejects(fetch(`http://127.0.0.1:${ports.api}/`));
    });
  },
);

t.test(
  "the story fits 80 columns, has no colour in a pipe, and leaves nothing behind",
  { skip },
  async (t) => {
    const home = workDirectory(t);
    const run = new DemoProcess(t, home);
    const code = await run.ended;
    t.equal(code, 0, run.stdout + run.stderr);
    for (const line of `${run.stdout}${run.stderr}`.split("\n"))
      if (displayWidth(line) > 80) t.fail(`a line of at most 80 columns: ${line}`);
    // oxlint-disable-next-line no-control-regex
    t.notMatch(run.stdout + run.stderr, /\u001b/);
    for (const said of [
      /5 {2}by rbac, policy payments\/refunds-by-support-only#0/,
      /Who +mallory/,
      /span_without_access/,
      /valid, offline/,
      /row_changed {2}record \d+ in access_records/,
    ])
      t.match(run.stdout, said);
    t.match(run.stderr, /sent ([\d,]+) of \1, acknowledged \1,/);
    t.notMatch(run.stdout, /did not hold/);
    t.same(readdirSync(home), []);
    t.same(processesWith(home), []);
  },
);

t.test(
  "Ctrl-C in the middle leaves nothing running and nothing lying about",
  { skip },
  async (t) => {
    const home = workDirectory(t);
    const run = new DemoProcess(t, home, [], true);
    await run.waitFor(() => /sent [1-9]/.test(run.stderr));
    t.equal(processesWith(home).length, 1, "ClickHouse runs");
    process.kill(-run.child.pid!, "SIGINT"); // a terminal sends it to every process of the group
    t.equal(await run.ended, 3);
    t.match(run.stderr, /Stopped before the end/);
    t.notMatch(run.stdout, /Denied/);
    t.same(readdirSync(home), []);
    t.same(processesWith(home), []);
  },
);
