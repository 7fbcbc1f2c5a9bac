import { createCipheriv, hash } from "node:crypto";
import type { OtlpRequest } from "../core/consumer.ts";

export const BATCH_SECRET_BYTES = 32;

/** GMAC wants a nonce that is used once, to keep tags that are shown from telling about the key. Ours are shown to nobody, and equal bodies must have equal ones. */
const NONCE = new Uint8Array(12);

/**
 * Key under which a batch is known when it comes again, 32 bytes: SHA-256 of signal, sender and length, and of the GMAC of the inflated body
 * under `secret`, which only this data directory has. Nobody without it can make two bodies of one key, and chance does it once in 2^100 pairs.
 * Cost: 0.07 µs a record of 1.5 kB, where SHA-256 of the body takes 0.80.
 * Source: NIST SP 800-38D, section 3 (GMAC).
 */
export function batchKey(
  secret: Uint8Array,
  { signal, sender, body }: Pick<OtlpRequest, "signal" | "sender" | "body">,
): Uint8Array {
  const gmac = createCipheriv("aes-256-gcm", secret, NONCE).setAAD(body);
  gmac.final();
  const label = JSON.stringify([signal, sender.auth, sender.name, body.length]);
  return hash("sha256", Buffer.concat([Buffer.from(label), gmac.getAuthTag()]), "buffer");
}
