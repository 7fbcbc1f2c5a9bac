import type { Explained, Near, Origin, Source } from "../explainer.ts";
import { type Column, TABLES } from "../records/columns.ts";
import { displayWidth, fit, pad, printable, shrink, type TextStyle } from "./output.ts";
import { isEmpty, linesOf } from "./record-list.ts";
import { decisionStyle, formatNs } from "./record-text.ts";

/** Columns that say how the request came, not what it was. */
const OF_THE_REQUEST: ReadonlySet<string> = new Set([
  "LeafVersion",
  "Kind",
  "Salt",
  "ReceivedTimestamp",
  "Sender",
  "SenderAuth",
  "RetentionClass",
]);
/** What was done to the record stands behind what it says. */
const DONE: ReadonlySet<string> = new Set(["Truncations", "Redactions"]);
const INDENT = "  ";
const MAX_KEYS = 12;
/** Keys by which a suggested format knows its records. */
const MAX_TELLING = 3;

/** A record that a dialect claims. */
export type Claimed = Extract<Explained, { dialect: string }>;

/** The columns that hold something, in the order of the table, what was done to the record last. */
export function columnsOf({ record }: Claimed): Column[] {
  const columns = TABLES.access.columns.filter(
    (column) => !OF_THE_REQUEST.has(column.name) && !isEmpty(column, record[column.name]),
  );
  return [
    ...columns.filter(({ name }) => !DONE.has(name)),
    ...columns.filter(({ name }) => DONE.has(name)),
  ];
}

/** A record for programs. */
export function explainedToJson(line: number, explained: Explained): object {
  if (explained.dialect === undefined) return { line, rejected: explained.reason };
  if (explained.dialect === null) return { line, dialect: null, near: explained.near };
  const { dialect, record, origins } = explained;
  const columns = columnsOf(explained).map(({ name }) => name);
  return {
    line,
    dialect,
    columns: Object.fromEntries(columns.map((name) => [name, record[name]])),
    origins: Object.fromEntries(Array.from(origins).filter(([name]) => columns.includes(name))),
  };
}

/**
 * A record for people: which dialect claimed it, each column with its value and where that came from; or what it looks like that no dialect claims.
 * Shape: no line of columns is wider than `style.width`, but for terminals under 40 columns. Long values lose their middle.
 */
export function renderExplained(line: number, explained: Explained, style: TextStyle): string[] {
  const place = style.paint("dim", `line ${line}:`);
  if (explained.dialect === undefined)
    return [`${place} ${style.paint("red", "rejected")}: ${printable(explained.reason)}`];
  if (explained.dialect === null)
    return [
      `${place} ${style.paint("yellow", "no dialect claims it")}: it becomes a log`,
      ...renderNear(explained.near, style),
    ];
  const status = explained.record["ParseStatus"] === "full" ? "read in full" : "read in part";
  return [
    `${place} ${style.paint("bold", explained.dialect)}, ${status}`,
    ...renderColumns(explained, style),
  ];
}

/** A line of a column. */
export interface Cell {
  /** Empty in the further lines of a column of several values. */
  readonly name: string;
  readonly value: string;
  readonly from: string;
}

function renderColumns(claimed: Claimed, style: TextStyle): string[] {
  const cells = columnsOf(claimed).flatMap((column) => cellsOf(column, claimed));
  const widest = (key: keyof Cell): number =>
    Math.max(...cells.map((cell) => displayWidth(cell[key])));
  const nameWidth = widest("name");
  const room = Math.max(style.width, 40) - INDENT.length - nameWidth - 2 * INDENT.length;
  const [valueWidth, fromWidth] = shrink([widest("value"), widest("from")], [30, 16], room);
  return cells.map(({ name, value, from }) => {
    const colour = name === "Decision" ? decisionStyle(claimed.record) : undefined;
    const text = fit(value, valueWidth!);
    return [
      INDENT + pad(name, nameWidth),
      pad(colour === undefined ? text : style.paint(colour, text), valueWidth!),
      style.paint("dim", fit(from, fromWidth!)),
    ]
      .join(INDENT)
      .trimEnd();
  });
}

