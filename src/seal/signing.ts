import { MeshproofError } from "../core/errors.ts";
import type { Checkpoint, CheckpointSigner } from "../tlog/checkpoint.ts";
import { signCheckpoint } from "../tlog/checkpoint.ts";

/** A signer that does not answer in this time is asked again at the next checkpoint. */
const SIGN_TIMEOUT_MS = 10_000;

/**
 * The checkpoint with a signature by each of `signers`, verified: what is committed must open again.
 * Throws: UNAVAILABLE when a signer does not sign or does not answer in time, KEY_INVALID when it makes a signature that its own
 * verifier key does not accept.
 */
export function signInTime(
  checkpoint: Pick<Checkpoint, "origin" | "size" | "root">,
  signers: readonly CheckpointSigner[],
): Promise<string> {
  return signCheckpoint(
    checkpoint,
    signers.map((signer) => ({
      name: signer.name,
      keyId: signer.keyId,
      verifierKey: signer.verifierKey,
      sign: (message) => answered(signer, message),
    })),
  );
}

async function answered(signer: CheckpointSigner, message: Uint8Array): Promise<Uint8Array> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`no answer within ${SIGN_TIMEOUT_MS} ms`)),
    SIGN_TIMEOUT_MS,
  );
  try {
    return await Promise.race([signer.sign(message), late]);
  } catch (cause) {
    throw new MeshproofError(
      "UNAVAILABLE",
      `the signer of ${signer.verifierKey} did not sign: ${(cause as Error).message}`,
      { cause },
    );
  } finally {
    clearTimeout(timer);
  }
}
