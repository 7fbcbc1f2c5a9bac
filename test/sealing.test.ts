import t from "tap";
import { MeshproofError } from "../src/core/errors.ts";
import { silentLogger } from "../src/core/logger.ts";
import type { RowSection } from "../src/core/rows.ts";
import { Journal } from "../src/journal/journal.ts";
import { internalMeta } from "../src/journal/frame.ts";
import { sealKeyChanges } from "../src/key-changes.ts";
import { controlSection } from "../src/records/own-rows.ts";
import { placedRows } from "../src/records/row-json.ts";
import type { Sealer } from "../src/seal/sealer.ts";
import { compareStored } from "../src/sealing.ts";
import type { StoreClient } from "../src/store/client.ts";
import { guardClient } from "../src/store/guarded-client.ts";
import { WitnessFindings } from "../src/witness-findings.ts";

/** What joins the log with journal, store and findings. A whole server does it in server-seal.test.ts; here is what that cannot time. */

const LOG_ID = "0123456789abcdef";
const [OLD, NEW] = ["log+11111111+old", "log+22222222+new"];

/** The control records of a journal, by kind. */
async function controlRecords(journal: Journal): Promise<[string, Record<string, string>][]> {
  const records: [string, Record<string, string>][] = [];
  for await (const { sections } of journal.frames(journal.firstIndex))
    for (const { kind, bytes } of sections)
      for (const { record } of placedRows(kind, bytes))
        records.push([
          String(record["ControlKind"]),
          { ...(record["Detail"] as Record<string, string>) },
        ]);
  return records;
}

t.test("a new key is named in the journal once, however often a start is cut off", async (t) => {
  const journal = await Journal.open({
    directory: t.testdir(),
    maxBytes: 2 ** 20,
    logger: silentLogger,
    onFatal: (error) => t.fail(error.message),
  });
  t.teardown(() => journal.close());
  const other = controlSection(LOG_ID, [{ timestampNs: 1n, controlKind: "start", detail: {} }]);
  await journal.append({ sections: [other] }, internalMeta(1n)).durable;
  const announced: [string, number][] = [];
  const sealerWith = (keyChange: Sealer["keyChange"]): Sealer =>
    ({
      signedSize: 0,
      keyChange,
      announced: (...args: [string, number]) => announced.push(args),
    }) as unknown as Sealer;
  await sealKeyChanges(sealerWith({ added: [], retired: [], kept: [OLD] }), journal, LOG_ID);
  t.equal(journal.nextIndex, 1, "nothing changes, nothing is said");
  for (let start = 0; start < 3; start++)
    await sealKeyChanges(
      sealerWith({ added: [NEW], retired: ["log+0+gone"], kept: [OLD] }),
      journal,
      LOG_ID,
    );
  t.same(announced, [
    [NEW, 1],
    [NEW, 1],
    [NEW, 1],
  ]);
  t.same(await controlRecords(journal), [
    ["start", {}],
    ["key_rotated", { new_key: NEW, old_key: OLD, size: "0" }],
    ["key_retired", { key: "log+0+gone", signed_by: OLD, size: "0" }],
  ]);
});

const conflict = new MeshproofError("LOG_INCONSISTENT", "rolled back");
const refusal = new MeshproofError("STORE_FAILED", "no grant", {
  cause: { code: "497", type: "ACCESS_DENIED" },
});

/** `compareStored` with a store that gives these notes, and a log that contradicts those that say so. */
function compare(
  notes: readonly string[] | Error,
  tables: Promise<void>,
  isRemote: boolean,
  isNew = false,
  signedSize = 5,
) {
  const asked: unknown[] = [];
  let stand = false;
  const late: unknown[] = [];
  const said: string[] = [];
  const compared: string[] = [];
  const stopping = new AbortController();
  const done = compareStored({
    sealer: {
      signedSize,
      async compare({ note }: { note: string }) {
        compared.push(note);
        if (note === "bad") throw conflict;
        return note !== "foreign";
      },
    } as unknown as Sealer,
    client: {
      async query() {
        asked.push(notes);
        if (notes instanceof Error) throw notes;
        // Of a new database, or a store that is away: there is nothing to read before its tables stand.
        if (isNew && !stand) throw new Error("no such table");
        return notes.map((Note) => ({ Note }));
      },
    } as unknown as StoreClient,
    origin: "log",
    tables: tables.then(() => void (stand = true)),
    isRemote,
    waitMs: 20,
    retryMs: 1,
    signal: stopping.signal,
    logger: { ...silentLogger, warn: (_, text) => said.push(text) },
    onConflict: (error) => late.push(error),
  });
  return { done, late, said, compared, asked, stop: () => stopping.abort() };
}

t.test("what the store shows ends the start", async (t) => {
  for (const isRemote of [false, true]) {
    await t.rejects(compare(["good", "bad"], Promise.resolve(), isRemote).done, conflict);
    const { done, compared, said } = compare(["good", "fine"], Promise.resolve(), isRemote);
    await done;
    t.same(compared, ["good", "fine"]);
    t.same(said, []);
    const unreadable = compare(refusal, Promise.resolve(), isRemote);
    t.equal((await unreadable.done)(), true);
    t.match(unreadable.said, [/cannot be read/]);
  }
});

