import { readFileSync } from "node:fs";
import type { Environment } from "./expand.ts";

/** What `--config` names, read. */
export interface ConfigText {
  /** For messages; never what stands in it. */
  readonly name: string;
  readonly text: string;
}

const SCHEME = /^(file|env|yaml|https?):/;
/** `exporters::clickhouse::database: otel`: one setting on one line. */
const SETTING = /^([\w./-]+(?:::[\w./-]+)+):(?:\s+(.*))?$/;

/** How messages name a location: one in YAML may hold secrets. */
export function nameOfLocation(location: string): string {
  return location.startsWith("yaml:")
    ? (/^yaml:[\w./:-]*/.exec(location)?.[0] ?? "yaml:")
    : location;
}

/**
 * The text at a path, or at a URI as the Collector takes them: `file:PATH`, `env:NAME` for a variable that holds YAML, `yaml:TEXT`, in which `a::b: c` is short for
 * `a: { b: c }`. Or what is wrong with it.
 * Source: OpenTelemetry Collector, confmap/provider/{fileprovider,envprovider,yamlprovider}/README.md. Its http: and https: are not taken: a configuration
 * from the network would say who may read records.
 */
export function readLocation(
  location: string,
  env: Environment,
): ConfigText | { readonly problem: string } {
  const scheme = SCHEME.exec(location)?.[1];
  const name = nameOfLocation(location);
  const rest = scheme === undefined ? location : location.slice(scheme.length + 1);
  if (scheme === "yaml") return { name, text: nested(rest) };
  if (scheme === "env") {
    const text = env[rest];
    return text === undefined
      ? { problem: `${name}: expected the environment variable ${rest} to be set` }
      : { name, text };
  }
  if (scheme === "http" || scheme === "https")
    return { problem: `${name}: expected a path, file:, env: or yaml:, got a URL` };
  try {
    return { name, text: readFileSync(rest, "utf8") };
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    return { problem: `${name}: expected a readable file, got ${why}` };
  }
}

function nested(text: string): string {
  const [, keys, value = ""] = SETTING.exec(text.trim()) ?? [];
  if (keys === undefined) return text;
  const lines = keys.split("::").map((key, depth) => `${"  ".repeat(depth)}${key}:`);
  return `${lines.join("\n")} ${value}\n`;
}
