import fs from "node:fs/promises";
import { join } from "node:path";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { isKeyName } from "../tlog/note.ts";
import type { Signer, SignerContext, SignerDefinition } from "./signers/define.ts";
import { statePath } from "./state.ts";

export interface OpenSignerOptions {
  /** The `signer` section of the configuration: `type`, and what that type asks for. What is an empty text counts as absent. */
  readonly config: SignerConfig;
  /** The `retiring_signer` section: the key that the signer replaces. */
  readonly retiring?: SignerConfig | undefined;
  readonly origin: string;
  readonly directory: string;
  /** May a key be made when there is none? Never once a log was signed here; a command that only reads says false. */
  readonly mayCreate?: boolean;
  readonly logger: Logger;
}

export type SignerConfig = { readonly type: string } & Readonly<Record<string, unknown>>;

export interface OpenedSigners {
  readonly signer: Signer;
  /** The key that signs beside it while it is being replaced. */
  readonly retiring: Signer | null;
}

/**
 * The signer that the configuration names. The kinds are the files in `signers/`; only the one in use is loaded.
 * Throws: CONFIG_INVALID for an unknown type, a wrong option or an origin that cannot name a key; KEY_INVALID when the key cannot be opened.
 */
export async function openSigner(options: OpenSignerOptions): Promise<Signer> {
  const { definition, section, context } = await prepare(options, options.config);
  return definition.create(section, context);
}

/**
 * The signer, and the one that it replaces while a rotation is under way: that of `retiring`, or what the signer's kind finds by itself.
 * Throws: as `openSigner`, for both.
 */
export async function openSigners(options: OpenSignerOptions): Promise<OpenedSigners> {
  const { definition, section, context } = await prepare(options, options.config);
  const signer = await definition.create(section, context);
  const retiring = await openRetiring(options, definition, section, context);
  return { signer, retiring: retiring?.verifierKey === signer.verifierKey ? null : retiring };
}

async function openRetiring(
  options: OpenSignerOptions,
  definition: SignerDefinition<unknown>,
  section: unknown,
  context: SignerContext,
): Promise<Signer | null> {
  if (options.retiring !== undefined)
    return openSigner({ ...options, config: options.retiring, mayCreate: false });
  const found = (await definition.retiring?.(section, context)) ?? null;
  return found === null ? null : definition.create(found, { ...context, mayCreate: false });
}

async function prepare(
  { origin, directory, mayCreate = true, logger }: OpenSignerOptions,
  { type, ...raw }: SignerConfig,
): Promise<{
  definition: SignerDefinition<unknown>;
  section: unknown;
  context: SignerContext;
}> {
  checkOrigin(origin);
  const kinds = await listSigners();
  const file = kinds.get(type);
  if (file === undefined)
    throw new MeshproofError(
      "CONFIG_INVALID",
      `signer.type: expected one of ${[...kinds.keys()].join(", ")}, got ${JSON.stringify(type)}`,
    );
  const { default: definition } = (await import(file)) as { default: SignerDefinition<unknown> };
  const given = Object.entries(raw).filter(([, value]) => value !== "");
  return {
    definition,
    section: definition.config(Object.fromEntries(given)),
    context: {
      origin,
      directory,
      mayCreate: mayCreate && !(await isLogSigned(directory)),
      logger,
    },
  };
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
  for (const path of [statePath(directory), join(directory, "log", "checkpoint")]) {
    try {
      await fs.access(path);
      return true;
    } catch {
      // Not there: look at the next.
    }
  }
  return false;
}
