import { MeshproofError } from "../core/errors.ts";
import { HASH_LENGTH } from "./merkle.ts";
import { decodeBase64, encodeBase64, parseDecimal } from "./spelling.ts";

/** The state of a log that a signature covers: the note text of C2SP tlog-checkpoint v1.0.0. */
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
  return `${checkpoint.origin}\n${checkpoint.size}\n${encodeBase64(checkpoint.root)}\n`;
}

/**
 * The checkpoint that the text of a note spells.
 * Throws: NOTE_INVALID unless it is one to the letter: decimal size without leading zeroes, 32 bytes of canonical base64.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split("\n");
  if (lines.pop() !== "") throw invalidCheckpoint("a newline at the end", text);
  const [origin, size, root, ...extensions] = lines;
  if (origin === undefined || size === undefined || root === undefined || lines.includes(""))
    throw invalidCheckpoint("three or more lines, none of them empty", text);
  const leaves = parseDecimal(size);
  if (leaves === null) throw invalidCheckpoint("a decimal tree size below 2^53 on line 2", size);
  const bytes = decodeBase64(root);
  if (bytes === null || bytes.length !== HASH_LENGTH)
    throw invalidCheckpoint(`the base64 of ${HASH_LENGTH} bytes on line 3`, root);
  return { origin, size: leaves, root: Uint8Array.from(bytes), extensions };
}

/** The error of a checkpoint that is not what was expected. */
export function invalidCheckpoint(expected: string, got: string): MeshproofError {
  return new MeshproofError(
    "NOTE_INVALID",
    `checkpoint: expected ${expected}, got ${JSON.stringify(got.slice(0, 200))}`,
  );
}
