import fs from "node:fs/promises";
import { join } from "node:path";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { isKeyName } from "../tlog/note.ts";
import type { Signer, SignerDefinition } from "./signers/define.ts";

export interface OpenSignerOptions {
  /** The `signer` section of the configuration: `type`, and what that type asks for. */
  readonly config: { readonly type: string } & Readonly<Record<string, unknown>>;
  readonly origin: string;
  readonly directory: string;
  /** May a key be made when there is none? Never once a log was signed here; a command that only reads says false. */
  readonly mayCreate?: boolean;
  readonly logger: Logger;
}

/**
 * The signer that the configuration names. The kinds are the files in `signers/`; only the one in use is loaded.
 * Throws: CONFIG_INVALID for an unknown type, a wrong option or an origin that cannot name a key; KEY_INVALID when the key cannot be opened.
 */
export async function openSigner({
  config,
  origin,
  directory,
  mayCreate = true,
  logger,
}: OpenSignerOptions): Promise<Signer> {
  checkOrigin(origin);
  const { type, ...raw } = config;
  const kinds = await listSigners();
  const file = kinds.get(type);
  if (file === undefined)
    throw new MeshproofError(
      "CONFIG_INVALID",
      `signer.type: expected one of ${[...kinds.keys()].join(", ")}, got ${JSON.stringify(type)}`,
    );
  const { default: definition } = (await import(file)) as { default: SignerDefinition<unknown> };
  return definition.create(definition.config(raw), {
    origin,
    directory,
    mayCreate: mayCreate && !(await isLogSigned(directory)),
    logger,
  });
}

/**
 * Checks that `origin` can be the first line of a checkpoint and the name of its key.
 * Throws: CONFIG_INVALID.
 */
export function checkOrigin(origin: string): void {
  if (!isKeyName(origin))
    throw new MeshproofError(
      "CONFIG_INVALID",
      `origin: expected a name without spaces and without "+", such as meshproof.example/prod, got ${JSON.stringify(origin)}`,
    );
}

/** Kinds of signers with the module of each. */
async function listSigners(): Promise<Map<string, string>> {
  const folder = new URL("signers/", import.meta.url);
  const names = await fs.readdir(folder);
  return new Map(
    names
      .filter((name) => /^[a-z0-9-]+\.[tj]s$/.test(name) && !name.startsWith("define."))
      .sort()
      .map((name) => [name.slice(0, -3), new URL(name, folder).href]),
  );
}

/** Did this directory ever hold a signed log? Then a key that is missing must be restored, not made anew. */
async function isLogSigned(directory: string): Promise<boolean> {
  for (const path of [
    join(directory, "state", "checkpoint.json"),
    join(directory, "log", "checkpoint"),
  ]) {
    try {
      await fs.access(path);
      return true;
    } catch {
      // Not there: look at the next.
    }
  }
  return false;
}
