import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { loadConfig } from "../../src/config/load.ts";
import { type Column, TABLES, type Table } from "../../src/records/columns.ts";
import { CONTROL_KINDS, FINDING_DETAIL } from "../../src/records/own-kinds.ts";
import { formatCheckpoint } from "../../src/tlog/checkpoint.ts";
import { leafHash } from "../../src/tlog/merkle.ts";
import { parseVerifierKey, signNote } from "../../src/tlog/note.ts";
import { formatTilePath, tileWidth } from "../../src/tlog/tiles.ts";
import { DirectoryLogReader } from "../../src/verify/log-reader.ts";
import type { Report } from "../../src/verify/report.ts";
import type { VerifyOptions } from "../../src/verify/verify.ts";
import { AttackedLog, MODES, namedFaults, type NamedFault } from "../support/attacked-log.ts";
import { newHistory, signerOf } from "../support/new-history.ts";
import { oneScope, writeLogs, writeTraces } from "../support/otlp-writer.ts";
import { send } from "../support/senders.ts";
import { temporaryDirectory, whyNoEngine } from "../support/server-fixture.ts";
import { ServerProcess } from "../support/server-process.ts";
import { waitForCount } from "../support/stored-rows.ts";
import { applicationBody, digest, envoyBody, spanInput } from "../support/traffic.ts";

/**
 * Attacks on a real log with a real ClickHouse. docs/design/threat-model.md names these tests: what an attack is found by, and what is not found
 * without a checkpoint that was kept elsewhere. Attacks on the log's maths are in the other files of this folder, on a log in memory.
 */

t.setTimeout(600_000);
const ORIGIN = "attacks.test/mesh";
const CONFIG = `processors: { seal: { origin: ${ORIGIN}, checkpoint_interval: 50ms } }\n`;
const ALL = Object.values(TABLES);
/** Rows are left out where they say nothing more: it is faster. */
const LOG_ONLY = { rows: null } as const;

/** Spans with events and links: their columns shall hold something. */
function spans(count: number, first: number): Buffer {
  return writeTraces(
    oneScope(
      Array.from({ length: count }, (_, i) => ({
        ...spanInput(first + i),
        events: [{ time: 7n, name: "retry", attributes: [["attempt", 1n]] as const }],
        links: [{ traceId: digest(`linked ${i}`, 16), spanId: digest("l", 8), traceState: "a=b" }],
      })),
      [["service.name", "orders"]],
    ),
  );
}

async function fill(server: ServerProcess, first: number): Promise<void> {
  await send(server.otlp("traces"), spans(60, first));
  await send(server.otlp("logs"), envoyBody(110, first));
  await send(server.otlp("logs"), applicationBody(60, first));
  const refused = { body: "its trace ID is short", traceId: new Uint8Array(15).fill(1) };
  await send(server.otlp("logs"), writeLogs(oneScope([refused])));
  // Again, and a read: what meshproof seals of itself.
  await send(server.otlp("logs"), applicationBody(60, first));
  await (await fetch(`http://127.0.0.1:${server.ports.api}/api/v1/records/0`)).text();
  await waitForCount(server, "SELECT count() FROM trace_links", first + 60);
  // The first start seals it, at some time.
  await waitForCount(
    server,
    "SELECT count() FROM control_records WHERE ControlKind = 'retention_changed'",
    1,
  );
}

t.test("attacks on a log and its rows", { skip: whyNoEngine() }, async (t) => {
  const root = temporaryDirectory(t);
  const directory = join(root, "server");
  const older = join(root, "older");
  for (const first of [0, 60]) {
    const server = await ServerProcess.start(directory, CONFIG);
    t.teardown(() => server.kill());
    await fill(server, first);
    t.equal(await server.stop(), 0);
    if (first === 0) cpSync(server.dataDirectory, older, { recursive: true });
  }
  const data = join(directory, "data");
  const pristine = join(root, "pristine");
  cpSync(data, pristine, { recursive: true });
  const config = loadConfig(
    ["test.yaml", "extra.yaml"].map((file) => join(directory, file)),
    {},
  );
  const key = parseVerifierKey(
    (
      JSON.parse(readFileSync(join(data, "state/checkpoint.json"), "utf8")) as {
        keys: { verifierKey: string }[];
      }
    ).keys[0]!.verifierKey,
  );
  let log = await AttackedLog.open(config, key);
  t.teardown(() => log.close());
  await log.keep();

  await t.test("an untouched log has no fault", async (t) => {
    await log.finds(t, [], "untouched");
    const { checked, treeSize } = await log.verify();
    t.equal(checked.records, treeSize);
    for (const { name } of ALL) t.ok((await log.indexes(name)).length > 0, `${name} has rows`);
  });

  await t.test("what docs/design/format.md says of SQL and of our own records holds here", (t) =>
    documentHolds(t, log),
  );

  for (const table of ALL)
    await t.test(`${table.name}: any column of any row that is changed`, (t) =>
      changeEachColumn(t, log, table),
    );

  await tableAttacks(t, log);
  log.asksTimes = false;
  await rowAttacks(t, log);
  await storedCheckpointAttacks(t, log, older);
  await fileAttacks(t, log);
  await oldCopies(t, log, { older, pristine });
  await otherHistories(t, log, pristine);

  await t.test("an older ClickHouse under the newest log", async (t) => {
    await log.close();
    for (const name of ["clickhouse", "secrets"]) {
      rmSync(join(data, name), { recursive: true });
      cpSync(join(older, name), join(data, name), { recursive: true });
    }
    const newer = (await sizes(older)).records;
    log = await AttackedLog.open(config, key);
    const { faults, faultCount, treeSize } = await log.verify();
    t.equal(faultCount, treeSize - newer);
    t.strictSame(
      faults.map(({ fault, leafIndex }) => [fault, leafIndex]),
      Array.from({ length: treeSize - newer }, (_, i) => ["row_missing", newer + i]),
    );
  });
});

