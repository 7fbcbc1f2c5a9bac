import { MeshproofError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { NoteSigner } from "../../tlog/note.ts";

/** Signs the log's checkpoints with an Ed25519 key (signature type 0x01), wherever that key lives. */
export interface Signer extends NoteSigner {
  /** The log's origin: the key bears its name. */
  readonly name: string;
  readonly keyId: number;
  /** The public half as text (vkey), for whoever checks. */
  readonly verifierKey: string;
  /** Rejects when the key cannot be reached now; it is asked again at the next checkpoint. Called once a checkpoint, never once a record. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** What a signer gets to know. */
export interface SignerContext {
  readonly origin: string;
  /** The data directory. */
  readonly directory: string;
  /** No log was signed in that directory yet, so a new key may be made. */
  readonly mayCreate: boolean;
  readonly logger: Logger;
}

/** One kind of signer: a file of this folder, named as its kind, whose default export is made by `defineSigner`. */
export interface SignerDefinition<Options> {
  /** The value of `signer.type` in the configuration. */
  readonly kind: string;
  /** Reads the other keys below `signer`. Throws: CONFIG_INVALID, naming the key. */
  config(raw: Readonly<Record<string, unknown>>): Options;
  /** Opens the key. Throws: KEY_INVALID. */
  create(options: Options, context: SignerContext): Promise<Signer>;
  /** Options of the key that this one replaces, where a rotation leaves it in a known place; null when there is none. */
  retiring?(options: Options, context: Pick<SignerContext, "directory">): Promise<Options | null>;
}

/** The definition itself; it gives the options their type. */
export function defineSigner<Options>(
  definition: SignerDefinition<Options>,
): SignerDefinition<Options> {
  return definition;
}

/**
 * The options below `signer` that are texts; an absent one is empty.
 * Throws: CONFIG_INVALID for one that is no text, or that this kind does not have.
 */
export function textOptions<const Name extends string>(
  kind: string,
  raw: Readonly<Record<string, unknown>>,
  names: readonly Name[],
): Readonly<Record<Name, string>> {
  for (const [name, value] of Object.entries(raw)) {
    if (!names.some((known) => known === name))
      throw new MeshproofError(
        "CONFIG_INVALID",
        `signer.${name}: expected no such key for a signer of type ${kind}`,
      );
    if (typeof value !== "string")
      throw new MeshproofError(
        "CONFIG_INVALID",
        `signer.${name}: expected a string, got ${JSON.stringify(value)}`,
      );
  }
  return Object.fromEntries(names.map((name) => [name, raw[name] ?? ""])) as Record<Name, string>;
}
