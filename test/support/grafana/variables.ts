import { readArguments } from "./macros.ts";

/**
 * What Grafana and the ClickHouse plugin's front end make of the variables in a query, before it goes to the plugin's back end.
 * Source: Grafana's documentation, "Variable syntax", "Advanced variable format options"; @grafana/scenes, formatRegistry; the plugin's CHDatasource.
 */

/** What is chosen: one value, several, or all (`$__all`). */
export type Chosen = Readonly<Record<string, string | readonly string[]>>;

export const ALL = "$__all";

/** How Grafana writes a value into a URL: by the variable's own formatter, or from the state of the dashboard's URL, which has + for a blank. */
export type UrlEncoding = (value: string) => string;

/** encodeURIComponent, and the marks that it leaves. */
export const strictly: UrlEncoding = (value) =>
  encodeURIComponent(value).replaceAll(
    /[!'()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** As in the address bar: `@ : $ , ;` stay, a blank is +. */
export const asInUrl: UrlEncoding = (value) =>
  strictly(value)
    .replaceAll(/%(?:40|3A|24|2C|3B)/g, decodeURIComponent)
    .replaceAll("%20", "+");

/** A query with `$__conditionalAll`, variables and `$__adHocFilters` replaced. */
export function interpolate(
  sql: string,
  chosen: Chosen,
  encode: UrlEncoding = strictly,
  filters: readonly Filter[] = [],
): string {
  return applyFilters(replaceVariables(applyConditionalAll(sql, chosen), chosen, encode), filters);
}

/** The condition, or `1=1` where nothing or everything is chosen. From the last to the first, as the plugin does it. */
function applyConditionalAll(sql: string, chosen: Chosen): string {
  const macro = "$__conditionalAll(";
  for (let at = sql.lastIndexOf(macro); at >= 0; at = sql.lastIndexOf(macro)) {
    const { args, end } = readArguments(sql, at + macro.length - 1);
    if (args.length !== 2) throw new Error(`${macro} expects 2 arguments, got ${args.length}`);
    const [condition, variable] = args as [string, string];
    const value = chosen[/\w+/.exec(variable)![0]];
    if (value === undefined) throw new Error(`no variable ${variable}`);
    const isAll = value.toString() === "" || value.toString() === ALL;
    sql = sql.slice(0, at) + (isAll ? "1=1" : condition) + sql.slice(end);
  }
  return sql;
}

function replaceVariables(sql: string, chosen: Chosen, encode: UrlEncoding): string {
  return sql.replaceAll(
    /\$\{(\w+)(?::(\w+))?\}|\$(?!__)(\w+)/g,
    (whole, braced: string | undefined, format: string | undefined, bare: string | undefined) => {
      const name = (braced ?? bare)!;
      const value = chosen[name];
      if (value === undefined) throw new Error(`no variable ${whole}`);
      const values = [value].flat();
      if (format === "queryparam")
        return values.map((one) => `var-${name}=${encode(one)}`).join("&");
      if (format === "percentencode")
        return strictly(typeof value === "string" ? value : `{${values.join(",")}}`);
      // As the plugin writes a variable without a format: quotes around, and none escaped.
      return typeof value === "string" ? value : `'${values.join("','")}'`;
    },
  );
}

/** A condition that somebody adds to a dashboard: column, operator, value. */
export type Filter = readonly [column: string, operator: string, value: string];

/** Such conditions where the query wants them, as the plugin writes them (CHDatasource.ts, adHocFilter.ts). */
function applyFilters(sql: string, filters: readonly Filter[]): string {
  const conditions = filters.map(([column, operator, value], i) => {
    const and = i < filters.length - 1 ? "AND" : "";
    return ` ${column} ${operator === "=~" ? "REGEXP" : operator} \\'${value}\\' ${and}`;
  });
  return sql.replaceAll(/\$__adHocFilters\('(\w+)'\)/g, (_macro, table: string) =>
    conditions.length === 0
      ? "additional_table_filters={}"
      : `additional_table_filters={'${table}': '${conditions.join("")}'}`,
  );
}