/** The statements of the document give the leaf hashes of the log, and its tables name what is sealed of our own. */
async function documentHolds(t: Test, log: AttackedLog): Promise<void> {
  const document = readFileSync(join(import.meta.dirname, "../../docs/design/format.md"), "utf8");
  const statements = [...document.matchAll(/```sql\n(.*?)\n```/gs)].map(([, sql]) => sql!);
  t.equal(statements.length, 2);
  const reader = new DirectoryLogReader(join(log.data, "log"));
  const { treeSize } = await log.verify();
  for (const sql of statements) {
    const rows = await log.query<{ LeafIndex: string; Leaf: string }>(sql);
    t.ok(rows.length > 0);
    const others: string[] = [];
    for (const { LeafIndex, Leaf } of rows) {
      const index = Math.floor(Number(LeafIndex) / 256);
      const tile = await reader.tile({ level: 0, index, width: tileWidth(treeSize, 0, index) });
      const at = (Number(LeafIndex) % 256) * 32;
      if (Leaf !== Buffer.from(tile!.subarray(at, at + 32)).toString("hex")) others.push(LeafIndex);
    }
    t.strictSame(others, [], sql);
  }
  const controls = await log.query<{ kind: string; keys: string[] }>(
    "SELECT ControlKind AS kind, groupUniqArrayArray(mapKeys(Detail)) AS keys FROM control_records GROUP BY kind",
  );
  const kinds = new Set(controls.map(({ kind }) => kind));
  for (const kind of [
    "deduplicated_batches",
    "log_created",
    "records_read",
    "retention_changed",
    "start",
    "stop",
  ])
    t.ok(kinds.has(kind), kind);
  for (const { kind, keys } of controls) {
    const declared = Object.keys(CONTROL_KINDS[kind as keyof typeof CONTROL_KINDS]?.detail ?? {});
    // period.CLASS stands for the key of every class.
    const general = (key: string): string => key.replace(/\.[a-z0-9_]+$/, ".CLASS");
    t.strictSame(
      keys.filter((key) => !declared.includes(key) && !declared.includes(general(key))),
      [],
      kind,
    );
  }
  const findings = await log.query<{ kind: string; keys: string[] }>(
    "SELECT FindingKind AS kind, groupUniqArrayArray(mapKeys(Detail)) AS keys FROM findings GROUP BY kind",
  );
  for (const { kind, keys } of findings) {
    t.ok(document.includes(`\n| \`${kind}\` | `), kind);
    t.strictSame(
      keys.filter((key) => !(key in FINDING_DETAIL)),
      [],
      kind,
    );
  }
}

/** Records under the newest checkpoint of a data directory. */
async function sizes(directory: string): Promise<{ records: number }> {
  return {
    records: Number(readFileSync(join(directory, "log/checkpoint"), "utf8").split("\n")[1]),
  };
}

/** An expression for another value of a column, whatever it holds. */
function another({ name, type }: Column): string {
  const column = `\`${name}\``;
  const of = (expression: string): string => `CAST(${expression} AS ${type})`;
  if (/^U?Int(8|16|32|64)$/.test(type)) return of(`bitXor(${column}, 1)`);
  const item = (element: string): string => of(`arrayMap(x -> ${element}, ${column})`);
  // Arrays of one Nested structure have equal lengths: an element is changed there, one is added elsewhere.
  const isNested = name.includes(".");
  switch (type) {
    case "Float32":
      return of(`${column} + 0.5`);
    case "String":
    case "LowCardinality(String)":
      return of(`concat(${column}, ' ')`);
    case "FixedString(16)":
      return of(
        `concat(substring(${column}, 1, 15), char(bitXor(ascii(substring(${column}, 16, 1)), 1)))`,
      );
    case "DateTime64(9)":
      return of(`addNanoseconds(${column}, 1)`);
    case "IPv6":
      return of("toIPv6('2001:db8::666')");
    case "Map(LowCardinality(String), String)":
      return of(
        `mapFromArrays(arrayPushBack(mapKeys(${column}), 'zz'), arrayPushBack(mapValues(${column}), ''))`,
      );
    case "Array(UInt32)":
      return item("bitXor(x, 1)");
    case "Array(UInt64)":
      return of(`arrayPushBack(${column}, 1)`);
    case "Array(DateTime64(9))":
      return item("addNanoseconds(x, 1)");
    case "Array(Map(LowCardinality(String), String))":
      return item("map('zz', '')");
    case "Array(String)":
    case "Array(LowCardinality(String))":
      return isNested ? item("concat(x, ' ')") : of(`arrayPushBack(${column}, '')`);
    default:
      throw new Error(`no other value for ${type}`);
  }
}

