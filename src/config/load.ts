import {
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
} from "yaml";
import { MeshproofError } from "../core/errors.ts";
import { findConflicts, type FindConflicts } from "./checks.ts";
import { expandEnvironment, type Environment } from "./expand.ts";
import { explainUnknownKey } from "./hints.ts";
import { readLocation } from "./location.ts";
import { configSchema, OPTIONS, type Config } from "./options.ts";
import { parse } from "./schema.ts";
import { show } from "./types.ts";

type Path = readonly (string | number)[];

/** A file that has been read, with what is needed to say where in it something stands. */
interface Source {
  readonly file: string;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
  readonly value: unknown;
}

interface Problem {
  /** Index of the file, then line and column from 1, so that problems come in reading order. */
  readonly place: readonly [file: number, line: number, column: number];
  readonly text: string;
}

/** The configuration when no file says anything. */
export function defaultConfig(): Config {
  return loadConfig([], {});
}

/**
 * The configuration of all files (or what else readLocation takes) together, each later one over the earlier: maps merge, everything else is replaced.
 * A key without a value says nothing; one that is no option is an error with or without.
 * Throws: CONFIG_INVALID with one line for every problem, `file:line:column: key: expected …, got …`. Conflicts between
 *         options, and those that `findMore` knows of, are looked for once every option by itself is right.
 */
export function loadConfig(
  files: readonly string[],
  env: Environment,
  findMore: FindConflicts = () => [],
): Config {
  const problems: Problem[] = [];
  const sources = files.map((file, index) => readSource(file, index, env, problems));
  const merged = sources.reduce<unknown>((below, source) => merge(below, source?.value), {});
  const parsed = parse(configSchema, merged);
  if ("problems" in parsed) {
    for (const { path, message, atKey } of parsed.problems) {
      problems.push(locate(sources, path, atKey, atKey ? explainUnknownKey(path) : message));
    }
  } else if (problems.length === 0) {
    for (const { path, message, atKey = false } of [
      ...findConflicts(parsed.config),
      ...findMore(parsed.config),
    ])
      problems.push(locate(sources, path, atKey, message));
    if (problems.length === 0) return parsed.config;
  }
  throw new MeshproofError("CONFIG_INVALID", describe(problems));
}

/** One line for each problem, in reading order. */
function describe(problems: readonly Problem[]): string {
  return problems
    .toSorted(({ place: a }, { place: b }) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2])
    .map(({ text }) => text)
    .join("\n");
}

/** The file, parsed and with its variables expanded; undefined when it cannot be read. */
function readSource(
  location: string,
  index: number,
  env: Environment,
  problems: Problem[],
): Source | undefined {
  const read = readLocation(location, env);
  if ("problem" in read) {
    problems.push({ place: [index, 0, 0], text: read.problem });
    return undefined;
  }
  const { name: file, text } = read;
  const lines = new LineCounter();
  const document = parseDocument(hideBraces(text), { lineCounter: lines, prettyErrors: false });
  const report = (offset: number, message: string): void => {
    const { line, col } = lines.linePos(offset);
    problems.push({ place: [index, line, col], text: `${file}:${line}:${col}: ${message}` });
  };
  for (const error of document.errors)
    report(error.pos[0], `expected YAML, got an error: ${showBraces(error.message)}`);
  visit(document, {
    Scalar(role, node) {
      if (typeof node.value !== "string") return;
      const written = showBraces(node.value);
      const expanded = role === "key" ? { text: written } : expandEnvironment(written, env);
      if ("problems" in expanded)
        for (const message of expanded.problems) report(node.range?.[0] ?? 0, message);
      node.value = "text" in expanded ? expanded.text : null;
    },
  });
  renameAliases(document, report);
  const value =
    document.errors.length === 0 ? toValue(document, (message) => report(0, message)) : undefined;
  return { file, document, lines, value };
}

/** Names of the Collector that mean the same: its exporter is called otlp_http now, and was otlphttp. */
const ALIASES = [{ parent: "exporters", alias: "otlp_http", name: "otlphttp" }] as const;

/** Gives aliased keys the name that they have here, where they stand, so that problems are shown at their place. */
function renameAliases(
  document: Document.Parsed,
  report: (offset: number, message: string) => void,
): void {
  for (const { parent, alias, name } of ALIASES) {
    const options = document.get(parent);
    if (!isMap(options)) continue;
    const key = options.items
      .map((pair) => pair.key)
      .find((key) => isScalar(key) && key.value === alias);
    if (!isScalar(key)) continue;
    if (options.has(name))
      report(key.range?.[0] ?? 0, `expected one of ${name} and ${alias}, got both`);
    else key.value = name;
  }
}

