import { open } from "node:fs/promises";
import { MeshproofError } from "../core/errors.ts";
import {
  type BundledRecord,
  formatProofBundle,
  MAX_BUNDLE_BYTES,
  MAX_BUNDLE_RECORDS,
  type ProofBundle,
} from "../tlog/proof-bundle.ts";
import type { Prover } from "../verify/prover.ts";
import type { Context } from "./context.ts";
import {
  type Candidates,
  FILE_MODE,
  missingRow,
  type Outcome,
  STANDARD_OUTPUT,
} from "./prove-outcome.ts";

/** Text is written in pieces of about this size. */
const PIECE_LENGTH = 1024 * 1024;
/** What a record takes at most beside its base64: `extra`, `index`, sixteen digits and two newlines. */
const BYTES_BESIDE_ROW = 30;
/** A hash in base64, and its newline. */
const HASH_LINE_BYTES = 45;

/**
 * Writes one bundle with the proofs of all records that can be proved, to `file`.
 * Throws: CONFIG_INVALID when these are more than a bundle holds.
 */
export async function proveInBundle(
  prover: Prover,
  found: AsyncIterable<Candidates>,
  file: string,
  { output }: Context,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const records: BundledRecord[] = [];
  const tables = new Map<number, string>();
  let bytes = 0;
  for await (const { index, rows } of found) {
    const leafIndex = Number(index);
    if (rows.length === 0) outcomes.push(missingRow(leafIndex));
    for (const { table, row } of rows) {
      bytes += Math.ceil(row.length / 3) * 4 + BYTES_BESIDE_ROW;
      if (bytes > MAX_BUNDLE_BYTES || records.length === MAX_BUNDLE_RECORDS) throw tooLarge();
      records.push({ index: leafIndex, extra: row });
      tables.set(leafIndex, table);
    }
  }
  const { bundle, faults } = await prover.proveMany(records.sort((a, b) => a.index - b.index));
  if (bundle !== null) {
    bytes += bundle.hashes.length * HASH_LINE_BYTES + Buffer.byteLength(bundle.checkpoint);
    if (bytes > MAX_BUNDLE_BYTES) throw tooLarge();
    await write(bundle, file, (text) => output.write(text));
  }
  for (const { index } of bundle?.records ?? [])
    outcomes.push({ leafIndex: index, table: tables.get(index)!, file });
  for (const { index, fault, detail } of faults)
    outcomes.push({
      leafIndex: index,
      table: tables.get(index)!,
      file: null,
      fault,
      detail,
    });
  return outcomes.sort((a, b) => a.leafIndex - b.leafIndex);
}

function tooLarge(): MeshproofError {
  return new MeshproofError(
    "CONFIG_INVALID",
    `meshproof prove: expected at most ${MAX_BUNDLE_RECORDS} records and ${MAX_BUNDLE_BYTES} bytes for a bundle, got more; write several`,
  );
}

async function write(
  bundle: ProofBundle,
  file: string,
  toStandardOutput: (text: string) => void,
): Promise<void> {
  if (file === STANDARD_OUTPUT) {
    for (const piece of pieces(bundle)) toStandardOutput(piece);
    return;
  }
  const handle = await open(file, "w", FILE_MODE);
  try {
    for (const piece of pieces(bundle)) await handle.writeFile(piece);
  } finally {
    await handle.close();
  }
}

function* pieces(bundle: ProofBundle): Generator<string> {
  let piece = "";
  for (const text of formatProofBundle(bundle)) {
    piece += text;
    if (piece.length < PIECE_LENGTH) continue;
    yield piece;
    piece = "";
  }
  yield piece;
}