/** Each column is changed in another row, as many at a time as there are rows. */
async function changeEachColumn(
  t: Test,
  log: AttackedLog,
  { name, columns }: Table,
): Promise<void> {
  const rows = await log.indexes(name);
  for (let first = 0; first < columns.length; first += rows.length) {
    const some = columns.slice(first, first + rows.length);
    const changed = some.map(
      (column, i) =>
        `if(LeafIndex = ${rows[i]}, ${another(column)}, \`${column.name}\`) AS \`${column.name}\``,
    );
    await log.put(name, `SELECT * REPLACE (${changed.join(", ")}) FROM kept_${name}`);
    await log.finds(
      t,
      some.map((_, i) => ["row_changed", rows[i]!, name]),
      `${some[0]!.name} to ${some.at(-1)!.name}`,
      {},
      first === 0 ? MODES : MODES.slice(0, 1),
    );
  }
  await log.restore(name);
}

/** Rows that are deleted, doubled, added or moved. */
async function rowAttacks(t: Test, log: AttackedLog): Promise<void> {
  const names = ALL.map(({ name }) => name);
  const first = await Promise.all(names.map(async (name) => (await log.indexes(name))[0]!));
  const size = (await log.verify()).treeSize;
  const everywhere = (fault: NamedFault[0]): NamedFault[] =>
    names.map((name, i) => [fault, first[i]!, name]);

  await t.test("a row deleted from each table", async (t) => {
    for (const [i, name] of names.entries())
      await log.sql(`ALTER TABLE ${name} DELETE WHERE LeafIndex = ${first[i]}`);
    await log.finds(t, everywhere("row_missing"), "deleted");
    await log.restore(...names);
  });

  await t.test("a row doubled in each table", async (t) => {
    for (const [i, name] of names.entries())
      await log.sql(
        `INSERT INTO ${name} SELECT * FROM (SELECT * FROM kept_${name} WHERE LeafIndex = ${first[i]})`,
      );
    await log.finds(t, everywhere("row_duplicated"), "doubled");
    await log.restore(...names);
  });

  await t.test("a row added to each table, at the index of a sealed one", async (t) => {
    for (const [i, name] of names.entries())
      await log.sql(
        `INSERT INTO ${name} SELECT * REPLACE (Timestamp + 1 AS Timestamp) FROM (SELECT * FROM kept_${name} WHERE LeafIndex = ${first[i]})`,
      );
    await log.finds(t, everywhere("row_added"), "added at a used index");
    await log.restore(...names);
  });

  await t.test("a row added to each table, at the index of a record of another kind", async (t) => {
    const others = names.map((_, i) => first[(i + 1) % first.length]!);
    for (const [i, name] of names.entries())
      await log.sql(
        `INSERT INTO ${name} SELECT * REPLACE (${others[i]} AS LeafIndex) FROM (SELECT * FROM kept_${name} WHERE LeafIndex = ${first[i]})`,
      );
    await log.finds(
      t,
      names.map((name, i) => ["row_added", others[i]!, name]),
      "added in the wrong table",
    );
    await log.restore(...names);
  });

  await t.test("another row put where one was deleted", async (t) => {
    for (const [i, name] of names.entries())
      await log.put(
        name,
        `SELECT * REPLACE (if(LeafIndex = ${first[i]}, Timestamp + 1, Timestamp) AS Timestamp) FROM kept_${name}`,
      );
    await log.finds(t, everywhere("row_changed"), "put in its place");
    await log.restore(...names);
  });

  await t.test("a row added to each table, beyond the tree", async (t) => {
    for (const [i, name] of names.entries())
      await log.sql(
        `INSERT INTO ${name} SELECT * REPLACE (${size + 1000 * i} AS LeafIndex) FROM (SELECT * FROM kept_${name} WHERE LeafIndex = ${first[i]})`,
      );
    await log.finds(
      t,
      names.map((name, i) => ["row_added", size + 1000 * i, name]),
      "added beyond the tree",
    );
    await log.restore(...names);
  });

  await t.test(
    "a row added to each table under the name of another log, and one that loses its log",
    async (t) => {
      for (const [i, name] of names.entries())
        await log.sql(
          `INSERT INTO ${name} SELECT * REPLACE ('ffffffffffffffff' AS LogId) FROM (SELECT * FROM kept_${name} WHERE LeafIndex = ${first[i]})`,
        );
      await log.finds(
        t,
        names.map((name) => ["row_added", null, name]),
        "added for another log",
      );
      for (const [i, name] of names.entries())
        await log.put(
          name,
          `SELECT * REPLACE (if(LeafIndex = ${first[i]}, '', LogId) AS LogId) FROM kept_${name}`,
        );
      await log.finds(
        t,
        names.flatMap((name, i): NamedFault[] => [
          ["row_added", null, name],
          ["row_missing", first[i]!, name],
        ]),
        "taken from this log",
      );
      await log.restore(...names);
    },
  );

  await t.test("a row moved into quarantine is no fault, and a gap", async (t) => {
    const [index] = await log.indexes("otel_logs");
    const columns = TABLES.log.columns.map(({ name }) => `\`${name}\``).join(", ");
    const [moved] = await log.query<{ row: string; logId: string }>(
      `SELECT base64Encode(formatRow('RowBinary', ${columns})) AS row, LogId AS logId FROM otel_logs WHERE LeafIndex = ${index}`,
    );
    const path = join(log.data, "quarantine.jsonl");
    const before = existsSync(path) ? readFileSync(path, "utf8") : "";
    await log.sql(`ALTER TABLE otel_logs DELETE WHERE LeafIndex = ${index}`);
    for (const [what, row, expected, completeness] of [
      ["as it was sealed", moved!.row, [], "gaps"],
      ["as another one", "AQM=", [["row_missing", index!, "otel_logs"]], "ok"],
    ] as const) {
      const line = { ...moved, row, time: "", table: "otel_logs", leafIndex: index, reason: "" };
      writeFileSync(path, `${before}${JSON.stringify(line)}\n`);
      await log.finds(t, expected, what);
      // Without the findings, which are gaps of their own.
      const rows = log.rows();
      rows.findings = async () => ({});
      t.equal((await log.verify({ rows })).completeness, completeness, what);
    }
    writeFileSync(path, before);
    await log.restore("otel_logs");
  });

  await t.test("two rows that swap their places, in one table and between two", async (t) => {
    const swap = (a: number, b: number): string =>
      `if(LeafIndex = ${a}, ${b}, if(LeafIndex = ${b}, ${a}, LeafIndex))`;
    const [a, , , b] = await log.indexes("access_records");
    await log.put(
      "access_records",
      `SELECT * REPLACE (CAST(${swap(a!, b!)} AS UInt64) AS LeafIndex) FROM kept_access_records`,
    );
    await log.finds(
      t,
      [
        ["row_changed", a!, "access_records"],
        ["row_changed", b!, "access_records"],
      ],
      "in one table",
    );
    const [c] = await log.indexes("otel_logs");
    for (const name of ["access_records", "otel_logs"])
      await log.put(
        name,
        `SELECT * REPLACE (CAST(${swap(a!, c!)} AS UInt64) AS LeafIndex) FROM kept_${name}`,
      );
    await log.finds(
      t,
      [
        ["row_missing", a!, "access_records"],
        ["row_added", c!, "access_records"],
        ["row_missing", c!, "otel_logs"],
        ["row_added", a!, "otel_logs"],
      ],
      "between two",
    );
    await log.restore("access_records", "otel_logs");
  });

  await t.test("a map whose pairs change their order, though it says the same", async (t) => {
    const [row] = await log.indexes("otel_logs", "length(LogAttributes) > 1");
    const reversed =
      "mapFromArrays(arrayReverse(mapKeys(LogAttributes)), arrayReverse(mapValues(LogAttributes)))";
    await log.put(
      "otel_logs",
      `SELECT * REPLACE (CAST(if(LeafIndex = ${row}, ${reversed}, LogAttributes) AS Map(LowCardinality(String), String)) AS LogAttributes) FROM kept_otel_logs`,
    );
    await log.finds(t, [["row_changed", row!, "otel_logs"]], "reversed");
    await log.restore("otel_logs");
  });
}

