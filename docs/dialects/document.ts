import { readdirSync, readFileSync } from "node:fs";
import { cellsOf, type Claimed, columnsOf } from "../../src/cli/explain-text.ts";
import { defaultConfig } from "../../src/config/load.ts";
import { Explainer } from "../../src/explainer.ts";
import { HEADER_NAMES, KEYS } from "../../src/normalise/attribute-keys.ts";
import { FIELD_OF_COLUMN } from "../../src/normalise/column-fields.ts";
import type { Dialect } from "../../src/normalise/dialect.ts";
import { FIELD_NAMES, type FieldName } from "../../src/normalise/fields.ts";
import { LineFormat } from "../../src/normalise/line-format.ts";
import { type Fixture, fixturesOf, showInput } from "./fixtures.ts";

/** docs/dialects.md, from the dialects and their fixtures: what each recognises, an example, the record that it becomes, what its keys mean. */

const DIALECTS = new URL("../../src/normalise/dialects/", import.meta.url);
const FIXTURES = new URL("../../test/fixtures/", import.meta.url);
const MAX_VALUE = 160;

interface Documented {
  readonly dialect: Dialect;
  readonly description: string;
}

const documented: readonly Documented[] = await Promise.all(
  readdirSync(DIALECTS)
    .toSorted()
    .map(async (file) => {
      const { default: dialect } = (await import(new URL(file, DIALECTS).href)) as { default: Dialect };
      return { dialect, description: docstringOf(file, readFileSync(new URL(file, DIALECTS), "utf8")) };
    }),
);

const explainer = new Explainer(defaultConfig(), () => 0n);

export function dialectsDocument(): string {
  const lines = [
    "# Dialects",
    "",
    "<!-- Generated from src/normalise/dialects/, src/normalise/attribute-keys.ts and test/fixtures/ by `npm run generate`. -->",
    "",
    "A dialect is how one proxy or mesh writes its access logs. Each record finds its dialect by itself, from its resource, its keys or the form of its line, whether it comes",
    "straight from the proxy by OTLP or as a line, JSON or attributes through a Collector; no setting is needed. What no dialect claims becomes a log in `otel_logs`.",
    "`meshproof explain` shows the same of your own lines; [a format of your own](formats.md) is some lines of configuration.",
    "",
    "In the examples, *from* is where a value stood: `line`, a field of the line; `body`, a member of the body; `attribute`; `resource`; `record`, a field of the log record itself.",
    "*part of* means not all of it, *by* that the value follows from it, `dialect` that no value of the record made it so. [Tables](schema.md) says what each column means.",
    "",
    documented.map(({ dialect: { name } }) => `[${name}](#${name})`).join(" · "),
    ...documented.flatMap(section),
    ...sharedKeys(),
  ];
  return `${lines.join("\n")}\n`;
}

function section({ dialect, description }: Documented): string[] {
  const { name, source, lines = [], keys = {}, headers = [], responseHeaders = [] } = dialect;
  const formats = lines.filter((line) => line instanceof LineFormat);
  return [
    "",
    `## ${name}`,
    "",
    `${description} ([source](${source}))`,
    ...(formats.length === 0
      ? []
      : ["", formats.length === 1 ? "Its line:" : "Its lines, by version:", "", "```text", ...formats.map(({ format }) => format), "```"]),
    ...example(name),
    ...(Object.keys(keys).length === 0
      ? []
      : ["", "| key | fills |", "| --- | --- |", ...Object.entries(keys).map(([key, field]) => `| ${code(key)} | ${meaning(field)} |`)]),
    ...(headers.length === 0
      ? []
      : ["", `Behind ${headers.map(code).join(", ")} stands the name of a request's header: [those that are read](#headers-of-a-request).`]),
    ...(responseHeaders.length === 0
      ? []
      : ["", `What begins with ${responseHeaders.map(code).join(", ")} is a header of the response, which the application writes: it stays in LogAttributes.`]),
  ];
}

/** A fixture that a file `example` marks, else the one that fills most columns; as it comes in, and the record that it becomes. */
function example(name: string): string[] {
  const fixtures = fixturesOf(new URL(`${name}/`, FIXTURES)).map((fixture) => ({ fixture, claimed: explain(fixture) }));
  const full = fixtures.filter(({ claimed }) => claimed?.record["ParseStatus"] === "full");
  const [best] = full.toSorted(
    (a, b) =>
      Number(b.fixture.isMarked) - Number(a.fixture.isMarked) ||
      columnsOf(b.claimed!).length - columnsOf(a.claimed!).length,
  );
  if (best?.claimed === undefined) return [];
  const rows = columnsOf(best.claimed)
    .filter(({ name: column }) => column !== "ResourceAttributes")
    .flatMap((column) => cellsOf(column, best.claimed!))
    .map((cell) => `| ${cell.name} | ${code(cut(cell.value))} | ${cell.from === "" ? "" : cell.from.replaceAll("|", "\\|")} |`);
  return [
    "",
    "```text",
    ...showInput(best.fixture),
    "```",
    "",
    "| column | value | from |",
    "| --- | --- | --- |",
    ...rows,
  ];
}

function explain({ input }: Fixture): Claimed | undefined {
  const [explained] = explainer.explain(Buffer.from(JSON.stringify(input)));
  return typeof explained?.dialect === "string" ? explained : undefined;
}

/** What attribute-keys.ts says, which all dialects share. */
function sharedKeys(): string[] {
  return [
    "",
    "## Keys that all dialects know",
    "",
    "Compared without regard to case, `_`, `-`, `.` and blanks: `request_id`, `request.id` and `requestId` are one. A dialect's own meaning outranks this one.",
    "A header may stand bare.",
    "",
    "| fills | keys |",
    "| --- | --- |",
    ...FIELD_NAMES.flatMap((name) => {
      if (name === "") return [];
      const keys = Object.values(KEYS[name]).flat();
      return keys.length === 0 ? [] : [`| ${meaning(name)} | ${keys.map(code).join(", ")} |`];
    }),
    "",
    "## Headers of a request",
    "",
    "A key that says that it is a header (`REQ(X)`, `http.request.header.x`, `request.headers['x']`) is read by the header's name, and means what this name means as a key.",
    "Clients write headers, so that no others are read, whatever they are called:",
    "",
    `${HEADER_NAMES.map(code).join(", ")}.`,
  ];
}

const COLUMNS = new Map(Object.entries(FIELD_OF_COLUMN).map(([column, field]) => [field, column]));

/** The column that a field fills alone, else the field, which several columns are made of. */
function meaning(field: FieldName | null): string {
  if (field === null) return "LogAttributes";
  const column = COLUMNS.get(field);
  return column ?? `\`${field}\``;
}

/** The comment in front of the dialect, as one paragraph. */
function docstringOf(file: string, text: string): string {
  const [, comment] = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\nexport default /.exec(text) ?? [];
  if (comment === undefined) throw new Error(`src/normalise/dialects/${file}: expected a comment in front of the dialect, got none`);
  const words = comment.split("\n").map((line) => line.replace(/^\s*\*? ?/, "").trim());
  return words.join(" ").trim().replaceAll("<", "\\<");
}

function cut(text: string): string {
  return text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE)}…`;
}

/** Inline code within a table. */
function code(text: string): string {
  const fence = text.includes("`") ? "``" : "`";
  const pad = /^[` ]|[` ]$/.test(text) ? " " : "";
  return text === "" ? "" : `${fence}${pad}${text.replaceAll("|", "\\|")}${pad}${fence}`;
}
