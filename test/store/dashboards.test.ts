import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { TABLES } from "../../src/records/columns.ts";
import { missing, startTestServer } from "./server.ts";

const DASHBOARDS = resolve(import.meta.dirname, "../../dashboards");

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly rawSql: string }[];
  }[];
}

/** `$__timeFilter(column)` as Grafana's ClickHouse data source expands it, for the last hour. */
function expand(sql: string): string {
  const now = Math.floor(Date.now() / 1000);
  return sql.replaceAll(
    /\$__timeFilter\((\w+)\)/g,
    (_, column: string) =>
      `${column} >= toDateTime(${now - 3600}) AND ${column} <= toDateTime(${now + 60})`,
  );
}

const server = await startTestServer();
t.teardown(() => server?.stop());

t.test("every panel's query runs as the reader", { skip: missing(server) }, async (t) => {
  const admin = await server!.tables(t);
  const rows = {
    access_records:
      "Timestamp, ReceivedTimestamp, Actor, ServiceName, Decision, Policy, DurationNs) VALUES (now64(9), now64(9), 'a', 's', 'denied', 'p', 5000000)",
    findings:
      "Timestamp, FindingKind, State, Subject) VALUES (now64(9), 'rejected_record', 'open', 'x')",
    checkpoints:
      "LogId, TreeSize, RootHash, Note, PublishedAt) VALUES ('l', 1, 'r', 'n', now64(9))",
  };
  for (const [table, values] of Object.entries(rows)) {
    await admin.command(`INSERT INTO ${server!.database}.${table} (${values}`);
  }
  const reader = server!.client(t, "reader");
  const known = new Set([...Object.values(TABLES).map(({ name }) => name), "checkpoints"]);
  for (const file of readdirSync(DASHBOARDS).filter((name) => name.endsWith(".json"))) {
    const { panels } = JSON.parse(readFileSync(join(DASHBOARDS, file), "utf8")) as Dashboard;
    t.ok(panels.length > 0, file);
    for (const { title, targets } of panels) {
      for (const { rawSql } of targets) {
        t.ok(
          known.has(/FROM otel\.(\w+)/.exec(rawSql)?.[1] ?? ""),
          `${title} reads a table of ours`,
        );
        const found = await reader.query(expand(rawSql));
        t.equal(found.length, 1, `${title} finds the row`);
      }
    }
  }
});
