import { parseProof } from "../tlog/proof.ts";
import { isProofBundle, parseProofBundle } from "../tlog/proof-bundle.ts";
import { checkSignatures } from "../tlog/web-signatures.ts";
import { checkRecordProof, proofText } from "./proof.ts";
import { type CheckedBundle, checkProofBundle } from "./proof-bundle.ts";
import { allKeysOf, type TrustOptions } from "./signed.ts";

/**
 * The rows that a proof or a proof bundle holds, when a log that is trusted has sealed them, and the policy's quorum saw it: as
 * `checkRecordProof` and `checkProofBundle` say, with signatures verified by Web Crypto. It runs in a browser and in Node, and uses no network.
 * `decodeSealed` reads a row.
 * Throws: as those two, and KEY_INVALID when the browser lacks the algorithm of a known key's signature.
 */
export async function checkProofFile(
  file: Uint8Array,
  trust: Omit<TrustOptions, "isValid">,
): Promise<CheckedBundle> {
  const bundle = isProofBundle(file) ? parseProofBundle(file) : null;
  const { checkpoint } = bundle ?? parseProof(proofText(file));
  const isValid = await checkSignatures(checkpoint, allKeysOf(trust));
  if (bundle !== null) return checkProofBundle(bundle, { ...trust, isValid });
  const { leafIndex, row, ...checked } = checkRecordProof(file, { ...trust, isValid });
  const { origin, treeSize, signatures, cosignatures } = checked;
  return { origin, treeSize, signatures, cosignatures, rows: [{ leafIndex, row }] };
}
