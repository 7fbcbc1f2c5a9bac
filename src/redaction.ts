import { statSync } from "node:fs";
import type { Config } from "./config/options.ts";
import { MeshproofError } from "./core/errors.ts";
import { Pattern, PatternError } from "./normalise/redaction/patterns.ts";
import { MIN_PSEUDONYM_KEY, pseudonym } from "./normalise/redaction/replacement.ts";
import { REDACTABLE_COLUMNS } from "./normalise/redaction/row-plan.ts";
import { isDefaultName, type RedactOptions } from "./normalise/redaction/rules.ts";
import { readSecret } from "./store-connection.ts";

type RedactConfig = Config["processors"]["normalise"]["redact"];

const SECTION = "processors.normalise.redact";
/** Read and write for others than the owner. */
const OTHERS = 0o077;

/**
 * What the configuration says is to be redacted, checked as far as the schema cannot.
 * Throws: CONFIG_INVALID, which names the option and never the key.
 */
export function redactOptions(config: Config): RedactOptions {
  const { redact } = config.processors.normalise;
  for (const [i, name] of redact.columns.entries())
    if (!REDACTABLE_COLUMNS.has(name))
      fail(`columns[${i}]`, `expected a column of texts, such as UserAgent, got ${name}`);
  for (const [i, name] of redact.keep.entries())
    if (!isDefaultName(name))
      fail(`keep[${i}]`, `expected a name that is redacted by default, got ${name}`);
  for (const [i, { pattern }] of redact.patterns.entries()) checkPattern(pattern, i);
  return {
    queryParameters: redact.query_parameters,
    headers: redact.headers,
    keys: redact.keys,
    columns: redact.columns,
    patterns: redact.patterns,
    keep: redact.keep,
    detect: redact.detect,
    ...pseudonymKey(redact),
  };
}

/**
 * What records have in the place of `value` where it was redacted.
 * Throws: CONFIG_INVALID when values are removed.
 */
export function pseudonymOf(config: Config, value: string): string {
  const { pseudonymKey: key } = redactOptions(config);
  if (key === undefined)
    fail("mode", "expected pseudonym, got remove: nothing in the records stands for a value");
  return pseudonym(key, Buffer.from(value)).toString();
}

function checkPattern(pattern: string, i: number): void {
  try {
    void new Pattern(pattern);
  } catch (error) {
    if (error instanceof PatternError) fail(`patterns[${i}].pattern`, error.message);
    throw error;
  }
}

/** The key is never made here: two servers with keys of their own would have two pseudonyms for one person, and a lost key cannot be made again. */
function pseudonymKey(redact: RedactConfig): { pseudonymKey?: string } {
  const { mode, pseudonym_key: text, pseudonym_key_file: file } = redact;
  if (mode === "remove") {
    if (text !== "" || file !== "") fail("mode", "expected pseudonym beside a key, got remove");
    return {};
  }
  if ((text === "") === (file === ""))
    fail(
      "mode",
      `expected either pseudonym_key or pseudonym_key_file for pseudonyms, got ${text === "" ? "neither" : "both"}; \`openssl rand -hex 32\` makes a key`,
    );
  if (file !== "") checkOwner(file);
  const key = file === "" ? text : readSecret(file);
  if (key.length < MIN_PSEUDONYM_KEY)
    fail(
      file === "" ? "pseudonym_key" : "pseudonym_key_file",
      `expected a key of at least ${MIN_PSEUDONYM_KEY} characters, got ${key.length}`,
    );
  return { pseudonymKey: key };
}

function checkOwner(file: string): void {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined)
    fail(
      "pseudonym_key_file",
      `expected a file, got none at ${file}; \`openssl rand -hex 32\` makes a key`,
    );
  else if (process.platform !== "win32" && (stat.mode & OTHERS) !== 0)
    fail(
      "pseudonym_key_file",
      `expected a file that its owner alone may read (mode 0600), got mode 0${(stat.mode & 0o777).toString(8)}`,
    );
}

function fail(option: string, message: string): never {
  throw new MeshproofError("CONFIG_INVALID", `${SECTION}.${option}: ${message}`);
}