/** A column's lines. Where a column of several values comes from stands beside the first. */
export function cellsOf(column: Column, { record, origins }: Claimed): Cell[] {
  const { name } = column;
  const value = record[name];
  const lines = name.endsWith("DurationNs")
    ? [`${formatNs(Number(value))} (${String(value)})`]
    : linesOf(value);
  const origin = origins.get(name as never);
  return lines.map((text, i) => ({
    name: i === 0 ? name : "",
    value: printable(text),
    from: i === 0 && origin !== undefined ? describeOrigin(origin) : "",
  }));
}

const MAX_SOURCES = 3;

/** Where a value comes from, in words. */
export function describeOrigin({ how, from }: Origin): string {
  if (how === "dialect") return "dialect";
  const named = from.slice(0, MAX_SOURCES).map(describeSource);
  if (from.length > MAX_SOURCES) named.push(`${from.length - MAX_SOURCES} more`);
  const sources = named.join(", ");
  return how === "part" ? `part of ${sources}` : how === "derived" ? `by ${sources}` : sources;
}

function describeSource({ kind, name }: Source): string {
  return `${kind} ${printable(name)}`;
}

function renderNear({ lines, dialects, keys }: Near, style: TextStyle): string[] {
  const known = keys.filter(({ column }) => column !== null);
  const unknown = keys.filter(({ column }) => column === null);
  const list = (names: readonly string[]): string =>
    names.slice(0, MAX_KEYS).map(printable).join(", ") +
    (names.length > MAX_KEYS ? ` and ${names.length - MAX_KEYS} more` : "");
  const said = [
    ...lines.map(
      ({ dialect, read, fields, position, expected, got }) =>
        `like a line of ${dialect} for ${read} of ${fields} fields; character ${position + 1}: expected ${printable(expected)}, got ${printable(got)}`,
    ),
    ...dialects.map(
      (one) =>
        `has keys of ${one.dialect} (${list(one.keys)}), but not those by which it is recognised`,
    ),
    ...(known.length === 0
      ? []
      : [
          `keys that usually mean a column: ${list(known.map(({ key, column }) => `${key} (${column})`))}`,
        ]),
    ...(unknown.length === 0 ? [] : [`other keys: ${list(unknown.map(({ key }) => key))}`]),
  ];
  return [
    ...said.map((text) => INDENT + text),
    ...suggestFormat(keys).map((text) => INDENT + style.paint("dim", text)),
  ];
}

/** The beginning of a format of the user's own, for a record with keys that usually mean something: those, and what tells such records from others. */
function suggestFormat(keys: Near["keys"]): string[] {
  const columns = new Map<string, string>();
  for (const { key, column } of keys)
    if (column !== null && ![...columns.values()].includes(column)) columns.set(key, column);
  if (columns.size === 0)
    return [
      "a format of your own can say what it means: processors.normalise.formats, docs/formats.md",
    ];
  const entries = Array.from(columns, ([key, column]) => `${quote(key)}: ${column}`);
  const telling = [...columns.keys()].slice(0, MAX_TELLING);
  return [
    "a format of your own to begin with (docs/formats.md):",
    "processors: { normalise: { formats: [{",
    "  name: my_format,",
    `  when: [${telling.map(quote).join(", ")}],`,
    `  keys: { ${entries.join(", ")} } }] } }`,
  ];
}

/** A key within a flow collection of YAML: plain where it reads as a text, else as JSON, which YAML is too. */
function quote(key: string): string {
  const isPlain = /^[A-Za-z][\w.-]*$/.test(key) && !/^(?:true|false|null)$/i.test(key);
  return isPlain ? key : printable(JSON.stringify(key));
}
