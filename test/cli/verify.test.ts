import { createHash } from "node:crypto";
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import { main } from "../../src/cli/index.ts";
import { Output } from "../../src/cli/output.ts";
import { freshnessOf } from "../../src/cli/verify.ts";
import { formatDuration, VerifyProgress } from "../../src/cli/verify-progress.ts";
import type { Fault, Report } from "../../src/verify/report.ts";
import { runCommand } from "../support/command.ts";
import { oneScope, writeLogs } from "../support/otlp-writer.ts";
import { Load, send } from "../support/senders.ts";
import { temporaryDirectory, whyNoEngine } from "../support/server-fixture.ts";
import { ServerProcess } from "../support/server-process.ts";
import { waitForCount } from "../support/stored-rows.ts";
import { applicationBody, envoyBody, spanBody } from "../support/traffic.ts";

/** `meshproof verify`, from the command line; what it finds is tested in test/verify on a log in memory, here on a real store. */

t.setTimeout(180_000);

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const streams = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  };
  const code = await main(["verify", ...args], streams, {});
  return { code, out, err };
}

t.test("options that contradict one another are usage errors", async (t) => {
  const note = join(t.testdir({ note: "no checkpoint\n" }), "note");
  for (const [args, hint] of [
    [["--from", "7", "--to", "7"], /--from below --to, got 7 and 7/],
    [["--max-age", "5m", "--to", "7"], /--max-age, or a range/],
    [["--max-age", "5"], /Expected a duration such as/],
    [["--max-age", "0s"], /Expected a duration such as/],
    [["--from", "1e3"], /Expected a leaf index/],
    [["--incremental", "--from", "7"], /--incremental, or a range/],
    [["--state", "x", "--to", "7"], /--incremental, or a range/],
    [["--incremental", "--log-only"], /--incremental or --log-only/],
    [["--distrust-store", "--log-only"], /--distrust-store or --log-only/],
    [
      ["--expect-checkpoint", "/nowhere/at/all"],
      /^\/nowhere\/at\/all: expected a signed checkpoint/,
    ],
    [["--expect-checkpoint", note], /note: expected a signed checkpoint/],
  ] as const) {
    const { code, out, err } = await run(...args);
    t.same([code, out], [2, ""], args.join(" "));
    t.match(err, hint);
  }
});

t.test("progress is a bar on a terminal, and a line each ten seconds elsewhere", async (t) => {
  for (const isTTY of [true, false]) {
    let err = "";
    const stderr = { write: (text: string) => (err += text), isTTY };
    let now = 1000;
    const output = new Output({ stdout: { write() {} }, stderr }, {});
    const progress = new VerifyProgress(output, () => now);
    for (const [at, checked] of [
      [3000, 500_000],
      [11_500, 2_000_000],
      [12_000, 2_100_000],
    ] as const) {
      now = at;
      progress.update({ checked, total: 4_000_000 });
    }
    output.status("");
    const text = "50 %  2000000 of 4000000 records, 190476/s, 11 s left";
    if (isTTY) {
      t.match(err, `\r\u001b[2K  ${"█".repeat(12)}${"░".repeat(12)} ${text}\r\u001b[2K`);
      t.notMatch(err, "\n");
    } else t.equal(err, `${text}\n`);
  }
  t.same([0, 99.4, 100, 5999, 6000, 172_740, 172_800].map(formatDuration), [
    "0 s",
    "99 s",
    "2 min",
    "1 h 40 min",
    "1 h 40 min",
    "47 h 59 min",
    "2 days",
  ]);
});

t.test("a log is as fresh as the older of its checkpoint and its newest record", async (t) => {
  for (const [checkpointAgeSeconds, newestRecordAgeSeconds, freshness] of [
    [0, 0, "ok"],
    [300, 300, "ok"],
    [301, 0, "stale"],
    [0, 301, "stale"], // the end was cut off, and the file touched
    [300, null, "ok"],
    [301, null, "stale"],
    [null, null, "stale"],
  ] as const)
    t.equal(freshnessOf({ checkpointAgeSeconds, newestRecordAgeSeconds }, 300_000), freshness);
});

