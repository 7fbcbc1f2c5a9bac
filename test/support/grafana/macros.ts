/**
 * Macros of Grafana's ClickHouse data source, as its back end expands them (version 4.20).
 * Source: the plugin's documentation, "Query editor", section "Macros"; checked against pkg/macros/macros.go, whose forms these are.
 */

/** What a query is asked for: a time range, and how long a point of the panel stands for. All in milliseconds. */
export interface QueryRange {
  readonly fromMs: number;
  readonly toMs: number;
  readonly intervalMs: number;
}

type Macro = (range: QueryRange, args: readonly string[]) => string;

const seconds = (ms: number): string => `toDateTime(${Math.floor(ms / 1000)})`;
const milliseconds = (ms: number): string => `fromUnixTimestamp64Milli(${Math.floor(ms)})`;
const day = (ms: number): string => `toDate('${new Date(ms).toISOString().slice(0, 10)}')`;
const wholeSeconds = ({ intervalMs }: QueryRange): number =>
  Math.max(1, Math.floor(intervalMs / 1000));

function between(column: string, range: QueryRange, literal: (ms: number) => string): string {
  return `${column} >= ${literal(range.fromMs)} AND ${column} <= ${literal(range.toMs)}`;
}

const MACROS: Readonly<Record<string, readonly [args: number, expand: Macro]>> = {
  fromTime: [0, ({ fromMs }) => seconds(fromMs)],
  toTime: [0, ({ toMs }) => seconds(toMs)],
  fromTime_ms: [0, ({ fromMs }) => milliseconds(fromMs)],
  toTime_ms: [0, ({ toMs }) => milliseconds(toMs)],
  interval_s: [0, (range) => String(wholeSeconds(range))],
  timeFilter: [1, (range, [column]) => between(column!, range, seconds)],
  timeFilter_ms: [1, (range, [column]) => between(column!, range, milliseconds)],
  dateFilter: [1, (range, [column]) => between(column!, range, day)],
  dateTimeFilter: [
    2,
    (range, [date, time]) =>
      `(${between(date!, range, day)}) AND (${between(time!, range, seconds)})`,
  ],
  timeInterval: [
    1,
    (range, [column]) =>
      `toStartOfInterval(toDateTime(${column}), INTERVAL ${wholeSeconds(range)} second)`,
  ],
  timeInterval_ms: [
    1,
    ({ intervalMs }, [column]) =>
      `toStartOfInterval(toDateTime64(${column}, 3), INTERVAL ${Math.max(1, Math.floor(intervalMs))} millisecond)`,
  ],
};

/**
 * A query with its macros expanded. What is no macro of these stays as it is, as in the plugin, and ClickHouse refuses it.
 * Throws: an Error for a wrong number of arguments.
 */
export function expandMacros(sql: string, range: QueryRange): string {
  let expanded = "";
  let from = 0;
  for (const match of sql.matchAll(/\$__(\w+)/g)) {
    const macro = MACROS[match[1]!];
    if (macro === undefined || match.index < from) continue;
    const [count, expand] = macro;
    let end = match.index + match[0].length;
    let args: readonly string[] = [];
    if (count > 0 && sql[end] === "(") ({ args, end } = readArguments(sql, end));
    if (args.length !== count)
      throw new Error(`${match[0]} expects ${count} arguments, got ${args.length}`);
    expanded += sql.slice(from, match.index) + expand(range, args);
    from = end;
  }
  return expanded + sql.slice(from);
}

/** The arguments of a call whose parenthesis opens at `open`, apart at the commas outside of inner parentheses; `end` is behind it. */
export function readArguments(
  sql: string,
  open: number,
): { readonly args: readonly string[]; readonly end: number } {
  const args: string[] = [];
  let depth = 0;
  let begin = open + 1;
  for (let i = open; i < sql.length; i++) {
    const character = sql[i];
    if (character === "(") depth++;
    else if (character === ")") depth--;
    if (depth === 0 || (depth === 1 && character === ",")) {
      args.push(sql.slice(begin, i).trim());
      begin = i + 1;
    }
    if (depth === 0) return { args, end: i + 1 };
  }
  throw new Error(`a parenthesis is not closed: ${sql.slice(open, open + 60)}`);
}
