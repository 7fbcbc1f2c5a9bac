import { retentionDays } from "../config/values.ts";
import { grantStatements } from "../store/grants.ts";
import { createStatements } from "../store/schema.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";

/** Prints the SQL that makes database, tables and roles in a ClickHouse that somebody else runs. */
export async function schema(
  options: ConfigOption & { json?: boolean },
  context: Context,
): Promise<ExitCode> {
  const { database, cluster, retention } = readConfig(options, context).exporters.clickhouse;
  const target = { database, ...(cluster === "" ? {} : { cluster }) };
  const days = Object.entries(retention).map(([name, period]) => [name, retentionDays(period)]);
  const tables = createStatements({ ...target, retention: Object.fromEntries(days) });
  const grants = grantStatements(target);
  if (options.json === true) {
    context.output.json({ tables, grants });
    return EXIT.ok;
  }
  context.output.line("-- Database and tables");
  for (const statement of tables) context.output.line(`${statement};\n`);
  context.output.line("-- Roles: GRANT meshproof_writer TO … gives one to a user");
  for (const statement of grants) context.output.line(`${statement};`);
  return EXIT.ok;
}
