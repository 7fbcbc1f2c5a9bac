import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/options.ts";
import { MeshproofError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import { keyFile } from "../seal/keys.ts";
import type { KeyPeriod } from "../seal/key-periods.ts";
import { openSigner, openSigners } from "../seal/open-signer.ts";
import { finishRotation, startRotation } from "../seal/rotation.ts";
import { readState, statePath } from "../seal/state.ts";
import { createLogger } from "../telemetry/logger.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import type { Output } from "./output.ts";

export interface KeyOptions extends ConfigOption {
  readonly json?: boolean;
}

export interface RotateOptions extends KeyOptions {
  /** Take the old key away. */
  readonly finish?: boolean;
}

/**
 * Prints the verifier key of the log that the configuration names; with --json, all keys that its checkpoints have. Makes none: whoever looks in the
 * wrong place is told so.
 */
export async function showKey(options: KeyOptions, context: Context): Promise<ExitCode> {
  const config = readConfig(options, context);
  const keys = await readKeys(config);
  if (config.processors.seal.signer.type === "file") expectKey(config, keyPathOf(config, "show"));
  const { signer, retiring } = await openSigners({ ...signersOf(config), mayCreate: false });
  if (options.json === true) {
    context.output.json({
      origin: signer.name,
      verifierKey: signer.verifierKey,
      retiring: retiring?.verifierKey ?? null,
      keys,
    });
    return EXIT.ok;
  }
  context.output.line(signer.verifierKey);
  if (retiring !== null)
    context.output.note(
      `It is replacing ${retiring.verifierKey}, which signs beside it until meshproof key rotate --finish.`,
    );
  if (keys.length > 1) for (const period of keys) noteKey(context.output, period);
  return EXIT.ok;
}

/** Makes the key of a log that is not there yet. Exit code 3 when there is a key already. */
export async function generateKey(options: KeyOptions, context: Context): Promise<ExitCode> {
  const config = readConfig(options, context);
  const path = keyPathOf(config, "generate");
  if (existsSync(path))
    throw new MeshproofError(
      "KEY_INVALID",
      `${path}: there is a key already; meshproof key prints its public half, meshproof key rotate replaces it`,
    );
  const signer = await openSigner({ ...signersOf(config), logger: silentLogger });
  if (options.json === true)
    context.output.json({ origin: signer.name, verifierKey: signer.verifierKey, path });
  else {
    context.output.line(signer.verifierKey);
    context.output.note(`Made ${path}. Keep a copy in a safe place: it cannot be made again.`);
  }
  return EXIT.ok;
}

/** Begins to replace the key, or ends it with --finish. A running server takes it up at its next start. */
export async function rotateKey(options: RotateOptions, context: Context): Promise<ExitCode> {
  const config = readConfig(options, context);
  const { output } = context;
  const path = keyPathOf(config, "rotate");
  const { origin } = config.processors.seal;
  expectKey(config, path);
  const keys = await readKeys(config);
  if (options.finish === true) {
    const { retired, current } = await finishRotation(path, origin, keys);
    if (options.json === true) output.json({ origin, retired, verifierKey: current });
    else {
      output.line(`${retired} signs no more after the next start of the server.`);
      output.line(`${current} signs alone.`);
    }
    return EXIT.ok;
  }
  const { old, current } = await startRotation(path, origin, keys);
  if (options.json === true) {
    output.json({ origin, retiring: old, verifierKey: current });
    return EXIT.ok;
  }
  output.columns([
    ["New key", current],
    ["Old key", old],
  ]);
  output.line();
  output.line("1. Restart the server: from then on every checkpoint has both signatures.");
  output.line(
    "2. Back up the new key file, and give the new key to witnesses and to everyone who verifies.",
  );
  output.line("3. meshproof key rotate --finish, and restart again: the new key signs alone.");
  return EXIT.ok;
}

function signersOf(config: Config) {
  const { origin, signer, retiring_signer } = config.processors.seal;
  return {
    config: signer,
    retiring: retiring_signer,
    origin,
    directory: config.storage.directory,
    logger: createLogger(config.service.telemetry.logs),
  };
}

/** The key file. Throws: CONFIG_INVALID when the key is in a token, where its owner's tools make and replace it. */
function keyPathOf(config: Config, command: string): string {
  const { type, path } = config.processors.seal.signer;
  if (type === "file") return keyFile(path, config.storage.directory);
  throw new MeshproofError(
    "CONFIG_INVALID",
    `meshproof key ${command}: expected a signer of type file, got ${type}. Make the key pair with the token's own tools; ` +
      "to replace one, name the new one in processors.seal.signer and the old one in processors.seal.retiring_signer",
  );
}

/** Throws: KEY_INVALID where no key was made yet. One that is missing beside a signed log has to be restored: whoever opens it says so. */
function expectKey(config: Config, path: string): void {
  const { directory } = config.storage;
  const signed = [statePath(directory), join(directory, "log", "checkpoint")];
  if (existsSync(path) || signed.some((file) => existsSync(file))) return;
  throw new MeshproofError(
    "KEY_INVALID",
    `${path}: there is no key yet; meshproof key generate makes it, and so does the first start. Is this the right configuration?`,
  );
}

async function readKeys(config: Config): Promise<readonly KeyPeriod[]> {
  return (await readState(config.storage.directory))?.keys ?? [];
}

function noteKey(output: Output, { verifierKey, from, through, record }: KeyPeriod): void {
  const until = through === null ? "on" : `to ${through}`;
  const named = record === null ? "" : `; record ${record} names it as the successor`;
  output.note(
    `${verifierKey} signs from ${from} ${from === 1 ? "record" : "records"} ${until}${named}`,
  );
}
