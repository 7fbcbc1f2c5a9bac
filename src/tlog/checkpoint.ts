import { MeshproofError } from "../core/errors.ts";
import { HASH_LENGTH } from "./merkle.ts";
import { type VerifierKey, decodeBase64, parseNote, verifyNote } from "./note.ts";

/** The state of a log that a signature covers: C2SP tlog-checkpoint v1.0.0. */
export interface Checkpoint {
  /** The log's identity; also the name of its key. */
  readonly origin: string;
  /** Leaves in the tree. */
  readonly size: number;
  readonly root: Uint8Array;
  /** Lines behind the third, which no monitor reads. Ours have none. */
  readonly extensions: readonly string[];
}

/** The note text of a checkpoint without extension lines. */
export function formatCheckpoint(checkpoint: Pick<Checkpoint, "origin" | "size" | "root">): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${Buffer.from(checkpoint.root).toString("base64")}\n`;
}

/**
 * The checkpoint that the text of a note spells.
 * Throws: NOTE_INVALID unless it is one to the letter: decimal size without leading zeroes, 32 bytes of canonical base64.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split("\n");
  if (lines.pop() !== "") throw invalid("a newline at the end", text);
  const [origin, size, root, ...extensions] = lines;
  if (origin === undefined || size === undefined || root === undefined || lines.includes(""))
    throw invalid("three or more lines, none of them empty", text);
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)))
    throw invalid("a decimal tree size below 2^53 on line 2", size);
  const bytes = decodeBase64(root);
  if (bytes === null || bytes.length !== HASH_LENGTH)
    throw invalid(`the base64 of ${HASH_LENGTH} bytes on line 3`, root);
  return { origin, size: Number(size), root: Uint8Array.from(bytes), extensions };
}

/**
 * The checkpoint in a signed note, after its signatures.
 * Throws: NOTE_INVALID when the note or the checkpoint does not parse, names another origin than `origin`, or is not
 * signed by one of `keys` that bears the origin as its name ("The log's key name SHOULD match the origin line").
 */
export function openCheckpoint(
  note: string | Uint8Array,
  origin: string,
  keys: readonly VerifierKey[],
): Checkpoint {
  const parsed = parseNote(note);
  const checkpoint = parseCheckpoint(parsed.text);
  if (checkpoint.origin !== origin) throw invalid(`the origin ${origin}`, checkpoint.origin);
  if (!verifyNote(parsed, keys).some((signature) => signature.name === origin))
    throw invalid(`a signature by ${origin}`, "signatures by others alone");
  return checkpoint;
}

function invalid(expected: string, got: string): MeshproofError {
  return new MeshproofError(
    "NOTE_INVALID",
    `checkpoint: expected ${expected}, got ${JSON.stringify(got.slice(0, 200))}`,
  );
}
