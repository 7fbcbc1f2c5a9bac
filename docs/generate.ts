import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { GENERATED as DASHBOARDS } from "../dashboards/index.ts";
import { GENERATED as CONFIGURATION } from "../src/config/generate.ts";
import { ERRORS } from "../src/core/errors.ts";
import { PLACE_COLUMNS, TABLES, type Column } from "../src/records/columns.ts";
import { dialectsDocument } from "./dialects/document.ts";
import { formatDocument } from "./format/document.ts";

/** Writes the files that are generated from the code: `npm run generate`. test/docs.test.ts says when they are no longer current. */

const NOTE = (source: string): string => `<!-- Generated from ${source} by \`npm run generate\`. -->`;

function errors(): string {
  const rows = Object.entries(ERRORS).map(([code, { http, retryable, text }]) => `| \`${code}\` | ${http} | ${retryable ? "yes" : "no"} | ${text} |`);
  return [
    "# Errors",
    "",
    NOTE("src/core/errors.ts"),
    "",
    "Every error has a code. The message beside it says what was expected, what came and where. An OTLP sender gets it as `google.rpc.Status` in the",
    "encoding of its request, an API client as `{\"error\": {\"code\", \"message\"}}`. What can be sent again is answered with 429 or 503 and `Retry-After`.",
    "",
    "| code | HTTP | try again | meaning |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}

function schema(): string {
  const lines = [
    "# Tables",
    "",
    NOTE("src/records/columns.ts"),
    "",
    "Each table begins with two columns that say where a row stands in the log. What follows is the row: its columns in this order, as RowBinary,",
    "are the bytes that were hashed, so SQL alone can recompute a leaf: `SHA256(formatRow('RowBinary', <columns from LeafVersion on>))`. [Row and entry](design/format.md) has every byte.",
    "",
    table(PLACE_COLUMNS),
  ];
  for (const { name, comment, kind, columns } of Object.values(TABLES)) {
    lines.push("", `## ${name}`, "", `Kind ${kind}. ${comment}.`, "", table(columns));
  }
  return `${lines.join("\n")}\n`;
}

function table(columns: readonly Column[]): string {
  return ["| column | type | meaning |", "| --- | --- | --- |", ...columns.map(({ name, type, comment }) => `| \`${name}\` | ${type} | ${comment} |`)].join("\n");
}

/** The generated files by their paths from the project's root. */
export const GENERATED: Readonly<Record<string, () => string>> = {
  ...CONFIGURATION,
  ...DASHBOARDS,
  "docs/errors.md": errors,
  "docs/schema.md": schema,
  "docs/dialects.md": dialectsDocument,
  "docs/design/format.md": formatDocument,
};

if (import.meta.main) {
  for (const [path, generate] of Object.entries(GENERATED)) {
    writeFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), generate());
  }
}
