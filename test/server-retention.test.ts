import { setTimeout } from "node:timers/promises";
import t from "tap";
import {
  breakStep,
  type Detail,
  dropRecords,
  faultsOf,
  RetentionServer,
  SYNC,
  TABLES,
  until,
} from "./support/retention-server.ts";
import { temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";

/** Expiry on a whole server, with the clock moved forward. */

t.setTimeout(300_000);
const skip = whyNoEngine();

t.test("what is over is sealed, then dropped; all else stays and verifies", { skip }, async (t) => {
  const server = new RetentionServer(t, temporaryDirectory(t));
  await server.start();
  await server.send("shop", 300);
  await server.send("clinic", 100);
  await server.send("shop", 50);
  for (const table of TABLES) await server.until(450, table);
  t.match(await server.verify("--incremental"), { code: 0, report: { expired: 0, erased: 0 } });
  server.days = 7n;
  await setTimeout(1500);
  for (const table of TABLES) t.equal(await server.count(table), 450, "a day is over at its end");
  await server
    .admin()
    .command(
      "CREATE TABLE saved ENGINE = MergeTree ORDER BY LeafIndex AS SELECT * FROM otel_logs WHERE RetentionClass = 'short' LIMIT 10",
    );
  server.days = 8n;
  for (const table of TABLES) await server.until(100, table);
  await server.until(3, "control_records", "ControlKind = 'expiry_finished'");

  const records = await dropRecords(server);
  t.same(
    inOrderOfTables(records).map(({ kind, detail }) => [
      kind,
      detail["table"],
      detail["count"],
      detail["class"],
    ]),
    TABLES.flatMap((table) => [
      ["expired", table, "350", "short"],
      ["expiry_finished", table, undefined, undefined],
    ]),
  );
  t.equal(await server.count("otel_traces_trace_id_ts", "RetentionClass = 'short'"), 0);
  t.ok((await server.count("otel_traces_trace_id_ts")) > 0);
  const periods = await server.query<{ detail: Detail }>(
    "SELECT Detail AS detail FROM control_records WHERE ControlKind = 'retention_changed'",
  );
  t.match(periods, [{ detail: { "period.short": "7 days", "period.default": "13 months" } }]);
  t.equal(periods.length, 1);

  const expected = { code: 0, report: { integrity: "ok", expired: 1050, erased: 0, faults: [] } };
  t.match(await server.verify(), expected);
  t.match(await server.verify("--distrust-store"), expected);
  t.match(await server.verify("--incremental"), { code: 0, report: { faults: [] } });
  const part = await server.verify("--from", "512", "--to", "1024");
  t.match(part, { code: 0, report: { faults: [] } });
  t.ok(part.report.expired > 0 && part.report.expired < 1050);
  const metrics = await (await fetch(`http://127.0.0.1:${server.ports.metrics}/metrics`)).text();
  t.match(metrics, /meshproof_dropped_rows\{[^}]*table="otel_logs"[^}]*\} 350/);

  await t.test("a start on the same data drops and seals nothing again", async (t) => {
    await server.stop();
    t.match(await server.verify(), expected);
    await server.start();
    await setTimeout(1500);
    t.equal((await dropRecords(server)).length, 6);
  });

  await t.test("rows that come back after they were dropped are found", async (t) => {
    await server.stop();
    await server.start(", dry_run: true"); // else they expire again, sealed again
    const admin = server.admin();
    await admin.command("INSERT INTO otel_logs SELECT * FROM saved");
    const { code, report } = await server.verify();
    t.equal(code, 1);
    t.same(faultsOf(report), ["expired_not_sealed"]);
    t.equal(report.faultCount, 10);
    t.match(report.faults[0], {
      table: "otel_logs",
      detail:
        /^the row is there, although the log says that it is gone: record \d+ names it as expired$/,
    });
    const distrusting = await server.verify("--distrust-store");
    t.same(distrusting.report.faults, report.faults);
    await admin.command("ALTER TABLE otel_logs DELETE WHERE RetentionClass = 'short'", {}, SYNC);
    await admin.command("DROP TABLE saved");
    t.match(await server.verify(), expected);
  });

  await t.test("a partition that somebody dropped by hand is no expiry", async (t) => {
    const admin = server.admin();
    await server.send("clinic", 300);
    await server.until(400, "otel_logs");
    await server.untilMarked();
    const [first] = await server.query<{ i: string }>("SELECT min(LeafIndex) AS i FROM otel_logs");
    const [partition] = await server.query<{ id: string }>(
      "SELECT DISTINCT _partition_id AS id FROM otel_logs",
    );
    await admin.command(`ALTER TABLE otel_logs DROP PARTITION ID '${partition!.id}'`);
    const { code, report } = await server.verify();
    t.equal(code, 1);
    t.same(faultsOf(report), ["row_missing", "expired_not_sealed"]);
    t.match(
      report.faults.find(({ fault }) => fault === "expired_not_sealed"),
      { leafIndex: Number(first!.i), table: "otel_logs", detail: /^400 rows in a row/ },
    );
    t.equal(report.expired, 1050);
    t.equal(report.faultCount, 401);
  });
});

