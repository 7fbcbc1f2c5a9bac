import { findRisks } from "../config/checks.ts";
import { findFormatConflicts } from "../formats.ts";
import { nameOfLocation } from "../config/location.ts";
import { configHash, withoutSecrets } from "../config/hash.ts";
import { redactOptions } from "../redaction.ts";
import { configFiles, readConfig, type ConfigOption, type Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";

/** Says whether the configuration is right, and what is risky in it. With `json`, the whole of it as it would be used, without secrets. */
export async function validate(
  options: ConfigOption & { json?: boolean },
  { output, ...context }: Context,
): Promise<ExitCode> {
  const config = readConfig(options, { output, ...context }, findFormatConflicts);
  redactOptions(config);
  const risks = findRisks(config);
  if (options.json === true) {
    output.json({ hash: configHash(config), risks, config: withoutSecrets(config) });
    return EXIT.ok;
  }
  output.line(
    `${output.paint("green", "valid")}: ${configFiles(options).map(nameOfLocation).join(", ")}`,
  );
  for (const risk of risks) output.line(`${output.paint("yellow", "risk")}: ${risk}`);
  return EXIT.ok;
}
