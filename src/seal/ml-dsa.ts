import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { dirname } from "node:path";
import { MeshproofError } from "../core/errors.ts";
import type { CheckpointSigner } from "../tlog/checkpoint.ts";
import { createCosigner } from "../tlog/cosigner.ts";
import { createFile, makeDirectory, readFileIfAny } from "./durable.ts";

const KIND = "ml-dsa-44";

/**
 * The log's ML-DSA-44 key in the PKCS#8 PEM file at `path`, which is made when it is not there: it signs beside the Ed25519 key, under which a
 * record names it, so a new one can continue any log.
 * Throws: KEY_INVALID when the file holds anything else, or this Node does not know the algorithm.
 */
export async function openMlDsaSigner(path: string, origin: string): Promise<CheckpointSigner> {
  try {
    let pem = await readFileIfAny(path);
    if (pem === null) {
      const { privateKey } = generateKeyPairSync(KIND);
      await makeDirectory(dirname(path), 0o700);
      await createFile(path, privateKey.export({ type: "pkcs8", format: "pem" }) as string, 0o600);
      pem = (await readFileIfAny(path)) ?? "";
    }
    const privateKey = createPrivateKey(pem);
    if (privateKey.asymmetricKeyType !== KIND)
      throw new Error(`expected an ML-DSA-44 key, got ${privateKey.asymmetricKeyType}`);
    const now = (): bigint => BigInt(Math.floor(Date.now() / 1000));
    return createCosigner({ name: origin, privateKey, now });
  } catch (cause) {
    throw new MeshproofError(
      "KEY_INVALID",
      `ML-DSA-44 key ${path}: ${(cause as Error).message} (it takes Node 24.6 or later)`,
      { cause },
    );
  }
}