t.test("what the store shows is compared before its tables are brought up to date", async (t) => {
  const never = new Promise<void>(() => {});
  for (const isRemote of [false, true]) {
    const { done, said } = compare(["bad"], never, isRemote);
    await t.rejects(done, conflict);
    t.same(said, []);
  }
});

t.test("a remote store that answers late is compared then, and holds up no start", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const [bad, good] = ["bad", "good"].map((note) => compare([note], promise, true, true));
  const mayWrite = await Promise.all([bad!.done, good!.done]);
  t.match(bad!.said, [/is not seen before it answers/]);
  t.same(bad!.late, []);
  const allowed = (): boolean[] => mayWrite.map((may) => may());
  t.same(allowed(), [false, false], "nothing is written to a store that did not answer");
  resolve();
  await new Promise((turn) => setImmediate(turn));
  t.same(bad!.late, [conflict]);
  t.same(allowed(), [false, true]);
  const down = compare(["bad"], Promise.reject(new Error("no store")), true, true);
  await down.done;
  t.same(down.late, []);
  await t.rejects(compare([], Promise.reject(new Error("no store")), false, true).done, /no store/);
  await t.rejects(
    compare([], Promise.reject(new Error("old tables")), false).done,
    /old tables/,
    "the embedded store has to take the tables, whatever it says of checkpoints",
  );
});

t.test("a remote store whose tables others make is asked until it answers", async (t) => {
  const away = new MeshproofError("STORE_FAILED", "ECONNREFUSED", { cause: new Error("errno") });
  const { done, said, asked, stop } = compare(away, Promise.resolve(), true);
  const mayWrite = await done;
  t.match(said, [/is not seen before it answers/]);
  t.ok(asked.length > 2, `asked ${asked.length} times`);
  t.equal(mayWrite(), false);
  stop();
});

t.test("a new log under the name of another is refused, an old one warned", async (t) => {
  for (const isRemote of [false, true]) {
    await t.rejects(compare(["foreign"], Promise.resolve(), isRemote, false, 0).done, {
      code: "LOG_INCONSISTENT",
      message: /checkpoints of log that another key signed/,
    });
    const { done, said } = compare(["good", "foreign"], Promise.resolve(), isRemote);
    t.equal((await done)(), true);
    t.match(said, [/no two logs may bear one name/]);
  }
});

t.test("a guarded client fails like a store that is away, and can be closed", async (t) => {
  const calls: string[] = [];
  const client = new Proxy({} as StoreClient, {
    get: (_, name: string) =>
      name === "streamBytes"
        ? async function* () {
            calls.push(name);
            yield new Uint8Array(1);
          }
        : async () => calls.push(name),
  });
  let reason: string | null = "not yet";
  const guarded = guardClient(client, () => reason);
  const drain = async (): Promise<void> => {
    for await (const part of guarded.streamBytes("")) calls.push(`${part.length} bytes`);
  };
  const uses: (() => Promise<unknown>)[] = [
    () => guarded.insertRows("", [], [], { token: "" }),
    () => guarded.query(""),
    () => guarded.command(""),
    drain,
  ];
  for (const use of uses) await t.rejects(use(), { code: "STORE_FAILED", message: "not yet" });
  await guarded.ping();
  await guarded.close();
  t.same(calls, ["ping", "close"]);
  reason = null;
  for (const use of uses) await use();
  t.same(calls.slice(2), ["insertRows", "query", "command", "streamBytes", "1 bytes"]);
});

const rowsOf = (sections: readonly RowSection[]): Record<string, unknown>[] =>
  sections.flatMap(({ kind, bytes }) => placedRows(kind, bytes).map(({ record }) => record));

t.test(
  "findings about witnesses wait for the log, keep their order, and are not lost",
  async (t) => {
    const findings = new WitnessFindings("log.example", silentLogger);
    const sealed: Record<string, unknown>[] = [];
    let isFull = true;
    findings.failedOpen(true, "without a quorum");
    findings.start(LOG_ID, async (sections) => {
      if (isFull) throw new MeshproofError("JOURNAL_FULL", "no room");
      sealed.push(...rowsOf(sections));
    });
    await findings.idle();
    findings.failedOpen(false, "with one");
    await findings.idle();
    t.same(sealed, []);
    isFull = false;
    findings.flush();
    findings.flush();
    await findings.idle();
    t.match(sealed, [
      { FindingKind: "unwitnessed", State: "open", Detail: { reason: "without a quorum" } },
      { FindingKind: "unwitnessed", State: "resolved", Detail: { reason: "with one" } },
    ]);
    t.equal(sealed[0]!["Timestamp"], sealed[1]!["Timestamp"], "the second resolves the first");
    const note = `log.example\n5\n${Buffer.alloc(32).toString("base64")}\n\n— log.example AAAAAAE=\n— other.example AAAAAAE=\n`;
    findings.conflict("north", "it has another tree", note);
    await findings.idle();
    t.match(sealed[2], {
      FindingKind: "witness_conflict",
      Severity: "error",
      Subject: "north",
      Detail: { reason: "it has another tree", checkpoint: /— log\.example AAAAAAE=\n$/ },
    });
  },
);