/** Tables that are altered, exchanged or gone. */
async function tableAttacks(t: Test, log: AttackedLog): Promise<void> {
  const rowsOf = async (name: string, fault: NamedFault[0]): Promise<NamedFault[]> =>
    (await log.indexes(name)).map((leafIndex) => [fault, leafIndex, name]);

  await t.test("a column that is not sealed holds a value, in each table", async (t) => {
    const expected: NamedFault[] = [];
    for (const [i, { name }] of ALL.entries()) {
      const [row] = await log.indexes(name);
      const type = [
        "Nullable(String)",
        "UInt8",
        "Array(String)",
        "Map(String, String)",
        "Float64",
        "Enum8('a' = 0, 'b' = 1)",
      ][i]!;
      const value = ["''", "1", "['']", "map('', '')", "-0.", "'b'"][i]!;
      await log.sql(
        `ALTER TABLE ${name} ADD COLUMN Verdict ${type}`,
        `ALTER TABLE ${name} UPDATE Verdict = ${value} WHERE LeafIndex = ${row}`,
      );
      expected.push(["row_changed", row!, name]);
    }
    await log.finds(t, expected, "filled");
    await log.restore(...ALL.map(({ name }) => name));
  });

  await t.test("a column with a default that says something says it of every row", async (t) => {
    await log.sql("ALTER TABLE trace_links ADD COLUMN Verdict String DEFAULT 'harmless'");
    await log.finds(t, await rowsOf("trace_links", "row_changed"), "DEFAULT");
    await log.restore("trace_links");
  });

  await t.test("a column of another type shows the same bytes as another value", async (t) => {
    await log.sql(
      "ALTER TABLE access_records MODIFY COLUMN StatusCode Enum16('OK' = 403, 'Found' = 200)",
    );
    await log.finds(t, [["row_changed", null, "access_records"]], "Enum16");
    const { faults } = await log.verify();
    t.match(faults, [{ detail: /^the column StatusCode is of type Enum16.*, expected UInt16: / }]);
    await log.restore("access_records");
    await log.sql("ALTER TABLE otel_logs MODIFY COLUMN SeverityText String");
    await log.finds(
      t,
      [],
      "String for LowCardinality(String) is stored otherwise and says the same",
    );
    await log.restore("otel_logs");
  });

  await t.test("a column that is computed, dropped or renamed", async (t) => {
    const all = await rowsOf("trace_links", "row_changed");
    const altered: NamedFault = ["row_changed", null, "trace_links"];
    await log.sql(
      "ALTER TABLE trace_links DROP COLUMN Rule",
      "ALTER TABLE trace_links ADD COLUMN Rule LowCardinality(String) ALIAS 'span' AFTER TraceId",
    );
    await log.finds(t, [altered], "an ALIAS that gives what was sealed");
    await log.sql("ALTER TABLE trace_links MODIFY COLUMN Rule ALIAS 'parent'");
    await log.finds(t, [altered, ...all], "an ALIAS that gives something else");
    await log.sql("ALTER TABLE trace_links DROP COLUMN Rule");
    await log.finds(t, [altered, ...all], "dropped");
    await log.restore("trace_links");
    await log.sql("ALTER TABLE trace_links RENAME COLUMN Rule TO Because");
    await log.finds(t, [altered, ...all], "renamed");
    await log.restore("trace_links");
  });

  await t.test("a partition dropped", async (t) => {
    const [partition] = await log.query<{ id: string }>(
      "SELECT any(_partition_id) AS id FROM otel_logs",
    );
    await log.sql(`ALTER TABLE otel_logs DROP PARTITION ID '${partition!.id}'`);
    await log.finds(t, await rowsOf("otel_logs", "row_missing"), "dropped");
    await log.restore("otel_logs");
  });

  await t.test("each table dropped, and one renamed", async (t) => {
    for (const { name } of ALL) {
      await log.sql(`DROP TABLE ${name} SYNC`);
      await log.finds(
        t,
        [["row_missing", null, name], ...(await rowsOf(name, "row_missing"))],
        `${name} dropped`,
        {},
        name === "otel_logs" ? MODES : MODES.slice(0, 1),
      );
      await log.restore(name);
    }
    await log.sql("RENAME TABLE findings TO found");
    await log.finds(
      t,
      [["row_missing", null, "findings"], ...(await rowsOf("findings", "row_missing"))],
      "renamed",
    );
    await log.sql("DROP TABLE found SYNC");
    await log.restore("findings");
    await log.sql("DROP TABLE checkpoints SYNC");
    await log.finds(t, [["checkpoint_invalid", null, "checkpoints"]], "checkpoints dropped");
    await log.restore("checkpoints");
    for (const { name } of ALL) await log.sql(`DROP TABLE ${name} SYNC`);
    const { faultCount, treeSize } = await log.verify();
    t.equal(faultCount, ALL.length + treeSize, "all dropped");
    await log.restore(...ALL.map(({ name }) => name));
  });

  await t.test("two tables exchanged, and one exchanged with a copy that was edited", async (t) => {
    await log.sql("EXCHANGE TABLES findings AND control_records");
    const report = await log.verify();
    const faults = namedFaults(report);
    for (const name of ["findings", "control_records"]) {
      for (const index of await log.indexes(name))
        t.ok(faults.includes(`row_missing,${index},${name}`), `${index}`);
      t.ok(faults.includes(`row_changed,,${name}`), `${name} has other columns`);
    }
    await log.sql("EXCHANGE TABLES findings AND control_records");
    await log.finds(t, [], "exchanged back");

    const [row] = await log.indexes("access_records");
    await log.sql(
      "CREATE TABLE edited AS access_records",
      `INSERT INTO edited SELECT * REPLACE (if(LeafIndex = ${row}, 'allowed', Decision) AS Decision) FROM access_records`,
      "EXCHANGE TABLES access_records AND edited",
      "DROP TABLE edited SYNC",
    );
    await log.finds(t, [["row_changed", row!, "access_records"]], "edited copy");
    await log.restore("access_records");
  });

  await t.test("a view in the place of a table", async (t) => {
    const [row] = await log.indexes("findings");
    await log.sql(
      "DROP TABLE findings SYNC",
      `CREATE VIEW findings AS SELECT * FROM kept_findings WHERE LeafIndex != ${row}`,
    );
    await log.finds(t, [["row_missing", row!, "findings"]], "that hides a row");
    await log.restore("findings");
  });

  await t.test("a view that answers others otherwise is not found", async (t) => {
    await log.sql(
      "DROP TABLE findings SYNC",
      `CREATE VIEW findings AS SELECT * REPLACE (if(currentUser() = 'writer', State, 'resolved') AS State) FROM kept_findings`,
    );
    const states = await log.query<{ state: string }>(
      "SELECT DISTINCT State AS state FROM findings",
    );
    t.strictSame(states, [{ state: "resolved" }], "what the administrator sees");
    await log.finds(t, [], "what verification sees");
    await log.sql("DROP TABLE findings SYNC");
    await log.restore("findings");
  });
}

