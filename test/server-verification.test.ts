import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import t from "tap";
import { verifyApart } from "../src/verification/process.ts";
import { loadConfig } from "../src/config/load.ts";
import { send } from "./support/senders.ts";
import { runVerify, temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";
import { ServerProcess } from "./support/server-process.ts";
import { waitForCount } from "./support/stored-rows.ts";
import { applicationBody } from "./support/traffic.ts";

/** Scheduled verification in a whole server, and the process that does it. */

t.setTimeout(180_000);

t.test("a server verifies itself, and says what it found", { skip: whyNoEngine() }, async (t) => {
  const server = await ServerProcess.start(
    temporaryDirectory(t),
    "extensions: { verification: { interval: 1h, incremental_interval: 1s } }\n",
  );
  t.teardown(() => server.kill());
  const url = (port: number, path: string): string => `http://127.0.0.1:${port}${path}`;
  const metric = async (name: string): Promise<string | undefined> => {
    const text = await (await fetch(url(server.ports.metrics, "/metrics"))).text();
    return text.split("\n").find((line) => line.startsWith(`${name}{mode="incremental"`));
  };
  const verified = "FROM control_records WHERE ControlKind = 'verified'";
  await send(server.otlp("logs"), applicationBody(300, 0));
  await waitForCount(server, "SELECT count() FROM otel_logs", 300);

  await t.test("what is whole is sealed as whole", async (t) => {
    await waitForCount(
      server,
      `SELECT least(count(), 1) ${verified} AND toUInt64(Detail['tree_size']) > 300`,
      1,
    );
    const rows = await server.query<{ Detail: Record<string, string> }>(
      `SELECT Detail ${verified} ORDER BY LeafIndex`,
    );
    t.ok(rows.every(({ Detail }) => Detail["outcome"] === "ok" && Detail["faults"] === "0"));
    t.ok(rows.every(({ Detail }) => Detail["mode"] === "incremental"));
    t.match(await metric("meshproof_verification_integrity_ok"), / 1$/);
    const log = await (await fetch(url(server.ports.api, "/api/v1/log"))).json();
    t.match(log, { verification: { full: null, incremental: { outcome: "ok", integrity: "ok" } } });
    t.same(
      ((await (await fetch(url(server.ports.health, "/"))).json()) as object as { warnings?: [] })
        .warnings,
      undefined,
    );
  });

  await t.test(
    "rows that say more than was sealed are a finding, a warning and a sealed result",
    async (t) => {
      await server.query("ALTER TABLE control_records ADD COLUMN Verdict String", "admin");
      await server.query(
        "ALTER TABLE control_records UPDATE Verdict = 'forged' WHERE 1 SETTINGS mutations_sync = 2",
        "admin",
      );
      await waitForCount(
        server,
        "SELECT least(count(), 1) FROM findings WHERE FindingKind = 'integrity_broken' AND Severity = 'error'",
        1,
      );
      await waitForCount(
        server,
        `SELECT least(count(), 1) ${verified} AND Detail['integrity'] = 'broken' AND Detail['fault_kinds'] LIKE 'row_changed %'`,
        1,
      );
      const health = await fetch(url(server.ports.health, "/"));
      t.equal(health.status, 200, "records are taken all the same");
      t.match(await health.json(), {
        warnings: [{ name: "verification", detail: /meshproof verify/ }],
      });
      t.match(await metric("meshproof_verification_integrity_ok"), / 0$/);
      const { report } = await runVerify(server);
      t.match(report, { integrity: "broken" });
      t.ok((report.findings["integrity_broken"] ?? 0) >= 1, "a person's run tells of it too");
    },
  );

  await t.test("heartbeats and starts say what the rows are", async (t) => {
    t.equal(await server.stop(), 0);
    const again = await ServerProcess.start(server.directory);
    t.teardown(() => again.kill());
    await waitForCount(again, "SELECT count() FROM control_records WHERE ControlKind = 'start'", 2);
    const [stop] = await again.query<{ Detail: Record<string, string> }>(
      "SELECT Detail FROM control_records WHERE ControlKind = 'stop'",
    );
    const detail = stop!.Detail;
    t.match(detail, { clock_jumps: "0", accepted: "300", rows_log: "300", rejected: "0" });
    for (const [kind, table] of [
      ["access", "access_records"],
      ["span", "otel_traces"],
      ["log", "otel_logs"],
      ["finding", "findings"],
      ["control", "control_records"],
    ]) {
      const [counted] = await again.query<{ rows: string }>(
        `SELECT count() AS rows FROM ${table} WHERE LeafIndex >= ${detail["from"]} AND LeafIndex < ${detail["through"]}`,
      );
      t.equal(counted!.rows, detail[`rows_${kind}`], `${kind} rows are as many as were counted`);
    }
    await again.kill();
    const third = await ServerProcess.start(server.directory);
    t.teardown(() => third.kill());
    await waitForCount(third, "SELECT count() FROM control_records WHERE ControlKind = 'start'", 3);
    const { report } = await runVerify(third);
    t.match(report, { uncleanStops: 1, silenceCount: 0 }, "a kill is told from a stop");
    t.ok(Date.now() - Date.parse(report.newestRecordAt!) < 60_000);
  });
});

t.test("the process of a verification ends with its parent", async (t) => {
  const parent = spawn(
    process.execPath,
    [resolve(import.meta.dirname, "support/verification-parent.ts")],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  t.teardown(() => parent.kill("SIGKILL"));
  const [said] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = Number(String(said));
  t.ok(isRunning(pid));
  parent.kill("SIGKILL");
  for (let waited = 0; isRunning(pid) && waited < 30_000; waited += 50) await setTimeout(50);
  t.notOk(isRunning(pid));
});

t.test("the process of a verification says why it has no report", async (t) => {
  const directory = t.testdir({
    "test.yaml": `storage: { directory: ${JSON.stringify(join(t.testdirName, "data"))} }\n`,
  });
  const config = loadConfig([join(directory, "test.yaml")], {});
  const task = { config, key: "no key", state: join(directory, "state"), isFull: true };
  await t.rejects(
    verifyApart(task, new AbortController().signal),
    /expected the log of a meshproof server/,
  );
  await t.rejects(verifyApart(task, AbortSignal.abort(new Error("not now"))), /not now/);
  const ending = new AbortController();
  const run = verifyApart(task, ending.signal);
  ending.abort(new Error("enough"));
  await t.rejects(run, /enough/);
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
