import { encodeText } from "../core/bytes.ts";
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

/** That `signature` is one over `message` by the key: what an implementation of the algorithm decides. */
export interface SignatureClaim {
  readonly algorithm: "Ed25519" | "ML-DSA-44";
  /** Whose key it is, for messages. */
  readonly name: string;
  readonly publicKey: Uint8Array;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  /** Seconds since the epoch that the message states, if its type has them. */
  readonly timestamp: bigint | null;
}

/** Bytes of a public key of this signature type, or null for a type that cannot be verified here. */
export function expectedKeyLength(type: number): number | null {
  return KEY_LENGTHS.get(type) ?? null;
}

/**
 * What the bytes behind a key ID claim of the text of a note; null when they are not even of the right form.
 * The key's type is one of those that `expectedKeyLength` knows.
 * Throws: NOTE_INVALID when a text that has to be a checkpoint is none.
 */
export function signatureClaim(
  { name, type, publicKey }: SigningKey,
  text: string,
  bytes: Uint8Array,
): SignatureClaim | null {
  if (type === ED25519_TYPE) {
    if (bytes.length !== ED25519_SIGNATURE_LENGTH) return null;
    const message = encodeText(text);
    return { algorithm: "Ed25519", name, publicKey, message, signature: bytes, timestamp: null };
  }
  const isEd25519 = type === ED25519_COSIGNATURE_TYPE;
  const timestamped = decodeTimestamped(
    bytes,
    isEd25519 ? ED25519_SIGNATURE_LENGTH : ML_DSA_44_SIGNATURE_LENGTH,
  );
  if (timestamped === null) return null;
  const { timestamp, signature } = timestamped;
  const message = isEd25519
    ? ed25519Message(text, timestamp)
    : mlDsa44Message(name, text, timestamp);
  const algorithm = isEd25519 ? "Ed25519" : "ML-DSA-44";
  return { algorithm, name, publicKey, message, signature, timestamp };
}