function toValue(document: Document.Parsed, report: (message: string) => void): unknown {
  if (
    document.contents !== null &&
    !isMap(document.contents) &&
    !(isScalar(document.contents) && document.contents.value === null)
  ) {
    report(`expected a map of options, got ${show(document.toJS())}`);
    return undefined;
  }
  try {
    return document.toJS();
  } catch (error) {
    // Aliases that expand to more than the library's bound.
    report(`expected YAML, got an error: ${(error as Error).message}`);
    return undefined;
  }
}

// `{ path: ${env:KEY_FILE:-} }` is no YAML, for the braces of a variable inside a flow map are read as YAML's own.
// While YAML is parsed, two Unicode noncharacters stand for them, one for one, so that every position stays true.
const OPEN = "\uFDD0";
const CLOSE = "\uFDD1";

function hideBraces(text: string): string {
  return text.replace(/\$\{([^{}\n]*)\}/g, `$$${OPEN}$1${CLOSE}`);
}

function showBraces(text: string): string {
  return text.replaceAll(OPEN, "{").replaceAll(CLOSE, "}");
}

function isPlainMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const KNOWN: ReadonlySet<string> = new Set(OPTIONS.map(({ path }) => path.join(".")));
const SECTIONS: ReadonlySet<string> = new Set(
  OPTIONS.map(({ path }) => path.slice(0, -1).join(".")),
);

/** Is there a section at the parent of `path`, and no such key in it? */
function isUnknown(path: Path): boolean {
  return path.length > 0 && SECTIONS.has(path.slice(0, -1).join(".")) && !KNOWN.has(path.join("."));
}

/**
 * `above` over `below`, both at `path`. Built entry by entry, so that a key such as `__proto__` is a key like any other.
 * Null stays where the key is no option: `grpc:` switches something on in a Collector, and must not be passed over here.
 */
function merge(below: unknown, above: unknown, path: Path = []): unknown {
  if (above === undefined) return below;
  if (above === null) return isUnknown(path) ? (below ?? null) : below;
  if (!isPlainMap(above)) return above;
  const merged = new Map(isPlainMap(below) ? Object.entries(below) : []);
  for (const [key, value] of Object.entries(above)) {
    const result = merge(merged.get(key), value, [...path, key]);
    if (result !== undefined) merged.set(key, result);
  }
  return Object.fromEntries(merged);
}

/** A problem at `path`, placed in the last file that says something there: its value is the one that counts. */
function locate(
  sources: readonly (Source | undefined)[],
  path: Path,
  atKey: boolean,
  message: string,
): Problem {
  const text = path.reduce<string>(
    (words, part) =>
      typeof part === "number" ? `${words}[${part}]` : words === "" ? part : `${words}.${part}`,
    "",
  );
  let best: { index: number; source: Source; depth: number; offset: number } | undefined;
  for (const [index, source] of sources.entries()) {
    if (source === undefined) continue;
    const found = find(source.document, path, atKey);
    if (found.depth > 0 && found.depth >= (best?.depth ?? 0)) best = { index, source, ...found };
  }
  if (best === undefined)
    return { place: [sources.length, 0, 0], text: `defaults: ${text}: ${message}` };
  const { line, col } = best.source.lines.linePos(best.offset);
  return {
    place: [best.index, line, col],
    text: `${best.source.file}:${line}:${col}: ${text}: ${message}`,
  };
}

/** How many parts of `path` the document has, and where the last of them stands. */
function find(
  document: Document.Parsed,
  path: Path,
  atKey: boolean,
): { depth: number; offset: number } {
  let node: unknown = document.contents;
  let offset = 0;
  for (const [depth, part] of path.entries()) {
    if (typeof part === "number") {
      const item = isSeq(node) ? node.items[part] : undefined;
      if (!isNode(item)) return { depth, offset };
      offset = item.range?.[0] ?? offset;
      node = item;
      continue;
    }
    if (!isMap(node)) return { depth, offset };
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === part);
    if (pair === undefined) return { depth, offset };
    const key = pair.key as { range?: [number, number, number] };
    const value = pair.value as { range?: [number, number, number] } | null;
    const isLast = depth === path.length - 1;
    // A missing option inside a section is reported at the section's name.
    offset = (isLast && !atKey ? value?.range?.[0] : undefined) ?? key.range?.[0] ?? offset;
    node = value;
  }
  return { depth: path.length, offset };
}
