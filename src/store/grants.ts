import { READER_EXECUTION_SECONDS } from "./engine-config.ts";
import { onCluster } from "./schema.ts";
import { quoteIdentifier } from "./sql.ts";

/** The roles that a remote server needs. Users get them by `GRANT meshproof_writer TO …`. */
export const ROLES = {
  admin: "meshproof_admin",
  writer: "meshproof_writer",
  reader: "meshproof_reader",
} as const;

/** The engines of our tables. */
function enginesOf(cluster: string | undefined): readonly string[] {
  const families = ["MergeTree", "AggregatingMergeTree"];
  return cluster === undefined
    ? families
    : [...families.map((family) => `Replicated${family}`), "Distributed"];
}

/**
 * The statements that make the three roles on a remote server, as the embedded one has them as users:
 * `admin` creates tables, drops expired partitions and erases, `writer` inserts and reads but changes nothing, `reader` (Grafana, people) reads within limits.
 * They name no password and no user.
 */
export function grantStatements({
  database,
  cluster,
}: {
  readonly database: string;
  readonly cluster?: string;
}): readonly string[] {
  const on = onCluster(cluster);
  const everything = `${quoteIdentifier(database)}.*`;
  const profile = "meshproof_reader_limits";
  const seconds = READER_EXECUTION_SECONDS;
  return [
    ...Object.values(ROLES).map((role) => `CREATE ROLE IF NOT EXISTS ${role}${on}`),
    `GRANT${on} CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, DROP TABLE, TRUNCATE, OPTIMIZE, SELECT, INSERT, SHOW ON ${everything} TO ${ROLES.admin}`,
    // A server may want one for each engine (table_engines_require_grant).
    ...enginesOf(cluster).map((engine) => `GRANT${on} TABLE ENGINE ON ${engine} TO ${ROLES.admin}`),
    `GRANT${on} SELECT ON system.columns TO ${ROLES.admin}, ${ROLES.writer}`,
    // Which partitions are over, and whether a deletion has come to its end.
    `GRANT${on} SELECT ON system.parts TO ${ROLES.admin}`,
    `GRANT${on} SELECT ON system.mutations TO ${ROLES.admin}`,
    `GRANT${on} INSERT, SELECT ON ${everything} TO ${ROLES.writer}`,
    // To see that an INSERT whose connection was lost has come to its end.
    `GRANT${on} SELECT ON system.processes TO ${ROLES.writer}`,
    ...(cluster === undefined
      ? []
      : [
          `GRANT${on} CLUSTER ON *.* TO ${ROLES.admin}`,
          `GRANT${on} REMOTE ON *.* TO ${ROLES.writer}, ${ROLES.reader}`,
        ]),
    `GRANT${on} SELECT, SHOW ON ${everything} TO ${ROLES.reader}`,
    [
      `CREATE SETTINGS PROFILE IF NOT EXISTS ${profile}${on} SETTINGS readonly = 1,`,
      `max_execution_time = ${seconds.default} MIN ${seconds.min} MAX ${seconds.max} CHANGEABLE_IN_READONLY,`,
      "max_memory_usage = 2000000000, max_result_rows = 1000000, max_concurrent_queries_for_user = 16,",
      // For the filters that people add to a dashboard in Grafana.
      "additional_table_filters CHANGEABLE_IN_READONLY,",
      "output_format_json_quote_64bit_integers = 1, cancel_http_readonly_queries_on_client_close = 1",
      `TO ${ROLES.reader}`,
    ].join(" "),
  ];
}
