/**
 * The public API: the offline verifier, and what a dialect or a signer of one's own is defined with.
 * Everything here works without a server, a ClickHouse client or native code.
 */
export { ERRORS, MeshproofError, type ErrorCode } from "./core/errors.ts";
export { KINDS, type Kind, type KindName } from "./core/kinds.ts";
export type {
  BundleBatch,
  LeafBatch,
  RowBatchBytes,
  RowSource,
  StoredCheckpoint,
  StrangeRows,
} from "./core/verification.ts";
export { defineDialect } from "./normalise/dialect.ts";
export { TABLES, type Column, type Table } from "./records/columns.ts";
export { type RecordJson, rowToJson } from "./records/row-json.ts";
export { decodeRow, type RowValue } from "./records/row-codec.ts";
export { defineSigner } from "./seal/signers/define.ts";
export { openCheckpoint, parseCheckpoint, type Checkpoint } from "./tlog/checkpoint.ts";
export { encodeEntry } from "./tlog/entry.ts";
export { leafHash, nodeHash } from "./tlog/merkle.ts";
export { parseVerifierKey, type VerifierKey } from "./tlog/note.ts";
export { checkProof, parseProof, type LogProof } from "./tlog/proof.ts";
export { type Policy } from "./tlog/policy.ts";
export { parsePolicy } from "./tlog/policy-file.ts";
export {
  formatProofBundle,
  isProofBundle,
  parseProofBundle,
  type ProofBundle,
} from "./tlog/proof-bundle.ts";
export { checkConsistency, checkInclusion } from "./tlog/prove.ts";
export { checkMany } from "./tlog/prove-many.ts";
export { DirectoryLogReader, type LogReader } from "./verify/log-reader.ts";
export {
  type CheckedCheckpoint,
  type CheckedRecord,
  checkRecordProof,
  decodeSealed,
  type SealedRecord,
} from "./verify/proof.ts";
export { type CheckedBundle, checkProofBundle, extractProof } from "./verify/proof-bundle.ts";
export type { CheckedSignature, TrustOptions } from "./verify/signed.ts";
export { type Proved, Prover, type ProverOptions } from "./verify/prover.ts";
export type { Fault, FaultKind, Report } from "./verify/report.ts";
export type { SeenCheckpoint } from "./verify/checkpoint-check.ts";
export type { KeptRow, KeptRows, OtherPlaces } from "./verify/missing-rows.ts";
export { type Progress, verify, type VerifyOptions } from "./verify/verify.ts";
