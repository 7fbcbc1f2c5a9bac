import { concatBytes, encodeText } from "../core/bytes.ts";
import { type Checkpoint, invalidCheckpoint, parseCheckpoint } from "./checkpoint-body.ts";

/** Timestamped signatures over checkpoints: C2SP tlog-cosignature v1.1.0. */

/** Signature type of a timestamped Ed25519 signature, by a witness ("cosignature/v1"). */
export const ED25519_COSIGNATURE_TYPE = 0x04;
/** Signature type of a timestamped ML-DSA-44 signature, by a witness or by the log itself ("subtree/v1"). */
export const ML_DSA_44_TYPE = 0x06;

/** Bytes of an ML-DSA-44 public key, and of a signature (FIPS 204, table 2). */
export const ML_DSA_44_KEY_LENGTH = 1_312;
export const ML_DSA_44_SIGNATURE_LENGTH = 2_420;

/** Seconds since the epoch in front of the signature, as a big-endian uint64. */
const TIMESTAMP_LENGTH = 8;
/** The latest timestamp that the standard allows ("Format"). */
export const MAX_TIMESTAMP = 2n ** 63n - 1n;

/** `uint8 label[12]` of the ML-DSA-44 message. */
const SUBTREE_LABEL = encodeText("subtree/v1\n\0");
/** `opaque cosigner_name<1..2^8-1>`, and so the origin. */
const MAX_NAME_LENGTH = 0xff;

/** A signature and when it was made: what stands behind the key ID in a signature line. */
export interface TimestampedSignature {
  /** Seconds since the epoch. */
  readonly timestamp: bigint;
  readonly signature: Uint8Array;
}

/** The bytes that stand behind the key ID. */
export function encodeTimestamped({ timestamp, signature }: TimestampedSignature): Uint8Array {
  return concatBytes(uint64(timestamp), signature);
}

/** What `bytes` hold, or null when they are not a timestamp that the standard allows and a signature of `signatureLength` bytes. */
export function decodeTimestamped(
  bytes: Uint8Array,
  signatureLength: number,
): TimestampedSignature | null {
  if (bytes.length !== TIMESTAMP_LENGTH + signatureLength) return null;
  const timestamp = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0);
  if (timestamp > MAX_TIMESTAMP) return null;
  return { timestamp, signature: bytes.subarray(TIMESTAMP_LENGTH) };
}

/**
 * What an Ed25519 cosigner signs over the note text of a checkpoint, extension lines included.
 * It does not commit to the cosigner's name: no two cosigners may have one key.
 * Source: tlog-cosignature, "Ed25519 signed message".
 */
export function ed25519Message(text: string, timestamp: bigint): Uint8Array {
  return encodeText(`cosignature/v1\ntime ${timestamp}\n${text}`);
}

/**
 * What an ML-DSA-44 cosigner with this name signs over the note text of a checkpoint. It leaves out the extension lines.
 * Throws: NOTE_INVALID when the text is no checkpoint, or a name is longer than 255 bytes.
 * Source: tlog-cosignature, "ML-DSA-44 signed message"; of a checkpoint, `start` is 0 and `end` the tree size.
 */
export function mlDsa44Message(cosigner: string, text: string, timestamp: bigint): Uint8Array {
  const { origin, size, root }: Checkpoint = parseCheckpoint(text);
  return concatBytes(
    SUBTREE_LABEL,
    lengthPrefixed(cosigner),
    uint64(timestamp),
    lengthPrefixed(origin),
    uint64(0n),
    uint64(BigInt(size)),
    root,
  );
}

function lengthPrefixed(name: string): Uint8Array {
  const bytes = encodeText(name);
  if (bytes.length === 0 || bytes.length > MAX_NAME_LENGTH)
    throw invalidCheckpoint(`a name of 1 to ${MAX_NAME_LENGTH} bytes for ML-DSA-44`, name);
  return concatBytes(Uint8Array.of(bytes.length), bytes);
}

function uint64(value: bigint): Uint8Array {
  const out = new Uint8Array(TIMESTAMP_LENGTH);
  new DataView(out.buffer).setBigUint64(0, value);
  return out;
}