t.test("a crash between sealing and dropping is made up for, once", { skip }, async (t) => {
  const server = new RetentionServer(t, temporaryDirectory(t));
  const before = breakStep(t, "dropPartition", "before");
  await server.start();
  await server.send("shop", 200);
  for (const table of TABLES) await server.until(200, table);
  server.days = 30n;
  await until(() => before.broken > 0);
  await server.stop();
  t.match(await server.verify(), { code: 0, report: { expired: 0, faults: [] } });
  before.mend();

  const after = breakStep(t, "dropPartition", "after");
  await server.start();
  await until(() => after.broken > 0);
  await server.stop();
  after.mend();
  t.match(await server.verify(), { code: 0, report: { faults: [] } });

  await server.start();
  for (const table of TABLES) await server.until(0, table);
  await server.until(3, "control_records", "ControlKind = 'expiry_finished'");
  const records = await dropRecords(server);
  t.same(
    inOrderOfTables(records.filter(({ kind }) => kind === "expired")).map(
      ({ detail }) => detail["table"],
    ),
    TABLES,
    "each is named once",
  );
  t.match(await server.verify(), { code: 0, report: { expired: 600, faults: [] } });
});

t.test(
  "rows that are not what was sealed do not expire, and are not forgotten",
  { skip },
  async (t) => {
    const server = new RetentionServer(t, temporaryDirectory(t));
    await server.start();
    await server.send("shop", 50);
    for (const table of TABLES) await server.until(50, table);
    await server
      .admin()
      .command("ALTER TABLE otel_logs UPDATE Body = 'another' WHERE LeafIndex % 7 = 0", {}, SYNC);
    server.days = 30n;
    await server.until(0, "access_records");
    await server.until(0, "otel_traces");
    await setTimeout(1500);
    t.equal(await server.count("otel_logs"), 50);
    const { report } = await server.verify();
    t.same(faultsOf(report), ["row_changed"]);
    t.equal(report.expired, 100);
    await server.stop();
    await server.start();
    const finding = "FindingKind = 'expiry_refused' AND Subject = 'otel_logs'";
    await until(async () => (await server.count("findings", finding)) > 0); // one for each minute
  },
);

t.test("a forged record of an expiry hides nothing", { skip }, async (t) => {
  const server = new RetentionServer(t, temporaryDirectory(t));
  await server.start(", dry_run: true");
  await server.send("shop", 20);
  for (const table of TABLES) await server.until(20, table);
  server.days = 30n;
  await setTimeout(1500);
  for (const table of TABLES) t.equal(await server.count(table), 20, "a dry run drops nothing");
  const [row] = await server.query<{ i: string }>("SELECT max(LeafIndex) AS i FROM otel_logs");
  const admin = server.admin();
  await admin.command(`ALTER TABLE otel_logs DELETE WHERE LeafIndex = ${row!.i}`, {}, SYNC);
  await admin.command(
    `INSERT INTO control_records SELECT * REPLACE ('expired' AS ControlKind, map('table', 'otel_logs', 'leaves', '${row!.i}', 'count', '1', 'sha256', '${"0".repeat(64)}') AS Detail)
     FROM control_records WHERE LeafIndex = 1`,
  );
  const { code, report } = await server.verify();
  t.equal(code, 1);
  t.same(new Set(faultsOf(report)), new Set(["expired_not_sealed", "row_missing", "row_added"]));
  t.match(
    report.faults.find(({ fault }) => fault === "expired_not_sealed"),
    {
      leafIndex: 1,
      table: "control_records",
      detail: /counts for nothing: it is not what was sealed/,
    },
  );
});

t.test(
  "a shorter period waits for the grace, and leaves rows of other logs alone",
  { skip },
  async (t) => {
    const server = new RetentionServer(t, temporaryDirectory(t));
    // From the start on: the grace counts from the first round, which seals the periods whenever it comes.
    server.days = 30n;
    await server.start(", grace: 3 days");
    await server.send("shop", 30);
    for (const table of TABLES) await server.until(30, table);
    await server.stop();
    await server.start(", grace: 3 days");
    await setTimeout(1500);
    await server.until(30, "otel_logs");
    const admin = server.admin();
    await admin.command(
      "INSERT INTO otel_logs SELECT * REPLACE ('00000000000000ff' AS LogId) FROM otel_logs LIMIT 3",
    );
    server.days = 34n;
    await server.until(3, "otel_logs");
    t.equal(await server.count("otel_logs", "LogId = '00000000000000ff'"), 3);
    await server.until(0, "access_records");
  },
);

/** Of one table in the order of the log: the clock may move while a round looks at the tables, and then another one comes first. */
function inOrderOfTables(
  records: Awaited<ReturnType<typeof dropRecords>>,
): Awaited<ReturnType<typeof dropRecords>> {
  const place = (record: (typeof records)[number]): number =>
    TABLES.indexOf(record.detail["table"] ?? "");
  return records.toSorted((a, b) => place(a) - place(b));
}
