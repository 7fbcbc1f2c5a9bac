import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import {
  breakStep,
  dropRecords,
  faultsOf,
  RetentionServer,
  TABLES,
  until,
} from "./support/retention-server.ts";
import { runCommand } from "./support/command.ts";
import { oneScope, writeLogs } from "./support/otlp-writer.ts";
import { send } from "./support/senders.ts";
import { temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";

/** Erasure on a whole server, by the command. */

t.setTimeout(300_000);
const skip = whyNoEngine();

/** Files below `directory` that hold `text`. A part that goes while this looks holds nothing. */
function filesWith(directory: string, text: string): string[] {
  return unlessGone(() => readdirSync(directory, { withFileTypes: true })).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return filesWith(path, text);
    return unlessGone(() => (readFileSync(path).includes(text) ? [path] : []));
  });
}

function unlessGone<T>(read: () => T[]): T[] {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

t.test(
  "what is erased is gone from the disk; the log tells who, why and which",
  { skip },
  async (t) => {
    const directory = temporaryDirectory(t);
    const server = new RetentionServer(t, directory);
    await server.start();
    await server.send("clinic", 600);
    for (const table of TABLES) await server.until(600, table);
    const secret = randomUUID();
    const person = { body: secret };
    const url = `http://127.0.0.1:${server.ports.otlp}/v1/logs`;
    const request = writeLogs(oneScope([{ body: "before" }, person, { body: "behind" }], []));
    t.equal((await send(url, request)).status, 200);
    await server.until(603, "otel_logs");
    const admin = server.admin();
    // As people would have it: the bytes as they are, so that they can be looked for.
    await admin.command("ALTER TABLE otel_logs MODIFY COLUMN Body String CODEC(NONE)");
    await admin.command("OPTIMIZE TABLE otel_logs FINAL");
    const store = join(directory, "data", "clickhouse", "store");
    t.ok(filesWith(store, secret).length > 0, "the bytes are there before");
    const [row] = await server.query<{ i: string }>(
      `SELECT LeafIndex AS i FROM otel_logs WHERE Body = '${secret}'`,
    );
    const index = row!.i;
    const proofOf = async (leaf: number): Promise<number> =>
      (await fetch(`http://127.0.0.1:${server.ports.api}/api/v1/records/${leaf}/proof`)).status;
    t.equal(await proofOf(Number(index)), 200);

    const erase = (...args: string[]) =>
      runCommand(
        "erase",
        "--json",
        "--reason",
        "request 4711",
        ...args,
        "--config",
        server.files[0]!,
      );
    const dry = await erase("--records", index);
    t.match(JSON.parse(dry.stdout), { dryRun: true, counts: { otel_logs: "1" }, records: [] });
    t.equal(await server.count("otel_logs"), 603);
    t.equal((await dropRecords(server)).length, 0);

    const done = await erase("--records", `0 ${index}`, "--yes");
    t.equal(done.code, 0, done.stderr);
    const { records, gone, counts } = JSON.parse(done.stdout) as Record<string, unknown>;
    t.same(counts, { otel_logs: "1" }, "row 0 of the log is a control record, which stays");
    t.equal(gone, true);
    t.equal(await server.count("otel_logs"), 602);
    t.same(filesWith(store, secret), [], "no part on the disk holds the bytes any more");
    t.same(
      (await dropRecords(server)).map(({ kind, detail }) => [kind, detail]),
      [
        ["erased", { table: "otel_logs", count: "1", leaves: index, reason: "request 4711" }],
        ["erasure_finished", { table: "otel_logs", records: (records as string[])[0] }],
      ],
    );
    t.equal(await proofOf(Number(index)), 404);
    t.equal(await proofOf(Number(index) + 1), 200, "the proofs of others hold");
    const expected = { code: 0, report: { erased: 1, expired: 0, faults: [] } };
    t.match(await server.verify(), expected);
    t.match(await server.verify("--distrust-store"), expected);

    await t.test("by principal; a crash between sealing and deleting is made up for", async (t) => {
      const [actor] = await server.query<{ name: string; rows: string }>(
        "SELECT Actor AS name, count() AS rows FROM access_records GROUP BY Actor ORDER BY rows DESC LIMIT 1",
      );
      const rows = Number(actor!.rows);
      const broken = breakStep(t, "deleteRows", "before");
      const { stdout, code } = await erase("--principal", actor!.name, "--yes", "--no-wait");
      t.equal(code, 0);
      t.match(JSON.parse(stdout), { counts: { access_records: String(rows) }, gone: false });
      await until(() => broken.broken > 0);
      await server.stop();
      broken.mend();
      await server.start();
      await until(async () => (await server.count("access_records")) === 600 - rows);
      t.equal((await dropRecords(server)).filter(({ kind }) => kind === "erased").length, 2);
      t.match(await server.verify(), { code: 0, report: { erased: rows + 1, faults: [] } });
    });

    await t.test("a row that comes back after it was erased is found", async (t) => {
      await server
        .admin()
        .command(
          `INSERT INTO otel_logs SELECT * REPLACE (${index} AS LeafIndex) FROM otel_logs LIMIT 1`,
        );
      t.same(faultsOf((await server.verify()).report), ["row_changed"], "another row in its place");
    });
  },
);
