import { text as readText } from "node:stream/consumers";
import { pseudonymOf } from "../redaction.ts";
import { type ConfigOption, type Context, readConfig } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";

export interface PseudonymOptions extends ConfigOption {
  readonly json?: boolean;
}

/**
 * Prints what records have in the place of a value: what to search for. The value comes from standard input unless it is an argument, where a shell's history keeps it.
 * Throws: CONFIG_INVALID when the configuration has no key of pseudonyms.
 */
export async function printPseudonym(
  value: string | undefined,
  options: PseudonymOptions,
  context: Context,
  input: NodeJS.ReadableStream = process.stdin,
): Promise<ExitCode> {
  const config = readConfig(options, context);
  const answer = pseudonymOf(config, value ?? (await readText(input)).replace(/\r?\n$/, ""));
  if (options.json === true) context.output.json({ pseudonym: answer });
  else context.output.line(answer);
  return EXIT.ok;
}