/** Checkpoints in the store that were forged. */
async function storedCheckpointAttacks(t: Test, log: AttackedLog, older: string): Promise<void> {
  await t.test("a checkpoint in the store that is forged, or of another log", async (t) => {
    const note = readFileSync(join(log.data, "log/checkpoint"), "utf8");
    const old = readFileSync(join(older, "log/checkpoint"), "utf8");
    const stranger = signerOf(ORIGIN);
    const size = Number(note.split("\n")[1]);
    const root = Buffer.alloc(32, 7);
    for (const [what, treeSize, forged] of [
      [
        "signed by another key",
        size - 1,
        await signNote(formatCheckpoint({ origin: ORIGIN, size: size - 1, root }), [
          stranger.signer,
        ]),
      ],
      [
        "over a tree that never was, by the log's own key",
        size - 1,
        await signNote(formatCheckpoint({ origin: ORIGIN, size: size - 1, root }), [
          signerOf(ORIGIN, log.data).signer,
        ]),
      ],
      ["under another size", size - 1, old],
      ["with a byte that was changed", size, note.replace(/.\n$/, "A\n")],
      ["that is none", 7, "nothing"],
    ] as const) {
      await log.sql(
        `INSERT INTO checkpoints SELECT * REPLACE (CAST(${treeSize} AS UInt64) AS TreeSize, '${forged}' AS Note) FROM kept_checkpoints LIMIT 1`,
      );
      await log.finds(t, [["checkpoint_invalid", null, "checkpoints"]], what);
      await log.restore("checkpoints");
    }
    const ahead = { origin: ORIGIN, size: size + 1, root };
    await log.sql(
      `INSERT INTO checkpoints SELECT * REPLACE (CAST(${size + 1} AS UInt64) AS TreeSize, '${await signNote(formatCheckpoint(ahead), [signerOf(ORIGIN, log.data).signer])}' AS Note) FROM kept_checkpoints LIMIT 1`,
    );
    await log.finds(t, [["checkpoint_rolled_back", null, "checkpoints"]], "of more records");
    await log.restore("checkpoints");
  });
}

