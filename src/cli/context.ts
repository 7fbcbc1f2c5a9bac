import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { FindConflicts } from "../config/checks.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/options.ts";
import type { Output } from "./output.ts";

/** What every command gets beside its own options. */
export interface Context {
  readonly output: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Options that several commands share. */
export interface ConfigOption {
  /** Files in the order of the command line; none means the configuration that ships with the package. */
  readonly config: readonly string[];
}

/** config/meshproof.yaml of the package: all defaults, and the variables that it names. */
const PACKAGED_CONFIG = fileURLToPath(new URL("../../config/meshproof.yaml", import.meta.url));

/** The files that a command reads: those it was given, else the packaged one. */
export function configFiles(options: ConfigOption): readonly string[] {
  if (options.config.length > 0) return options.config;
  return existsSync(PACKAGED_CONFIG) ? [PACKAGED_CONFIG] : [];
}

/** The configuration that a command runs with. Throws: CONFIG_INVALID. */
export function readConfig(
  options: ConfigOption,
  context: Context,
  findMore?: FindConflicts,
): Config {
  return loadConfig(configFiles(options), context.env, findMore);
}
