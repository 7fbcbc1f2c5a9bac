import { type KeyObject, createPublicKey, sign } from "node:crypto";
import { MeshproofError } from "../core/errors.ts";
import type { CheckpointSigner } from "./checkpoint.ts";
import {
  ED25519_COSIGNATURE_TYPE,
  ML_DSA_44_TYPE,
  ed25519Message,
  encodeTimestamped,
  mlDsa44Message,
} from "./cosignature.ts";
import { formatVerifierKey, keyId } from "./note.ts";
import { expectedKeyLength } from "./signature-types.ts";

export interface CosignerOptions {
  /** The cosigner's name; a log that signs its own checkpoints this way takes its origin. */
  readonly name: string;
  /** Ed25519 gives signature type 0x04, ML-DSA-44 type 0x06. */
  readonly privateKey: KeyObject;
  /** Seconds since the epoch, now. */
  now(): bigint;
}

/**
 * A signer that makes timestamped signatures over checkpoints: a witness's, or with ML-DSA-44 the second one of a log, which
 * tlog-checkpoint recommends for logs ("Signatures").
 * Throws: KEY_INVALID for a key of another type.
 */
export function createCosigner({ name, privateKey, now }: CosignerOptions): CheckpointSigner {
  const type = typeOf(privateKey);
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  const publicKey = spki.subarray(-expectedKeyLength(type)!);
  const id = keyId(name, type, publicKey);
  return {
    name,
    keyId: id,
    verifierKey: formatVerifierKey({ name, keyId: id, type, publicKey }),
    async sign(text) {
      const body = Buffer.from(text).toString();
      const timestamp = now();
      const message =
        type === ML_DSA_44_TYPE
          ? mlDsa44Message(name, body, timestamp)
          : ed25519Message(body, timestamp);
      return encodeTimestamped({ timestamp, signature: sign(null, message, privateKey) });
    },
  };
}

function typeOf({ asymmetricKeyType }: KeyObject): number {
  if (asymmetricKeyType === "ed25519") return ED25519_COSIGNATURE_TYPE;
  if (asymmetricKeyType === "ml-dsa-44") return ML_DSA_44_TYPE;
  throw new MeshproofError(
    "KEY_INVALID",
    `expected a key of type ed25519 or ml-dsa-44 for cosignatures, got ${asymmetricKeyType ?? "a secret key"}`,
  );
}
