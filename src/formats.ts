import type { Conflict } from "./config/checks.ts";
import { nearest } from "./config/hints.ts";
import type { Config } from "./config/options.ts";
import { MeshproofError } from "./core/errors.ts";
import type { Dialect } from "./normalise/dialect.ts";
import { DIALECTS } from "./normalise/load-dialects.ts";
import { Normaliser } from "./normalise/normaliser.ts";
import { redactOptions } from "./redaction.ts";
import { compileFormat, type FormatProblem } from "./normalise/user-format.ts";

const PATH = ["processors", "normalise", "formats"] as const;

/** What is wrong with the formats of the configuration, each with the place where it stands. */
export function findFormatConflicts(config: Config): readonly Conflict[] {
  const { formats } = config.processors.normalise;
  return formats.flatMap((format, i) => {
    const compiled = compileFormat(format);
    const problems = "problems" in compiled ? compiled.problems : [];
    return [...nameConflicts(formats, i), ...problems.map((problem) => toConflict(problem, i))];
  });
}

/**
 * What turns log records into access records as the configuration says: its formats, its redaction, whom it trusts.
 * Throws: CONFIG_INVALID.
 */
export function createNormaliser(config: Config): Normaliser {
  return new Normaliser({
    redact: redactOptions(config),
    trustedHops: config.processors.normalise.trusted_hops,
    formats: compileFormats(config),
  });
}

/**
 * The dialects of the configuration's formats.
 * Throws: CONFIG_INVALID.
 */
export function compileFormats(config: Config): readonly Dialect[] {
  const [conflict] = findFormatConflicts(config);
  if (conflict !== undefined)
    throw new MeshproofError("CONFIG_INVALID", `${conflict.path.join(".")}: ${conflict.message}`);
  return config.processors.normalise.formats.flatMap((format) => {
    const compiled = compileFormat(format);
    return "dialect" in compiled ? [compiled.dialect] : [];
  });
}

function nameConflicts(formats: readonly { readonly name: string }[], i: number): Conflict[] {
  const { name } = formats[i]!;
  const path = [...PATH, i, "name"];
  if (DIALECTS.some((dialect) => dialect.name === name))
    return [
      { path, message: `expected a name of its own, got ${name}, a dialect that meshproof knows` },
    ];
  const other = formats.findIndex((format) => format.name === name);
  return other === i
    ? []
    : [{ path, message: `expected a name of its own, got ${name}, which formats[${other}] has` }];
}

function toConflict(
  { path, message, word, candidates = [], atKey }: FormatProblem,
  i: number,
): Conflict {
  const near = word === undefined ? undefined : nearest(word, candidates);
  return {
    path: [...PATH, i, ...path],
    message: near === undefined ? message : `${message}; did you mean ${near}?`,
    ...(atKey === undefined ? {} : { atKey }),
  };
}
