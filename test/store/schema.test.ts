import assert from "node:assert";
import t from "tap";
import { silentLogger } from "../../src/core/logger.ts";
import { PLACE_COLUMNS, TABLES } from "../../src/records/columns.ts";
import { grantStatements } from "../../src/store/grants.ts";
import { partitionKey } from "../../src/store/layout.ts";
import { migrate } from "../../src/store/migrations.ts";
import {
  createStatements,
  insertColumns,
  rowHashExpression,
  tableShapes,
} from "../../src/store/schema.ts";
import { qualify, quoteIdentifier, quoteLiteral } from "../../src/store/sql.ts";
import { missing, startTestServer } from "./server.ts";

const RETENTION = { default: 395, brief: 7, "it's": 60, "a\\b": 61 };

t.test("names and texts cannot end their quotes", async (t) => {
  t.equal(quoteIdentifier("a`b\\c"), "`a\\`b\\\\c`");
  t.equal(quoteLiteral("a'b\\c"), "'a\\'b\\\\c'");
  t.equal(qualify("o`", "t"), "`o\\``.`t`");
});

t.test(
  "classes kept for 60 days or less are partitioned by day, the others by month",
  async (t) => {
    t.equal(
      partitionKey("received", RETENTION),
      "(RetentionClass, if(RetentionClass IN ('brief', 'it\\'s'), toYYYYMMDD(ReceivedTimestamp, 'UTC'), toYYYYMM(ReceivedTimestamp, 'UTC')))",
    );
    t.equal(
      partitionKey("received", { default: 395 }),
      "(RetentionClass, toYYYYMM(ReceivedTimestamp, 'UTC'))",
    );
    t.equal(partitionKey("event", RETENTION), "toYYYYMM(Timestamp, 'UTC')");
  },
);

t.test(
  "every sealed table is created with its place columns and its row columns in order, without a TTL",
  async (t) => {
    const statements = createStatements({ database: "otel", retention: RETENTION });
    for (const table of Object.values(TABLES)) {
      const statement = statements.find((text) =>
        text.startsWith(`CREATE TABLE IF NOT EXISTS \`otel\`.\`${table.name}\``),
      )!;
      t.ok(statement, table.name);
      const names = [...statement.matchAll(/^ {2}`([^`]+)` (?!.* ALIAS )/gm)].map(
        (match) => match[1],
      );
      t.same(
        names,
        [...PLACE_COLUMNS, ...table.columns].map((column) => column.name),
        table.name,
      );
      t.match(
        statement,
        /fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000/,
      );
      t.match(statement, /`Salt` FixedString\(16\) COMMENT '.*' CODEC\(NONE\)/);
      t.match(statement, /INDEX idx_leaf_index LeafIndex TYPE minmax/);
      t.notMatch(statement, /\bTTL\b/);
    }
  },
);

t.test("on a cluster each table is replicated behind a distributed one", async (t) => {
  const statements = createStatements({ database: "otel", cluster: "main", retention: RETENTION });
  t.ok(statements.every((text) => text.includes("ON CLUSTER `main`")));
  const text = statements.join("\n");
  for (const { name } of tableShapes()) {
    t.match(text, `CREATE TABLE IF NOT EXISTS \`otel\`.\`${name}_local\` ON CLUSTER`);
    t.match(text, `ENGINE = Distributed('main', 'otel', '${name}_local', `);
  }
  t.match(text, "ReplicatedAggregatingMergeTree");
  t.match(
    text,
    "TO `otel`.`otel_traces_trace_id_ts_local` AS",
    "the view fills the local table from the local table",
  );
  t.match(text, "FROM `otel`.`otel_traces_local`");
  t.notMatch(text, /rand\(/, "a resent batch reaches the same shard");
});

t.test(
  "the SQL that hashes a row names the sealed columns in order and not their place",
  async (t) => {
    const expression = rowHashExpression(TABLES.span);
    t.match(
      expression,
      /^SHA256\(formatRow\('RowBinary', `LeafVersion`, `Kind`, `Salt`, .*`Events.Timestamp`, .*`Links.TraceFlags`\)\)$/,
    );
    t.notMatch(expression, /LeafIndex|LogId/);
  },
);

