/** An identifier between backquotes. For names that come from the configuration (database, cluster) and for columns with a dot. */
export function quoteIdentifier(name: string): string {
  return `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;
}

/**
 * A string literal. For DDL alone, where ClickHouse takes no `{name:Type}` parameters (comments, partition keys);
 * every other statement passes values as parameters.
 */
export function quoteLiteral(value: string): string {
  return `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

/** `database`.`table`, both quoted. */
export function qualify(database: string, table: string): string {
  return `${quoteIdentifier(database)}.${quoteIdentifier(table)}`;
}
