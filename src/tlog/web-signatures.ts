import { MeshproofError } from "../core/errors.ts";
import { isMadeBy, parseNote, type VerifierKey } from "./note.ts";
import { type SignatureCheck, spkiOf, unusable } from "./signature-check.ts";
import { expectedKeyLength, type SignatureClaim, signatureClaim } from "./signature-types.ts";
import { encodeBase64 } from "./spelling.ts";

/**
 * What Web Crypto says of the signatures of a note by `keys`, as a check that answers at once: browsers verify only asynchronously, and what is
 * built on notes is not. It knows the signatures of this note by these keys and no others.
 * Throws: NOTE_INVALID when it is no note.
 */
export async function checkSignatures(
  note: string,
  keys: readonly VerifierKey[],
): Promise<SignatureCheck> {
  const { text, signatures } = parseNote(note);
  const outcomes = new Map<string, boolean | MeshproofError>();
  for (const line of signatures) {
    for (const key of keys) {
      if (!isMadeBy(line, key) || expectedKeyLength(key.type) === null) continue;
      const claim = signatureClaim(key, text, line.signature);
      if (claim !== null) outcomes.set(nameOf(claim), await outcomeOf(claim));
    }
  }
  return (claim) => {
    const outcome = outcomes.get(nameOf(claim));
    if (outcome instanceof MeshproofError) throw outcome;
    // What was not asked for did not verify.
    return outcome === true;
  };
}

async function outcomeOf(claim: SignatureClaim): Promise<boolean | MeshproofError> {
  const { algorithm, name, message, signature } = claim;
  // Outside of secure contexts a page has none (Web Cryptography, section 10, "SecureContext").
  const subtle: typeof globalThis.crypto.subtle | undefined = globalThis.crypto?.subtle;
  if (subtle === undefined)
    return unusable(
      name,
      "Web Crypto is missing; a page has it over https, from localhost or a file",
    );
  try {
    const key = await subtle.importKey("spki", copyOf(spkiOf(claim)), algorithm, false, ["verify"]);
    return await subtle.verify(algorithm, key, copyOf(signature), copyOf(message));
  } catch (cause) {
    return unusable(
      name,
      `${algorithm} cannot be verified by this browser, or the key is none`,
      cause,
    );
  }
}

/** Everything that the claim is about. */
function nameOf({ algorithm, publicKey, message, signature }: SignatureClaim): string {
  return [algorithm, ...[publicKey, message, signature].map(encodeBase64)].join(" ");
}

/** As Web Crypto takes it: in memory that is not shared. */
function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes);
}