const server = await startTestServer();
t.teardown(() => server?.stop());

t.test("on a ClickHouse server", { skip: missing(server) }, async (t) => {
  assert(server !== undefined);

  await t.test("migrating twice, and twice at once, changes nothing", async (t) => {
    const client = await server.tables(t);
    const { database } = server;
    const read = () =>
      client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = {database:String} ORDER BY name",
        { database },
      );
    const before = await read();
    const options = { database, retention: { default: 395 }, logger: silentLogger };
    await Promise.all([migrate(client, options), migrate(client, options)]);
    t.same(await read(), before);
    t.equal(before.length, tableShapes().length + 1);
  });

  await t.test("two replicas that start at once on an empty server both succeed", async (t) => {
    const { database } = server;
    const clients = [1, 2, 3].map(() => server.client(t, "admin"));
    t.after(() => clients[0]!.command(`DROP DATABASE IF EXISTS ${quoteIdentifier(database)} SYNC`));
    await Promise.all(
      clients.map((client) =>
        migrate(client, { database, retention: RETENTION, logger: silentLogger }),
      ),
    );
    t.pass();
  });

  await t.test(
    "a table of an older version gets the columns that are behind, and keeps its rows",
    async (t) => {
      const client = await server.tables(t);
      const { database } = server;
      await client.command("ALTER TABLE otel_logs DROP COLUMN FlagsRaw");
      await client.command("ALTER TABLE otel_logs DROP COLUMN DroppedAttributesCount");
      await client.command(
        "INSERT INTO otel_logs (LogId, LeafIndex, Body) VALUES ('a', 7, 'kept')",
      );
      await migrate(client, { database, retention: { default: 395 }, logger: silentLogger });
      t.same(
        await client.query(
          "SELECT LeafIndex, Body, DroppedAttributesCount, FlagsRaw FROM otel_logs",
        ),
        [{ LeafIndex: "7", Body: "kept", DroppedAttributesCount: 0, FlagsRaw: 0 }],
      );
      const columns = await client.query<{ name: string }>(
        "SELECT name FROM system.columns WHERE database = {database:String} AND table = 'otel_logs' AND default_kind = '' ORDER BY position",
        { database },
      );
      t.same(
        columns.map(({ name }) => name),
        insertColumns(TABLES.log).map(({ name }) => name),
      );
    },
  );

  await t.test("a column of another type is named with what was expected and found", async (t) => {
    const client = await server.tables(t);
    const { database } = server;
    await client.command("ALTER TABLE findings MODIFY COLUMN Message LowCardinality(String)");
    await t.rejects(
      migrate(client, { database, retention: { default: 395 }, logger: silentLogger }),
      {
        code: "SCHEMA_MISMATCH",
        message: `${database}.findings, column 12: expected \`Message\` String, found \`Message\` LowCardinality(String); meshproof needs a database of its own`,
      },
    );
  });

  await t.test("another program's table of the same name is refused, not changed", async (t) => {
    const client = await server.tables(t);
    const { database } = server;
    await client.command("DROP TABLE otel_traces SYNC");
    await client.command(
      "CREATE TABLE otel_traces (Timestamp DateTime64(9), TraceId String) ENGINE = MergeTree ORDER BY Timestamp",
    );
    await t.rejects(
      migrate(client, { database, retention: { default: 395 }, logger: silentLogger }),
      {
        code: "SCHEMA_MISMATCH",
        message: /otel_traces, column 1: expected `LogId` .* found `Timestamp`/,
      },
    );
    t.equal(
      (
        await client.query(
          "SELECT name FROM system.columns WHERE database = {database:String} AND table = 'otel_traces'",
          { database },
        )
      ).length,
      2,
    );
  });

  await t.test("columns that somebody computes from ours are no fault", async (t) => {
    const client = await server.tables(t);
    const { database } = server;
    await client.command(
      "ALTER TABLE access_records ADD COLUMN Team String MATERIALIZED LocalNamespace FIRST",
    );
    await migrate(client, { database, retention: { default: 395 }, logger: silentLogger });
    t.pass();
  });

  await t.test("a server without text indexes gets bloom filters", async (t) => {
    const { database } = server;
    const client = server.client(t, "admin");
    t.after(() => client.command(`DROP DATABASE ${quoteIdentifier(database)} SYNC`));
    for (const statement of createStatements({
      database,
      retention: RETENTION,
      textIndexes: false,
    }))
      await client.command(statement);
    const types = await client.query<{ type: string }>(
      "SELECT DISTINCT type FROM system.data_skipping_indices WHERE database = {database:String} ORDER BY type",
      { database },
    );
    t.same(
      types.map(({ type }) => type),
      ["bloom_filter", "minmax", "tokenbf_v1"],
    );
  });

  await t.test("the administrator's role has a grant for each engine that is used", async (t) => {
    const tableEngines = await server
      .client(t, "admin")
      .query<{ name: string }>("SELECT name FROM system.table_engines");
    const grantable = new Set(tableEngines.map(({ name }) => name));
    for (const target of [{ database: "otel" }, { database: "otel", cluster: "main" }]) {
      const text = createStatements({ ...target, retention: RETENTION }).join("\n");
      const engines = new Set([...text.matchAll(/ENGINE = (\w+)/g)].map(([, engine]) => engine!));
      const granted = grantStatements(target).flatMap(
        (statement) => /TABLE ENGINE ON (\w+) TO meshproof_admin$/.exec(statement)?.[1] ?? [],
      );
      t.same(granted.sort(), [...engines].sort());
      for (const engine of engines) t.ok(grantable.has(engine), `GRANT refuses others: ${engine}`);
    }
  });

  await t.test("statements for clusters and roles are sound SQL", async (t) => {
    const client = server.client(t, "admin");
    const statements = [
      ...createStatements({ database: "otel", cluster: "main", retention: RETENTION }),
      ...grantStatements({ database: "otel" }),
      ...grantStatements({ database: "otel", cluster: "main" }),
    ];
    for (const statement of statements)
      await client.query("SELECT formatQuery({statement:String})", { statement });
    t.pass();
  });

  await t.test(
    "Grafana's lookup of a trace's times works, and odd event times make no partitions",
    async (t) => {
      const client = await server.tables(t, { default: 395, brief: 7 });
      const { database } = server;
      const insert =
        "INSERT INTO otel_traces (LogId, LeafIndex, RetentionClass, ReceivedTimestamp, Timestamp, TraceId) VALUES";
      await client.command(`${insert} ('a', 0, 'default', '2026-11-01 10:00:00', '2026-11-01 09:00:00.5', 't1'), ('a', 1, 'default', '2026-11-01 10:00:00', '1970-01-01 00:00:01', 't2'),
      ('a', 2, 'default', '2026-11-01 10:00:00', '2105-01-01 00:00:00', 't3'), ('a', 3, 'brief', '2026-11-01 10:00:00', '2026-11-01 09:00:09', 't4')`);
      await client.command(
        `${insert} ('a', 4, 'default', '2026-11-02 10:00:00', '2026-11-01 09:00:03.5', 't1')`,
      );
      t.same(
        await client.query(
          "SELECT min(Start) AS Start, max(End) AS End FROM otel_traces_trace_id_ts WHERE TraceId = 't1'",
        ),
        [{ Start: "2026-11-01 09:00:00", End: "2026-11-01 09:00:03" }],
      );
      for (const table of ["otel_traces", "otel_traces_trace_id_ts"]) {
        const partitions = await client.query<{ partition: string }>(
          "SELECT DISTINCT partition FROM system.parts WHERE database = {database:String} AND table = {table:String} AND active ORDER BY partition",
          { database, table },
        );
        t.same(
          partitions.map(({ partition }) => partition),
          ["('brief',20261101)", "('default',202611)"],
          table,
        );
      }
      t.same(
        await client.query("SELECT TimestampTime FROM otel_logs"),
        [],
        "the exporter's older time column can be asked for",
      );
    },
  );
});