/** Files below log/, and those beside it that verification reads. */
/** A file of holes: it takes no room on the disk. */
const LARGER_THAN_MEMORY = 2 ** 42;

async function fileAttacks(t: Test, log: AttackedLog): Promise<void> {
  const logDirectory = join(log.data, "log");
  const file = (path: string): string => join(logDirectory, path);
  const size = (await log.verify()).treeSize;
  const inTree = [0, 1].flatMap((level) =>
    Array.from({ length: Math.ceil(size / 256 ** (level + 1)) }, (_, index) =>
      formatTilePath({ level, index, width: tileWidth(size, level, index) }),
    ),
  );
  const bundles = Array.from({ length: Math.ceil(size / 256) }, (_, index) =>
    formatTilePath({ level: "entries", index, width: tileWidth(size, 0, index) }),
  );
  /** Verifies with one file changed. */
  const changed = async (
    path: string,
    change: (bytes: Buffer) => Uint8Array | null,
    options: Partial<VerifyOptions> = {},
  ): Promise<string[]> => {
    const bytes = readFileSync(file(path));
    const other = change(Buffer.from(bytes));
    if (other === null) rmSync(file(path));
    else writeFileSync(file(path), other);
    try {
      return namedFaults(await log.verify(options));
    } finally {
      rmSync(file(path), { force: true });
      writeFileSync(file(path), bytes);
    }
  };
  const flipped =
    (at: number, bit: number) =>
    (bytes: Buffer): Buffer => {
      bytes[at]! ^= 1 << bit;
      return bytes;
    };

  await t.test(
    "a bit of a bundle names its record, one of a tile the tile, one of the checkpoint the checkpoint",
    async (t) => {
      for (const [index, path] of bundles.entries()) {
        const { size: length } = statSync(file(path));
        for (const at of [0, 1, 2, 3, 4, 35, 36, 37, Math.floor(length / 2), length - 1]) {
          const options = at === 4 ? {} : LOG_ONLY;
          t.strictSame(
            await changed(path, flipped(at, at % 8), options),
            [`entry_changed,${index * 256 + Math.floor(at / 36)},`],
            `${path} byte ${at}`,
          );
        }
      }
      for (const path of inTree) {
        const { size: length } = statSync(file(path));
        for (const at of [0, 31, 32, Math.floor(length / 2), length - 1])
          t.strictSame(
            await changed(path, flipped(at, at % 8), at === 0 ? {} : LOG_ONLY),
            ["tile_changed,,"],
            `${path} byte ${at}`,
          );
      }
      const note = readFileSync(file("checkpoint"));
      for (let at = 0; at < note.length; at += 5)
        t.strictSame(
          await changed("checkpoint", flipped(at, at % 7), LOG_ONLY),
          ["checkpoint_invalid,,"],
          `checkpoint byte ${at}`,
        );
    },
  );

  await t.test("files that are cut, emptied, gone, or something else", async (t) => {
    for (const path of [...bundles, ...inTree, "checkpoint"]) {
      const isBundle = path.startsWith("tile/entries");
      const fault =
        path === "checkpoint" ? "checkpoint_invalid" : isBundle ? "entry_changed" : "tile_changed";
      for (const [what, change] of [
        ["a byte too few", (bytes: Buffer) => bytes.subarray(0, -1)],
        ["half of it", (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
        ["nothing", () => Buffer.alloc(0)],
        ["a byte too many", (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)])],
      ] as const) {
        const found = await changed(path, change, LOG_ONLY);
        t.ok(
          found.length === 1 && found[0]!.startsWith(fault),
          `${path}, ${what}: ${found.join(" ")}`,
        );
      }
      t.strictSame(
        await changed(path, () => null),
        [path === "checkpoint" ? "checkpoint_invalid,," : "tile_missing,,"],
        `${path} gone`,
      );
    }
    const bytes = readFileSync(file(bundles[0]!));
    rmSync(file(bundles[0]!));
    mkdirSync(file(bundles[0]!));
    t.strictSame(namedFaults(await log.verify()), ["tile_missing,,"], "a directory");
    rmSync(file(bundles[0]!), { recursive: true });
    writeFileSync(file(bundles[0]!), bytes);
    truncateSync(file(bundles[0]!), LARGER_THAN_MEMORY);
    const [fault, ...others] = namedFaults(await log.verify());
    t.match(fault, /^entry_changed,/, "a file that is larger than memory");
    t.strictSame(others, []);
    writeFileSync(file(bundles[0]!), bytes);
  });

  await t.test("entries that change places, and bundles that do", async (t) => {
    t.strictSame(
      await changed(bundles[0]!, (bytes) =>
        Buffer.concat([
          bytes.subarray(0, 36),
          bytes.subarray(72, 108),
          bytes.subarray(36, 72),
          bytes.subarray(108),
        ]),
      ),
      ["entry_changed,1,", "entry_changed,2,"],
    );
    const [a, b] = [bundles[0]!, bundles[1]!].map((path) => readFileSync(file(path)));
    writeFileSync(file(bundles[0]!), b!);
    const found = await changed(bundles[1]!, () => a!);
    writeFileSync(file(bundles[0]!), a!);
    t.equal(found.length, 512);
    t.ok(found.every((fault) => fault.startsWith("entry_changed,")));
  });

  await t.test(
    "row, entry and leaf tile forged together are found by the tile above",
    async (t) => {
      const [row] = await log.indexes("access_records", "LeafIndex < 256");
      const { rowHash } = await forgedRow(log, row!);
      const bundle = readFileSync(file(bundles[0]!));
      const forged = Buffer.from(bundle);
      rowHash.copy(forged, row! * 36 + 4);
      writeFileSync(file(bundles[0]!), forged);
      const leaf = Buffer.from(leafHash(forged.subarray(row! * 36 + 2, row! * 36 + 36)));
      const found = await changed(inTree[0]!, (bytes) => {
        leaf.copy(bytes, row! * 32);
        return bytes;
      });
      t.strictSame(found, ["entry_changed,0,"], "of the records 0 to 255 something was changed");
      writeFileSync(file(bundles[0]!), bundle);
      await log.restore("access_records");
      await log.finds(t, [], "put back");
    },
  );

  await t.test("the LogId of all rows, and of the directory", async (t) => {
    const path = join(log.data, "state/log-id");
    const logId = readFileSync(path, "utf8");
    writeFileSync(path, "0123456789abcdef\n");
    for (const { name } of ALL)
      await log.put(name, `SELECT * REPLACE ('0123456789abcdef' AS LogId) FROM kept_${name}`);
    await log.finds(t, [["row_changed", 0, null]], "another LogId");
    await log.restore(...ALL.map(({ name }) => name));
    writeFileSync(path, logId);
  });

  await t.test(
    "a row that is in the journal alone counts as present, and a changed one there does not",
    async (t) => {
      const rows = (await log.indexes("otel_logs")).slice(-2);
      await log.put(
        "otel_logs",
        `SELECT * FROM kept_otel_logs WHERE LeafIndex NOT IN (${rows.join(", ")})`,
      );
      await log.finds(
        t,
        rows.map((row) => ["row_missing", row, "otel_logs"]),
        "the store is known to have had them",
      );
      const mark = join(log.data, "state/stored");
      const through = readFileSync(mark);
      writeFileSync(mark, "0\n");
      await log.finds(t, [], "not known: the next start stores them again");
      const journal = join(log.data, "journal");
      const segment = join(
        journal,
        readdirSync(journal)
          .filter((name) => statSync(join(journal, name)).size > 0)
          .sort()
          .at(-1)!,
      );
      const bytes = readFileSync(segment);
      const [kept] = await log.query<{ salt: string }>(
        `SELECT hex(Salt) AS salt FROM kept_otel_logs WHERE LeafIndex = ${rows[1]}`,
      );
      const at = bytes.indexOf(Buffer.from(kept!.salt, "hex"));
      t.ok(at > 0, "the row is there");
      writeFileSync(segment, flipped(at, 3)(Buffer.from(bytes)));
      const found = namedFaults(await log.verify());
      t.ok(found.includes(`row_missing,${rows[1]},otel_logs`), found.join(" "));
      t.ok(found.every((fault) => rows.some((row) => fault === `row_missing,${row},otel_logs`)));
      writeFileSync(segment, bytes);
      writeFileSync(mark, through);
      await log.restore("otel_logs");
    },
  );
}

