/**
 * The verifier for browsers: what checks proofs, bundles, checkpoints, cosignatures and policies, and reads the rows in them. Nothing that is
 * reached from here imports from Node or from a package. Signatures are verified by Web Crypto; all else is at once, in JavaScript alone.
 */
export { ERRORS, type ErrorCode, MeshproofError } from "./core/errors.ts";
export { KINDS, type Kind, type KindName } from "./core/kinds.ts";
export { type Column, type Table, TABLES } from "./records/columns.ts";
export { decodeRow, type RowValue } from "./records/row-codec.ts";
export { type RecordJson, rowToJson } from "./records/row-json.ts";
export { type Checkpoint, openCheckpoint, parseCheckpoint } from "./tlog/checkpoint.ts";
export { encodeEntry } from "./tlog/entry.ts";
export { leafHash, nodeHash } from "./tlog/merkle.ts";
export { formatVerifierKey, parseNote, parseVerifierKey, type VerifierKey } from "./tlog/note.ts";
export { openWitnessed, type Policy } from "./tlog/policy.ts";
export { parsePolicy } from "./tlog/policy-file.ts";
export { formatProof, type LogProof, parseProof } from "./tlog/proof.ts";
export { isProofBundle, parseProofBundle, type ProofBundle } from "./tlog/proof-bundle.ts";
export { checkConsistency, checkInclusion } from "./tlog/prove.ts";
export { checkMany } from "./tlog/prove-many.ts";
export type { SignatureCheck } from "./tlog/signature-check.ts";
export { checkSignatures } from "./tlog/web-signatures.ts";
export { decodeSealed, leafOf, type SealedRecord } from "./verify/proof.ts";
export { type CheckedBundle, extractProof } from "./verify/proof-bundle.ts";
export { checkProofFile } from "./verify/proof-file.ts";
export type { CheckedSignature, TrustOptions } from "./verify/signed.ts";
