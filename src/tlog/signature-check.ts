import { concatBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { SignatureClaim } from "./signature-types.ts";

/**
 * Decides whether a signature holds.
 * Throws: KEY_INVALID when the algorithm or the key cannot be used here.
 */
export type SignatureCheck = (claim: SignatureClaim) => boolean;

/** The fixed DER in front of a raw public key in a SubjectPublicKeyInfo: RFC 8410, section 4, and RFC 9881, section 4. */
const SPKI_PREFIX: Readonly<Record<SignatureClaim["algorithm"], Uint8Array>> = {
  Ed25519: Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00),
  "ML-DSA-44": Uint8Array.from([
    0x30, 0x82, 0x05, 0x32, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03,
    0x11, 0x03, 0x82, 0x05, 0x21, 0x00,
  ]),
};

/** The key of a claim as a SubjectPublicKeyInfo. */
export function spkiOf({ algorithm, publicKey }: SignatureClaim): Uint8Array {
  return concatBytes(SPKI_PREFIX[algorithm], publicKey);
}

/** Node's own crypto; absent in a browser, where `checkSignatures` of web-signatures.ts is asked beforehand. */
const crypto = globalThis.process?.getBuiltinModule?.("node:crypto");

/** Does the signature hold, by Node's own crypto? Throws: KEY_INVALID; ML-DSA-44 needs Node 24.6 or later. */
export function checkSignature(claim: SignatureClaim): boolean {
  const { algorithm, name, message, signature } = claim;
  if (crypto === undefined) throw unusable(name, `${algorithm} cannot be verified at once here`);
  let key;
  try {
    key = crypto.createPublicKey({
      key: Buffer.from(spkiOf(claim)),
      format: "der",
      type: "spki",
    });
  } catch (cause) {
    throw unusable(name, `${algorithm}; ML-DSA-44 needs Node 24.6 or later`, cause);
  }
  return crypto.verify(null, message, key, signature);
}

/** The error of a key that cannot verify anything here. */
export function unusable(name: string, why: string, cause?: unknown): MeshproofError {
  return new MeshproofError("KEY_INVALID", `the key of ${name} cannot be used: ${why}`, { cause });
}