/** Another row at `index` of access_records, and what an entry would have to say of it. */
async function forgedRow(log: AttackedLog, index: number): Promise<{ rowHash: Buffer }> {
  await log.put(
    "access_records",
    `SELECT * REPLACE (if(LeafIndex = ${index}, 'forged', Decision) AS Decision) FROM kept_access_records`,
  );
  const columns = TABLES.access.columns.map(({ name }) => `\`${name}\``).join(", ");
  const [hashed] = await log.query<{ hash: string }>(
    `SELECT hex(SHA256(formatRow('RowBinary', ${columns}))) AS hash FROM access_records WHERE LeafIndex = ${index}`,
  );
  return { rowHash: Buffer.from(hashed!.hash, "hex") };
}

/** Older copies that are put back. */
async function oldCopies(
  t: Test,
  log: AttackedLog,
  { older, pristine }: { older: string; pristine: string },
): Promise<void> {
  const note = readFileSync(join(pristine, "log/checkpoint"), "utf8");
  const old = readFileSync(join(older, "log/checkpoint"), "utf8");
  const [size, oldSize] = [note, old].map((text) => Number(text.split("\n")[1])) as [
    number,
    number,
  ];
  const logDirectory = join(log.data, "log");
  const putLog = (from: string): void => {
    rmSync(logDirectory, { recursive: true });
    cpSync(join(from, "log"), logDirectory, { recursive: true });
  };
  const kept = { expected: [{ name: "the expected checkpoint", note }] };
  const rolledBack: NamedFault = ["checkpoint_rolled_back", null, null];
  const newer = `SELECT TreeSize AS leaf FROM kept_checkpoints WHERE TreeSize > ${oldSize}`;
  const stored = (await log.indexesOf(newer)).map((): NamedFault => [
    "checkpoint_rolled_back",
    null,
    "checkpoints",
  ]);
  const beyond: NamedFault[] = [];
  for (const { name } of ALL)
    for (const index of await log.indexes(name, `LeafIndex >= ${oldSize}`))
      beyond.push(["row_added", index, name]);

  await t.test(
    "the checkpoint replayed, then the log, and what stands beside them put back",
    async (t) => {
      t.ok(stored.length > 0 && beyond.length === size - oldSize);
      writeFileSync(join(logDirectory, "checkpoint"), old);
      await log.finds(t, stored, "the checkpoint alone");
      putLog(older);
      await log.finds(t, stored, "the log");
      const journal = join(log.data, "journal");
      rmSync(journal, { recursive: true });
      cpSync(join(older, "journal"), journal, { recursive: true });
      await log.finds(t, [...stored, ...beyond], "the log and the journal");
      await log.put("checkpoints", `SELECT * FROM kept_checkpoints WHERE TreeSize <= ${oldSize}`);
      await log.finds(t, beyond, "these, and the checkpoints in the store");
      await log.finds(t, [rolledBack, ...beyond], "with a checkpoint that was kept", kept);
    },
  );

  await t.test(
    "an old, consistent copy of everything is found by a checkpoint that was kept, and by nothing else",
    async (t) => {
      for (const { name } of ALL)
        await log.put(name, `SELECT * FROM kept_${name} WHERE LeafIndex < ${oldSize}`);
      await log.finds(t, [], "nothing within it shows it");
      await log.finds(t, [rolledBack], "--expect-checkpoint", kept);
      await log.finds(t, [rolledBack], "--incremental", {
        since: kept.expected[0]!,
      });
      putLog(pristine);
      rmSync(join(log.data, "journal"), { recursive: true });
      cpSync(join(pristine, "journal"), join(log.data, "journal"), { recursive: true });
      await log.restore(...ALL.map(({ name }) => name), "checkpoints");
      await log.finds(t, [], "put back", kept);
    },
  );
}

