import { decodeText, decodeTextStrictly, encodeText } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { HASH_LENGTH } from "./merkle.ts";
import type { LogProof } from "./proof.ts";
import { inclusionOf } from "./prove-many.ts";
import { decodeBase64, encodeBase64, parseDecimal } from "./spelling.ts";

/**
 * Proofs of many records under one checkpoint: a format of our own, since C2SP's tlog-proof has one record. It is text for the same reasons
 * as tlog-proof, and made of the same lines; from it follows the tlog-proof of each of its records (`proofOf`). docs/proofs.md describes it.
 */
export interface ProofBundle {
  /** Ascending by index, each once, at least one. */
  readonly records: readonly BundledRecord[];
  /** What `proveMany` gives for the indexes. */
  readonly hashes: readonly Uint8Array[];
  /** The checkpoint as the log issued it: a signed note, verbatim. */
  readonly checkpoint: string;
}

/** A record of a bundle: what tlog-proof has on its lines `extra` and `index`. */
export interface BundledRecord {
  readonly index: number;
  /** Bytes that no signature covers: for us, the row from which the entry is computed. */
  readonly extra: Uint8Array;
}

/** Most records of one bundle. */
export const MAX_BUNDLE_RECORDS = 100_000;
/** Most bytes of one: so many records of 1.9 kB and the hashes between them. */
export const MAX_BUNDLE_BYTES = 256 * 1024 * 1024;

const HEADER = "meshproof/proof-bundle@v1";
const HEADER_LINE = encodeText(`${HEADER}\n`);
const EXTRA = encodeText("extra ");
const INDEX = encodeText("index ");
const NEWLINE = 0x0a;

/** Is this a bundle, by its first line? */
export function isProofBundle(bytes: Uint8Array): boolean {
  return startsWith(bytes, HEADER_LINE, 0);
}

/** The bundle as text, piece by piece: a large one is no single string. */
export function* formatProofBundle(bundle: ProofBundle): Generator<string, void, undefined> {
  yield `${HEADER}\n`;
  for (const { index, extra } of bundle.records)
    yield `extra ${encodeBase64(extra)}\nindex ${index}\n`;
  for (const hash of bundle.hashes) yield `${encodeBase64(hash)}\n`;
  yield `\n${bundle.checkpoint}`;
}

/**
 * The bundle that `bytes` spell; nothing in it is verified. One bundle has one spelling: indexes ascend, numbers and base64 are canonical.
 * Throws: PROOF_INVALID when it is not a bundle of version 1 to the letter, or larger than one may be. The checkpoint is left as it is; how many hashes there have to be follows from its size.
 */
export function parseProofBundle(bytes: Uint8Array): ProofBundle {
  if (bytes.length > MAX_BUNDLE_BYTES)
    throw invalid(`at most ${MAX_BUNDLE_BYTES} bytes`, `${bytes.length} bytes`);
  if (!isProofBundle(bytes))
    throw invalid(`the first line ${HEADER}`, decodeText(bytes.subarray(0, 80)));
  const lines = new Lines(bytes, HEADER_LINE.length);
  const records: BundledRecord[] = [];
  let line = lines.next();
  while (startsWith(line, EXTRA, 0)) {
    if (records.length === MAX_BUNDLE_RECORDS)
      throw invalid(`at most ${MAX_BUNDLE_RECORDS} records`, "more");
    const extra = base64(line.subarray(EXTRA.length));
    line = lines.next();
    const text = startsWith(line, INDEX, 0) ? decodeText(line.subarray(INDEX.length)) : "";
    const index = parseDecimal(text);
    if (index === null) throw invalid("a line index <decimal below 2^53>", show(line));
    const before = records.at(-1);
    if (before !== undefined && index <= before.index)
      throw invalid(`an index above ${before.index}`, text);
    records.push({ index, extra });
    line = lines.next();
  }
  if (records.length === 0) throw invalid("a line extra <base64>", show(line));
  const hashes: Uint8Array[] = [];
  while (line.length > 0) {
    const hash = base64(line);
    if (hash.length !== HASH_LENGTH)
      throw invalid(`hashes of ${HASH_LENGTH} bytes`, `${hash.length} bytes`);
    hashes.push(hash);
    line = lines.next();
  }
  const checkpoint = decodeTextStrictly(bytes.subarray(lines.position));
  if (checkpoint === null) throw invalid("UTF-8", "other bytes");
  return { records, hashes, checkpoint };
}

/**
 * The C2SP tlog-proof of the record `index` of a bundle, for programs that know nothing of bundles. The bundle is not verified: that its
 * proof holds follows from the bundle's, and the other way about.
 * `leafOf` gives the leaf hash of a record from its `extra`; `size` is that of the checkpoint.
 * Cost:   one pass over the bundle.
 * Throws: PROOF_RANGE when the bundle has no such record or one beyond `size`, PROOF_INVALID when it has too few or too many hashes.
 */
export function proofOf(
  bundle: ProofBundle,
  index: number,
  size: number,
  leafOf: (extra: Uint8Array) => Uint8Array,
): LogProof {
  const { records, checkpoint } = bundle;
  const found = records.find((record) => record.index === index);
  if (found === undefined)
    throw new MeshproofError("PROOF_RANGE", `record ${index} is not in the proof bundle`);
  const indexes = records.map((record) => record.index);
  const leaves = records.map(({ extra }) => leafOf(extra));
  const hashes = inclusionOf(index, bundle.hashes, indexes, size, leaves);
  return { index, hashes, checkpoint, extra: found.extra };
}

/** Lines of bytes, one after the other. */
class Lines {
  readonly #bytes: Uint8Array;
  /** Where the next line begins. */
  position: number;

  constructor(bytes: Uint8Array, position: number) {
    this.#bytes = bytes;
    this.position = position;
  }

  /** The next line without its newline. Throws: PROOF_INVALID when there is none. */
  next(): Uint8Array {
    const start = this.position;
    const end = this.#bytes.indexOf(NEWLINE, start);
    if (end < 0)
      throw invalid(
        "an empty line before the checkpoint",
        show(this.#bytes.subarray(start)) || "the end of the file",
      );
    this.position = end + 1;
    return this.#bytes.subarray(start, end);
  }
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array, at: number): boolean {
  return bytes.length >= at + prefix.length && prefix.every((byte, i) => bytes[at + i] === byte);
}

function base64(digits: Uint8Array): Uint8Array {
  const bytes = decodeBase64(digits);
  if (bytes === null) throw invalid("canonical base64", show(digits));
  return bytes;
}

/** The beginning of a line for a message. */
function show(line: Uint8Array): string {
  return decodeText(line.subarray(0, 200));
}

function invalid(expected: string, got: string): MeshproofError {
  return new MeshproofError(
    "PROOF_INVALID",
    `proof bundle: expected ${expected}, got ${JSON.stringify(got.slice(0, 200))}`,
  );
}
