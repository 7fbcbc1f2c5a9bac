import type { Kind } from "../core/kinds.ts";
import { ENTRY_LENGTH, writeEntry } from "../tlog/entry.ts";
import { writeLeafHash } from "../tlog/hash-into.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { NO_KIND } from "./entries.ts";

// Scratch for one synchronous call.
const entry = Buffer.alloc(ENTRY_LENGTH);
const leaf = Buffer.alloc(HASH_LENGTH);

/** Is a row of this kind, its hash at `rowAt`, what was sealed: `sealedKind` and the row hash at `at` of `sealed`, or without a kind the leaf hash there? */
export function isSealed(
  sealedKind: number,
  sealed: Buffer,
  at: number,
  kind: Kind,
  rowHashes: Buffer,
  rowAt: number,
): boolean {
  const end = at + HASH_LENGTH;
  if (sealedKind === kind)
    return rowHashes.compare(sealed, at, end, rowAt, rowAt + HASH_LENGTH) === 0;
  if (sealedKind !== NO_KIND) return false;
  writeEntry(entry, 0, kind, rowHashes, rowAt);
  writeLeafHash(leaf, 0, entry, 0, ENTRY_LENGTH);
  return leaf.compare(sealed, at, end) === 0;
}

/** The same bytes as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
