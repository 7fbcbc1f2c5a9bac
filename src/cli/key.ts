import { openSigner } from "../seal/open-signer.ts";
import { createLogger } from "../telemetry/logger.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";

/**
 * Prints the verifier key of the log that the configuration names. Makes the key where no log was signed yet; a key that
 * is missing beside a signed log is an error, for it has to be restored.
 */
export async function key(
  options: ConfigOption & { json?: boolean },
  context: Context,
): Promise<ExitCode> {
  const config = readConfig(options, context);
  const { origin, signer: signerConfig } = config.processors.seal;
  const signer = await openSigner({
    config: signerConfig,
    origin,
    directory: config.storage.directory,
    logger: createLogger(config.service.telemetry.logs),
  });
  if (options.json === true) context.output.json({ origin, verifierKey: signer.verifierKey });
  else context.output.line(signer.verifierKey);
  return EXIT.ok;
}
