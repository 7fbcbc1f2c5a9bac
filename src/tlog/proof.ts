import { MeshproofError } from "../core/errors.ts";
import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { HASH_LENGTH } from "./merkle.ts";
import type { VerifierKey } from "./note.ts";
import { type Policy, type WitnessedCheckpoint, openWitnessed } from "./policy.ts";
import { checkInclusion } from "./prove.ts";
import { decodeBase64, encodeBase64, parseDecimal } from "./spelling.ts";

/** A proof that can be checked with nothing but the log's verifier key: C2SP tlog-proof. Files end in `.tlog-proof`. */
export interface LogProof {
  readonly index: number;
  /** The inclusion proof, leaf side first. */
  readonly hashes: readonly Uint8Array[];
  /** The checkpoint as the log issued it: a signed note, verbatim. */
  readonly checkpoint: string;
  /** Bytes that no signature covers, or null: for us, the row from which the entry is computed. */
  readonly extra: Uint8Array | null;
}

const HEADER = "c2sp.org/tlog-proof@v1";
/** Longer than any inclusion proof in a tree of fewer than 2^53 leaves. */
const MAX_HASHES = 63;

/** The proof as text. */
export function formatProof(proof: LogProof): string {
  const lines = [HEADER];
  if (proof.extra !== null) lines.push(`extra ${encodeBase64(proof.extra)}`);
  lines.push(`index ${proof.index}`);
  for (const hash of proof.hashes) lines.push(encodeBase64(hash));
  return `${lines.join("\n")}\n\n${proof.checkpoint}`;
}

/**
 * The proof that `text` spells; nothing in it is verified. Base64 must be canonical, so that one proof has one spelling.
 * Throws: PROOF_INVALID when it is not a proof of version 1 to the letter. The checkpoint is left as it is.
 */
export function parseProof(text: string): LogProof {
  const split = text.indexOf("\n\n");
  if (split < 0) throw invalid("an empty line before the checkpoint", text.slice(0, 80));
  const lines = text.slice(0, split).split("\n");
  const header = lines.shift()!;
  if (header !== HEADER) throw invalid(`the first line ${HEADER}`, header);
  const extra = lines[0]?.startsWith("extra ")
    ? base64(lines.shift()!.slice("extra ".length))
    : null;
  const line = lines[0] ?? "";
  const index = line.startsWith("index ") ? parseDecimal(line.slice("index ".length)) : null;
  if (index === null) throw invalid("a line index <decimal below 2^53>", line);
  if (lines.length - 1 > MAX_HASHES)
    throw invalid(`at most ${MAX_HASHES} hashes`, String(lines.length - 1));
  const hashes = lines.slice(1).map(base64);
  const wrong = hashes.find((hash) => hash.length !== HASH_LENGTH);
  if (wrong !== undefined) throw invalid(`hashes of ${HASH_LENGTH} bytes`, `${wrong.length} bytes`);
  return { index, hashes, checkpoint: text.slice(split + 2), extra };
}

/**
 * The checkpoint that `proof` leads to, when it proves that the leaf with hash `leaf` stands in the log `origin`.
 * Whoever calls computes `leaf` from the record, never from `extra` alone without looking at what the row says.
 * Throws: NOTE_INVALID when the checkpoint is not signed by one of `keys` under that origin, PROOF_RANGE or PROOF_INVALID
 * when the inclusion proof does not lead to its root.
 */
export function checkProof(
  proof: LogProof,
  leaf: Uint8Array,
  origin: string,
  keys: readonly VerifierKey[],
): Checkpoint {
  const checkpoint = openCheckpoint(proof.checkpoint, origin, keys);
  checkInclusion(proof.hashes, proof.index, checkpoint.size, leaf, checkpoint.root);
  return checkpoint;
}

/**
 * The checkpoint that `proof` leads to, with the witnesses that saw it, when a log of `policy` signed it and its quorum cosigned it.
 * `logKeys` stand in for the logs of a policy that names none.
 * Throws: NOTE_INVALID when log or quorum is missing or a known signature does not verify, PROOF_RANGE or PROOF_INVALID as `checkProof`.
 */
export function checkWitnessedProof(
  proof: LogProof,
  leaf: Uint8Array,
  policy: Policy,
  logKeys?: readonly VerifierKey[],
): WitnessedCheckpoint {
  const checkpoint = openWitnessed(proof.checkpoint, policy, logKeys);
  checkInclusion(proof.hashes, proof.index, checkpoint.size, leaf, checkpoint.root);
  return checkpoint;
}

function base64(text: string): Uint8Array {
  const bytes = decodeBase64(text);
  if (bytes === null) throw invalid("canonical base64", text);
  return bytes;
}

function invalid(expected: string, got: string): MeshproofError {
  return new MeshproofError(
    "PROOF_INVALID",
    `tlog-proof: expected ${expected}, got ${JSON.stringify(got.slice(0, 200))}`,
  );
}
