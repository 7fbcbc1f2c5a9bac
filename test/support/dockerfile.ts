import { readdirSync } from "node:fs";
import { join, posix } from "node:path";

/** One instruction, its lines joined. */
export interface Step {
  readonly line: number;
  readonly instruction: string;
  /** `--from=build` as `from: "build"`; of a flag that is given more than once, the last. */
  readonly flags: Readonly<Record<string, string>>;
  /** What follows the flags. */
  readonly text: string;
}

export interface Stage {
  readonly name: string;
  readonly base: string;
  readonly steps: readonly Step[];
}

const FLAG = /^--([a-z-]+)(?:=(\S*))?\s+/;

/**
 * The stages of a Dockerfile without variables and here-documents, which ours has none of.
 * Source: docs.docker.com/reference/dockerfile, "Format".
 */
export function parseDockerfile(text: string): Stage[] {
  const stages: { name: string; base: string; steps: Step[] }[] = [];
  for (const { line, logical } of logicalLines(text)) {
    const [, instruction, rest] = /^(\S+)\s+([^]*)$/.exec(logical)!;
    const step = { line, instruction: instruction!.toUpperCase(), ...withoutFlags(rest!) };
    if (step.instruction === "FROM") {
      const [, base, name] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(step.text)!;
      stages.push({ name: name ?? "", base: base!, steps: [] });
    } else stages.at(-1)!.steps.push(step);
  }
  return stages;
}

function* logicalLines(text: string): Generator<{ line: number; logical: string }> {
  let logical = "";
  let first = 0;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*#/.test(line) || (logical === "" && line.trim() === "")) continue;
    if (logical === "") first = index + 1;
    logical += line.replace(/\\\s*$/, " ");
    if (/\\\s*$/.test(line)) continue;
    yield { line: first, logical: logical.trim() };
    logical = "";
  }
}

function withoutFlags(text: string): Pick<Step, "flags" | "text"> {
  const flags: Record<string, string> = {};
  let rest = text;
  for (let match = FLAG.exec(rest); match !== null; match = FLAG.exec(rest)) {
    flags[match[1]!] = match[2] ?? "";
    rest = rest.slice(match[0].length);
  }
  return { flags, text: rest.trim() };
}

/** What a container of a stage is started with: the last of each instruction on the way from the first base to it. */
export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly user: string;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly ports: readonly number[];
  readonly volumes: readonly string[];
  readonly healthCheck: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** The configuration of the image that `target` gives, as far as the Dockerfile says it: nothing of an external base. */
export function imageConfig(stages: readonly Stage[], target: string): ImageConfig {
  const steps = stepsOf(stages, target);
  const texts = (instruction: string): string[] =>
    steps.filter((step) => step.instruction === instruction).map(({ text }) => text);
  const last = (instruction: string): string => texts(instruction).at(-1) ?? "";
  const exec = (text: string): string[] => (text === "" ? [] : (JSON.parse(text) as string[]));
  const pairs = (instruction: string): Record<string, string> =>
    Object.fromEntries(texts(instruction).flatMap((text) => assignments(text)));
  return {
    entrypoint: exec(last("ENTRYPOINT")),
    command: exec(last("CMD")),
    user: last("USER"),
    directory: texts("WORKDIR").reduce((from, to) => posix.resolve(from, to), "/"),
    environment: pairs("ENV"),
    ports: texts("EXPOSE").flatMap((text) => text.split(/\s+/).map(Number)),
    volumes: texts("VOLUME").flatMap((text) => text.split(/\s+/)),
    healthCheck: exec(last("HEALTHCHECK").replace(/^CMD\s+/, "")),
    labels: pairs("LABEL"),
  };
}

/** Every step of a stage and of those that it is built on. */
function stepsOf(stages: readonly Stage[], target: string): Step[] {
  const stage = stages.find(({ name }) => name === target);
  return stage === undefined ? [] : [...stepsOf(stages, stage.base), ...stage.steps];
}

function assignments(text: string): [string, string][] {
  return [...text.matchAll(/([\w.-]+)=(?:"([^"]*)"|(\S*))/g)].map((match) => [
    match[1]!,
    match[2] ?? match[3]!,
  ]);
}

/** Sources and destination of a COPY. */
export function copied({ text }: Step): { sources: string[]; destination: string } {
  const words = text.split(/\s+/);
  return { sources: words.slice(0, -1), destination: words.at(-1)! };
}

/**
 * The files below `root` that a build sees, by the patterns of a .dockerignore: the last one that fits decides, and what fits a directory fits all in it.
 * Source: docs.docker.com/build/concepts/context, ".dockerignore files".
 */
export function contextFiles(root: string, dockerignore: string): string[] {
  const patterns = dockerignore
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({
      isException: line.startsWith("!"),
      pattern: patternOf(posix.normalize(line.replace(/^!/, "")).replace(/^\/|\/$/g, "")),
    }));
  const isSeen = (path: string): boolean =>
    patterns.reduce(
      (seen, { isException, pattern }) =>
        ancestors(path).some((part) => pattern.test(part)) ? isException : seen,
      true,
    );
  // What can be excluded as a whole, and is large, is not walked through.
  const skipped = new Set(["node_modules", ".git", ".tap", "dist"]);
  const walk = (directory: string): string[] =>
    readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
      const path = posix.join(directory, entry.name);
      if (entry.isDirectory()) return skipped.has(path) && !isSeen(path) ? [] : walk(path);
      return isSeen(path) ? [path] : [];
    });
  return walk("").sort();
}

function ancestors(path: string): string[] {
  const parts = path.split("/");
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** As Go's filepath.Match, to which a leading point is a character like any other, and with `**` for any number of directories. */
function patternOf(glob: string): RegExp {
  const source = glob.replace(/\*\*\/?|\*|\?|[.+^${}()|[\]\\]/g, (part) => {
    if (part.startsWith("**")) return ".*";
    return { "*": "[^/]*", "?": "[^/]" }[part] ?? `\\${part}`;
  });
  return new RegExp(`^${source}$`);
}
