import { type KeyObject, createPublicKey, verify } from "node:crypto";
import { MeshproofError } from "../core/errors.ts";
import {
  ED25519_COSIGNATURE_TYPE,
  ML_DSA_44_KEY_LENGTH,
  ML_DSA_44_SIGNATURE_LENGTH,
  ML_DSA_44_TYPE,
  decodeTimestamped,
  ed25519Message,
  mlDsa44Message,
} from "./cosignature.ts";

/** The signature types that can be verified here: C2SP signed-note v1.0.0, "Signature types". */

/** A plain Ed25519 signature over the note's text, by a log. */
export const ED25519_TYPE = 0x01;
/** Bytes of an Ed25519 public key, and of a signature (RFC 8032, section 5.1). */
const ED25519_KEY_LENGTH = 32;
const ED25519_SIGNATURE_LENGTH = 64;

/** The fixed DER in front of a raw public key in a SubjectPublicKeyInfo: RFC 8410, section 4, and RFC 9881, section 4. */
const ED25519_SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const ML_DSA_44_SPKI_PREFIX = Buffer.from("30820532300b06096086480165030403110382052100", "hex");

const KEY_LENGTHS: ReadonlyMap<number, number> = new Map([
  [ED25519_TYPE, ED25519_KEY_LENGTH],
  [ED25519_COSIGNATURE_TYPE, ED25519_KEY_LENGTH],
  [ML_DSA_44_TYPE, ML_DSA_44_KEY_LENGTH],
]);

/** Key and name of whoever signed. */
interface SigningKey {
  readonly name: string;
  readonly type: number;
  readonly publicKey: Uint8Array;
}

/** Bytes of a public key of this signature type, or null for a type that cannot be verified here. */
export function expectedKeyLength(type: number): number | null {
  return KEY_LENGTHS.get(type) ?? null;
}

/**
 * The time that a valid signature over a note's text carries, if its type has one; null when the signature does not verify.
 * `signature` is what stands behind the key ID; the type is one of those that `expectedKeyLength` knows.
 * Throws: KEY_INVALID when this Node has no such algorithm, NOTE_INVALID when a text that has to be a checkpoint is none.
 */
export function verifySignature(
  key: SigningKey,
  text: string,
  signature: Uint8Array,
): { readonly timestamp: bigint | null } | null {
  if (key.type === ED25519_TYPE) {
    if (signature.length !== ED25519_SIGNATURE_LENGTH) return null;
    return verify(null, Buffer.from(text), publicKeyOf(key), signature)
      ? { timestamp: null }
      : null;
  }
  const isEd25519 = key.type === ED25519_COSIGNATURE_TYPE;
  const timestamped = decodeTimestamped(
    signature,
    isEd25519 ? ED25519_SIGNATURE_LENGTH : ML_DSA_44_SIGNATURE_LENGTH,
  );
  if (timestamped === null) return null;
  const { timestamp } = timestamped;
  const message = isEd25519
    ? ed25519Message(text, timestamp)
    : mlDsa44Message(key.name, text, timestamp);
  return verify(null, message, publicKeyOf(key), timestamped.signature) ? { timestamp } : null;
}

/** The key object of a raw public key. */
function publicKeyOf({ name, type, publicKey }: SigningKey): KeyObject {
  const prefix = type === ML_DSA_44_TYPE ? ML_DSA_44_SPKI_PREFIX : ED25519_SPKI_PREFIX;
  try {
    return createPublicKey({
      key: Buffer.concat([prefix, publicKey]),
      format: "der",
      type: "spki",
    });
  } catch (cause) {
    throw new MeshproofError(
      "KEY_INVALID",
      `the key of ${name} (signature type ${type}) cannot be used; ML-DSA-44 needs Node 24.6 or later`,
      { cause },
    );
  }
}
