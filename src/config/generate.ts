import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { OPTIONS } from "./options.ts";
import { ITEM, type OptionInfo } from "./schema.ts";

/**
 * Writes config/meshproof.yaml and docs/configuration.md from the schema: `npm run generate`.
 * A test says when they are no longer current.
 */

const INDENT = "  ";

/** config/meshproof.yaml: every option with its default, its description as a comment; what has no default is commented out. */
export function generateYaml(): string {
  const lines = [
    "# The configuration of meshproof: every option, with its default.",
    "# Generated from src/config/options.ts by `npm run generate`.",
    "#",
    "# A file of your own needs only what differs. Several files merge (`--config a.yaml --config b.yaml`, later wins).",
    "# ${env:NAME} and ${env:NAME:-default} stand for environment variables, $$ for a plain $.",
    '# Durations are written 200ms, 1m30s or 7 days; sizes 64MiB or 1.5GiB; an IPv6 address in quotes and brackets, "[::1]:4318".',
    "# Relative paths start at the working directory.",
  ];
  let optional: readonly string[] | undefined;
  let before: OptionInfo | undefined;
  for (const info of OPTIONS) {
    const depth = info.path.length - 1;
    const needsNaming = info.kind === "optional section" || info.kind === "list";
    if (needsNaming) optional = info.path;
    else if (optional !== undefined && depth < optional.length) optional = undefined;
    // Inside an optional section, and in a list, every line is a comment that can be uncommented where it stands.
    const outer = INDENT.repeat(optional === undefined ? depth : optional.length - 1);
    const margin =
      optional === undefined ? outer : `${outer}# ${INDENT.repeat(depth - optional.length + 1)}`;
    if (depth === 0) lines.push("");
    if (info.description !== "") lines.push(`${needsNaming ? outer : margin}# ${info.description}`);
    const isFirstOfItem = info.path.at(-2) === ITEM && before?.path.length !== info.path.length;
    before = info;
    lines.push(
      `${isFirstOfItem ? margin.replace(/ {2}$/, "- ") : margin}${info.path.at(-1)}:${info.kind === "option" ? ` ${info.example ?? toYaml(info.fallback)}` : ""}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

/** A default as YAML on one line. Defaults are text, numbers, booleans, lists of text and the empty map. */
function toYaml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toYaml).join(", ")}]`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return "{}";
  const isPlain = /^[A-Za-z0-9.][\w./ -]*(?::\d+)?$/.test(value) && Number.isNaN(Number(value));
  return isPlain ? value : JSON.stringify(value);
}

/** docs/configuration.md: one table for each top-level key. */
export function generateTable(): string {
  const lines = [
    "# Configuration",
    "",
    "<!-- Generated from src/config/options.ts by `npm run generate`. -->",
    "",
    "`meshproof serve --config FILE` reads YAML in the OpenTelemetry Collector's vocabulary. A file needs only what differs from the",
    "defaults; [config/meshproof.yaml](../config/meshproof.yaml) has them all. Several files merge, later wins, lists are replaced.",
    "`${env:NAME}` and `${env:NAME:-default}` stand for environment variables, `$$` for a plain `$`. A file that does not fit is refused",
    "with exit code 2 and one line for every problem: file, line, column, key, what was expected and what came.",
    "`meshproof validate --config FILE` checks a file without starting anything.",
    "",
    "Durations are written `200ms`, `1m30s` or `7 days`; sizes `64MiB`, `1.5GiB` or a number of bytes; addresses `host:port`, an IPv6",
    "address in brackets and quotes. Relative paths start at the working directory. OTLP and the API refuse to listen beyond this machine",
    "without `extensions.tokens` or mutual TLS.",
  ];
  for (const top of OPTIONS.filter(({ path }) => path.length === 1)) {
    const inside = OPTIONS.filter(
      ({ path, description }) => path[0] === top.path[0] && path.length > 1 && description !== "",
    );
    lines.push(
      "",
      `## ${top.path[0]}`,
      "",
      top.description,
      "",
      "| option | default | meaning |",
      "|---|---|---|",
      ...inside.map(toTableRow),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** What the table says in place of a default. */
const NO_DEFAULT = { section: "", "optional section": "off", list: "none" } as const;

function toTableRow(info: OptionInfo): string {
  const name = info.path.slice(1).join(".").replaceAll(`.${ITEM}`, ITEM);
  if (info.kind !== "option")
    return `| **\`${name}\`** | ${NO_DEFAULT[info.kind]} | ${escape(info.description)} |`;
  const text = info.fallback === undefined ? "required" : `\`${toYaml(info.fallback)}\``;
  const isChoice = info.expected.startsWith("one of ");
  return `| \`${name}\` | ${text} | ${escape(info.description)}${isChoice ? ` (${info.expected})` : ""} |`;
}

function escape(markdown: string): string {
  return markdown.replaceAll("|", "\\|");
}

/** The generated files by their paths from the project's root. */
export const GENERATED = {
  "config/meshproof.yaml": generateYaml,
  "docs/configuration.md": generateTable,
} as const;

if (import.meta.main) {
  for (const [path, generate] of Object.entries(GENERATED)) {
    writeFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), generate());
  }
}