/** Histories that were written anew. */
async function otherHistories(t: Test, log: AttackedLog, pristine: string): Promise<void> {
  const logDirectory = join(log.data, "log");
  const note = readFileSync(join(logDirectory, "checkpoint"), "utf8");
  const kept = { expected: [{ name: "the expected checkpoint", note }] };
  const putBack = async (): Promise<void> => {
    rmSync(logDirectory, { recursive: true });
    cpSync(join(pristine, "log"), logDirectory, { recursive: true });
    await log.restore("access_records", "checkpoints");
    await log.finds(t, [], "put back", kept);
  };
  const putCheckpoint = (forged: string): Promise<void> =>
    log.put(
      "checkpoints",
      `SELECT * REPLACE ('${forged}' AS Note) FROM kept_checkpoints ORDER BY TreeSize DESC LIMIT 1`,
    );
  const [row] = await log.indexes("access_records");

  await t.test(
    "a history written anew with the log's key is found by a checkpoint that was kept, and by nothing else",
    async (t) => {
      const { rowHash } = await forgedRow(log, row!);
      const { signer } = signerOf(ORIGIN, log.data);
      const forged = await newHistory(
        logDirectory,
        signer,
        new Map([[row!, { kind: 1, rowHash }]]),
      );
      t.ok(
        (await log.verify()).faults.some(
          ({ fault, table }) => fault === "checkpoint_invalid" && table === "checkpoints",
        ),
        "the store's checkpoints, where they were left",
      );
      await putCheckpoint(forged);
      await log.finds(t, [], "nothing within it shows it");
      await log.finds(t, [["checkpoint_invalid", null, null]], "--expect-checkpoint", kept);
      await log.finds(t, [["checkpoint_invalid", null, null]], "--incremental", {
        since: kept.expected[0]!,
      });
      await putBack();
    },
  );

  await t.test("a log that another key signed is found by whoever knows the key", async (t) => {
    const stranger = signerOf(ORIGIN);
    const { rowHash } = await forgedRow(log, row!);
    const forged = await newHistory(
      logDirectory,
      stranger.signer,
      new Map([[row!, { kind: 1, rowHash }]]),
    );
    await putCheckpoint(forged);
    await log.finds(t, [], "whoever takes the key beside the log sees nothing", {
      keys: [stranger.key],
    });
    const report: Report = await log.verify();
    t.strictSame(new Set(report.faults.map(({ fault }) => fault)), new Set(["checkpoint_invalid"]));
    t.equal(report.checkpoint, null, "nothing else is said");
    await putBack();
  });

  await t.test("a stranger's signature beside the log's own is passed over", async (t) => {
    const stranger = await signNote(note.slice(0, note.indexOf("\n\n") + 1), [
      signerOf("stranger.test/mesh").signer,
    ]);
    writeFileSync(
      join(logDirectory, "checkpoint"),
      note + stranger.slice(stranger.indexOf("\n\n") + 2),
    );
    await log.finds(t, [], "two signatures");
    await putBack();
  });
}