t.test("with a server", { skip: whyNoEngine() }, async (t) => {
  const directory = temporaryDirectory(t);
  const server = await ServerProcess.start(directory);
  t.teardown(() => server.kill());
  const { dataDirectory } = server;
  const stateFile = join(directory, "state.json");
  const kept = join(directory, "kept-checkpoint");
  const expectKept = ["--expect-checkpoint", kept];
  const state = ["--state", stateFile];

  const verify = async (
    ...args: string[]
  ): Promise<{ code: number | null; report: Report & { checkpointAgeSeconds: number } }> => {
    const config = ["--config", server.configFile];
    const { code, stdout, stderr } = await runCommand("verify", "--json", ...config, ...args);
    if (stdout === "") throw new Error(stderr);
    return { code, report: JSON.parse(stdout) };
  };
  const faultsOf = ({ faults }: Report): unknown[] =>
    faults.map(({ fault, leafIndex, table }: Fault) => [fault, leafIndex, table]);
  const admin = (statement: string): Promise<unknown> =>
    server.query(
      statement.startsWith("ALTER") ? `${statement} SETTINGS mutations_sync = 2` : statement,
      "admin",
    );
  const indexOf = async (table: string, offset: number): Promise<number> => {
    const [row] = await server.query<{ LeafIndex: string }>(
      `SELECT LeafIndex FROM ${table} ORDER BY LeafIndex LIMIT 1 OFFSET ${offset}`,
    );
    return Number(row!.LeafIndex);
  };

  await t.test(
    "under load nothing is reported, in full, in steps and with rows hashed here",
    async (t) => {
      const bodyOf = [applicationBody, envoyBody, spanBody] as const;
      for (const [n, signal] of ["logs", "logs", "traces"].entries())
        await send(server.otlp(signal as "logs"), bodyOf[n]!(300, 0));
      const load = new Load({
        url: () => server.otlp("logs"),
        body: (n) => writeLogs(oneScope([{ body: `record ${n}` }, { body: `and ${n}` }])),
        senders: 2,
      });
      t.teardown(() => load.stop());
      await load.more(20);
      for (const args of [[], state, state, ["--distrust-store"], ["--from", "256"]]) {
        const { code, report } = await verify(...args);
        t.same([code, report.integrity, report.faults], [0, "ok", []], args.join(" "));
        t.ok(report.checkpointAgeSeconds < 60);
        if (args.length === 0) t.equal(report.checked.records, report.treeSize);
      }
      await load.stop();
      await waitForCount(
        server,
        "SELECT count() FROM otel_logs WHERE startsWith(Body, 'record ')",
        load.acknowledged,
      );
      copyFileSync(join(dataDirectory, "log/checkpoint"), kept);
    },
  );

  await t.test(
    "each kind of change in ClickHouse is found and named, and no other record",
    async (t) => {
      t.match(await verify(...expectKept, ...state), { code: 0, report: { faults: [] } });
      const before = readFileSync(stateFile, "utf8");
      const [log, span, access, other] = await Promise.all([
        indexOf("otel_logs", 100),
        indexOf("otel_traces", 200),
        indexOf("access_records", 50),
        indexOf("otel_logs", 150),
      ]);
      const newest = await indexOf("otel_logs", 500);
      await admin(
        `ALTER TABLE otel_traces UPDATE Duration = Duration + 1 WHERE LeafIndex = ${span}`,
      );
      await admin(
        `ALTER TABLE access_records UPDATE EndUser = 'somebody else' WHERE LeafIndex = ${access}`,
      );
      await admin(
        `ALTER TABLE otel_logs UPDATE LeafIndex = if(LeafIndex = ${log}, ${other}, ${log}) WHERE LeafIndex IN (${log}, ${other})`,
      );
      await admin(`ALTER TABLE otel_logs DELETE WHERE LeafIndex = ${newest}`);
      await admin("ALTER TABLE otel_traces ADD COLUMN Verdict String");
      await admin(
        `ALTER TABLE otel_traces UPDATE Verdict = 'harmless' WHERE LeafIndex = ${span + 1}`,
      );
      await admin(
        `INSERT INTO otel_logs SELECT * REPLACE ('ffffffffffffffff' AS LogId) FROM otel_logs WHERE LeafIndex = ${log}`,
      );
      const expected = [
        ["row_changed", span, "otel_traces"],
        ["row_changed", span + 1, "otel_traces"],
        ["row_changed", access, "access_records"],
        ["row_changed", log, "otel_logs"],
        ["row_changed", other, "otel_logs"],
        ["row_missing", newest, "otel_logs"],
      ].toSorted((a, b) => Number(a[1]) - Number(b[1]));
      for (const args of [[], ["--distrust-store"]]) {
        const { code, report } = await verify(...args);
        t.equal(code, 1);
        const [stranger, ...others] = faultsOf(report).toReversed();
        t.same(stranger, ["row_added", null, "otel_logs"]);
        t.same(
          others.toSorted((a, b) => Number((a as unknown[])[1]) - Number((b as unknown[])[1])),
          expected,
          args.join(" "),
        );
      }
      const range = await verify("--from", String(access), "--to", String(access + 1));
      t.ok(
        JSON.stringify(faultsOf(range.report)).includes(
          `["row_changed",${access},"access_records"]`,
        ),
      );
      t.match(await verify(...state), { code: 1 }, "the stranger is found in any case");
      t.equal(
        readFileSync(stateFile, "utf8"),
        before,
        "what is broken is not remembered as verified",
      );
      const { code, stdout } = await runCommand("verify", "--config", server.configFile);
      t.equal(code, 1);
      t.match(stdout, `row_missing  record ${newest} in otel_logs: `);
      t.match(stdout, /under a signed checkpoint that is \d+ (s|min) old/);
    },
  );

  await t.test("without a server nothing that is stored changes", async (t) => {
    t.equal(await server.stop(), 0);
    const before = digestOf(join(dataDirectory, "clickhouse/store"));
    t.equal((await verify()).code, 1);
    t.same(digestOf(join(dataDirectory, "clickhouse/store")), before);
  });

  await t.test("a log that was taken back is found by a checkpoint that was kept", async (t) => {
    const checkpoint = join(dataDirectory, "log/checkpoint");
    const [newer, older] = [readFileSync(checkpoint, "utf8"), readFileSync(kept, "utf8")];
    t.match(await verify("--log-only", ...expectKept, "--max-age", "1h"), {
      code: 0,
      report: { freshness: "ok", newestRecordAgeSeconds: null },
    });
    const yesterday = Date.now() / 1000 - 86_400;
    utimesSync(checkpoint, yesterday, yesterday);
    t.match(await verify("--log-only", ...expectKept, "--max-age", "1h"), {
      code: 1,
      report: { integrity: "ok", freshness: "stale" },
    });
    t.match(await verify("--log-only"), { code: 0, report: { freshness: undefined } });
    writeFileSync(checkpoint, older);
    const { report } = await verify();
    t.match(
      report.faults.filter(({ table, fault }) => table === null && fault !== "row_added"),
      [
        {
          fault: "checkpoint_rolled_back",
          detail: /^the checkpoint that state\/checkpoint.json holds, of /,
        },
      ],
    );
    writeFileSync(kept, newer);
    t.match(await verify("--log-only", ...expectKept), {
      code: 1,
      report: { faults: [{ fault: "checkpoint_rolled_back", table: null }] },
    });
    writeFileSync(stateFile, "{}");
    const { code, stdout, stderr } = await runCommand(
      "verify",
      "--config",
      server.configFile,
      ...state,
    );
    t.same([code, stdout], [2, ""]);
    t.match(stderr, /expected the state of an earlier verification/);
  });
});

/** SHA-256 of each file below a directory. */
function digestOf(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(
    files
      .filter((file) => statSync(join(directory, file)).isFile())
      .map((file) => [
        file,
        createHash("sha256")
          .update(readFileSync(join(directory, file)))
          .digest("hex"),
      ]),
  );
}
