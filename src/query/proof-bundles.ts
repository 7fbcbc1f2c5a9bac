import { MeshproofError } from "../core/errors.ts";
import { LEAF_RANGES_FORM, parseLeafRanges } from "../tlog/leaf-ranges.ts";
import { parseCheckpoint } from "../tlog/checkpoint.ts";
import { encodeEntry } from "../tlog/entry.ts";
import { leafHash } from "../tlog/merkle.ts";
import { parseNote } from "../tlog/note.ts";
import { formatProofBundle } from "../tlog/proof-bundle.ts";
import { checkMany } from "../tlog/prove-many.ts";
import { sha256 } from "../core/sha256.ts";
import { checkProvable, theOne } from "./find-record.ts";
import { bad, show } from "./parameters.ts";
import { makeProof, type ProvableLog } from "./proofs.ts";
import { type FoundRecord, readRecords } from "./record-reader.ts";
import type { ReadAnswer, ReadInput } from "./reads.ts";

/** Records of one bundle over HTTP: `meshproof prove` writes larger ones. Their rows are bounded as those of every answer. */
const MAX_RECORDS = 1_000;

/**
 * The bundle that proves the records of the parameter `leaves`: all of them, or none. It was checked as `makeProof` checks.
 * Cost:   two queries of the store, one after the other; the tiles of the records.
 * Throws: BAD_REQUEST for the parameter, and when the rows are more than an answer holds; NOT_FOUND, UNAVAILABLE, FORBIDDEN and
 *         ROW_TAMPERED as for the first record of which a single proof would have it.
 */
export async function readProofBundle(
  { request, parameters, run }: ReadInput,
  log: ProvableLog,
): Promise<ReadAnswer> {
  const text = parameters.text("leaves");
  const leaves = text === undefined ? null : parseLeafRanges(text, MAX_RECORDS);
  if (leaves === null)
    throw bad(
      `leaves: expected ${LEAF_RANGES_FORM}, at most ${MAX_RECORDS} of them, got ${text === undefined ? "none" : show(text)}`,
    );
  for (const index of [leaves.at(-1)!, ...leaves]) checkProvable(log, { logId: log.id, index });
  const sizes = log.sizes(); // before the store is asked, since it grows
  const { records: found, isWhole } = await readRecords(run, log.id, leaves);
  if (!isWhole)
    throw bad("leaves: expected records whose rows fit an answer, got more; ask for fewer");
  const byLeaf = Map.groupBy(found, ({ leafIndex }) => Number(leafIndex));
  const records = leaves.map((index) =>
    theOne({ logId: log.id, index }, byLeaf.get(index) ?? [], sizes, request),
  );
  return { body: await makeBundle(log, leaves, records), rows: records.length };
}

async function makeBundle(
  log: ProvableLog,
  leaves: readonly number[],
  records: readonly FoundRecord[],
): Promise<string> {
  const { hashes, checkpoint } = await log.proveMany(leaves);
  const { size, root } = parseCheckpoint(parseNote(checkpoint).text);
  const hashesOfRows = records.map(({ row, kind }) => leafHash(encodeEntry(kind, sha256(row))));
  try {
    checkMany(hashes, leaves, size, hashesOfRows, root);
  } catch (error) {
    if (!(error instanceof MeshproofError) || error.code !== "PROOF_INVALID") throw error;
    for (const record of records) await makeProof(log, record); // says which
    throw error;
  }
  const bundled = records.map(({ row }, i) => ({ index: leaves[i]!, extra: row }));
  return [...formatProofBundle({ records: bundled, hashes, checkpoint })].join("");
}
