import {
  type KeyObject,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
} from "node:crypto";
import fs from "node:fs/promises";
import { dirname, join } from "node:path";
import { MeshproofError } from "../core/errors.ts";
import { createFile, makeDirectory, readFileIfAny } from "./durable.ts";

/** Permission bits that let others than the owner read, write or run. */
const OTHERS = 0o077;

/** The key file that the configuration means: `path`, or the default in the data directory when it is empty. */
export function keyFile(path: string, directory: string): string {
  return path === "" ? join(directory, "secrets", "log-key.pem") : path;
}

/** Where the key that is being replaced by the one in `path` stands. */
export function retiringFile(path: string): string {
  return `${path}.retiring`;
}

/** A log's private key as it was found, or made. */
export interface LogKey {
  readonly privateKey: KeyObject;
  /** The 32 bytes of the Ed25519 public key. */
  readonly publicKey: Uint8Array;
  readonly created: boolean;
  /** Can others than the owner open the file? */
  readonly exposed: boolean;
}

/**
 * The Ed25519 key in the PKCS#8 PEM file at `path`; with `mayCreate`, a new one when there is no file. A new file has mode
 * 0600 and is durable before the key signs anything.
 * Throws: KEY_INVALID when the file is missing and may not be made, cannot be read, or holds anything else.
 */
export async function openLogKey(path: string, mayCreate: boolean): Promise<LogKey> {
  const invalid = (what: string, cause?: unknown): MeshproofError =>
    new MeshproofError("KEY_INVALID", `log key ${path}: ${what}`, { cause });
  try {
    let pem = await readFileIfAny(path);
    let created = false;
    if (pem === null) {
      if (!mayCreate)
        throw invalid(
          "expected the key of the existing log, found no file; restore it, a new key cannot continue the log",
        );
      await makeDirectory(dirname(path), 0o700);
      created = await createFile(path, makeKeyPem(), 0o600);
      pem = (await readFileIfAny(path)) ?? "";
    }
    const privateKey = parsePrivateKey(pem, invalid);
    const jwk = createPublicKey(privateKey).export({ format: "jwk" });
    return {
      privateKey,
      publicKey: Uint8Array.from(Buffer.from(jwk.x!, "base64url")),
      created,
      exposed: ((await fs.stat(path)).mode & OTHERS) !== 0,
    };
  } catch (error) {
    if (error instanceof MeshproofError) throw error;
    throw invalid((error as Error).message, error);
  }
}

/** A new Ed25519 private key in PKCS#8 PEM. */
export function makeKeyPem(): string {
  return generateKeyPairSync("ed25519").privateKey.export({
    type: "pkcs8",
    format: "pem",
  }) as string;
}

function parsePrivateKey(
  pem: string,
  invalid: (what: string, cause?: unknown) => MeshproofError,
): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw invalid("expected a PKCS#8 PEM private key without a passphrase", cause);
  }
  if (key.asymmetricKeyType !== "ed25519")
    throw invalid(`expected an Ed25519 key, got ${key.asymmetricKeyType}`);
  return key;
}
