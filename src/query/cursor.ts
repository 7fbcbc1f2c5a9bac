import { hash } from "node:crypto";
import { bad } from "./parameters.ts";
import { clampTime } from "./times.ts";

/** Where a record stands in an answer's order: by time, then log, then leaf index. No two records of a log share all three. */
export interface Position {
  readonly timeNs: bigint;
  readonly logId: string;
  readonly leafIndex: bigint;
}

/** What a cursor says: the position of the last record that was given, and the times that the first page's `from` and `to` meant. */
export interface Cursor extends Position {
  readonly fromNs: bigint;
  readonly toNs: bigint;
}

const VERSION = 1;
const FILTERS_LENGTH = 8;
/** version ‖ hash of the filters ‖ from ‖ to ‖ time ‖ leaf index ‖ log ID */
const HEAD_LENGTH = 1 + FILTERS_LENGTH + 4 * 8;
/** Log IDs have 16 bytes. Others can only have been put into the store by somebody else; paging goes on past them. */
const MAX_LOG_ID_LENGTH = 64;

/** The cursor as text. `filters` are the parameters that must come with it again. */
export function formatCursor(cursor: Cursor, filters: Readonly<Record<string, string>>): string {
  const bytes = Buffer.alloc(HEAD_LENGTH);
  bytes[0] = VERSION;
  filtersHash(filters).copy(bytes, 1);
  let at = 1 + FILTERS_LENGTH;
  for (const value of [cursor.fromNs, cursor.toNs, cursor.timeNs, cursor.leafIndex])
    at = bytes.writeBigUInt64BE(BigInt.asUintN(64, value), at);
  return Buffer.concat([bytes, Buffer.from(cursor.logId)]).toString("base64url");
}

/**
 * The cursor that `text` spells. It is not signed, and need not be: whatever it says, it selects among records that its sender may read,
 * and statements take its values as parameters.
 * Throws: BAD_REQUEST when it is no cursor, or was made for other parameters.
 */
export function parseCursor(text: string, filters: Readonly<Record<string, string>>): Cursor {
  const bytes = Buffer.from(text, "base64url");
  const logIdLength = bytes.length - HEAD_LENGTH;
  const isWhole = logIdLength >= 0 && logIdLength <= MAX_LOG_ID_LENGTH;
  if (!isWhole || bytes[0] !== VERSION || bytes.toString("base64url") !== text)
    throw bad("cursor: expected `next` of an answer, got something else");
  if (!bytes.subarray(1, 1 + FILTERS_LENGTH).equals(filtersHash(filters)))
    throw bad(
      "cursor: expected the parameters of the answer that it came with (limit alone may differ), got others",
    );
  const [fromNs, toNs, timeNs, leafIndex] = [0, 8, 16, 24].map((offset) =>
    bytes.readBigUInt64BE(1 + FILTERS_LENGTH + offset),
  ) as [bigint, bigint, bigint, bigint];
  return {
    fromNs: clampTime(fromNs),
    toNs: clampTime(toNs),
    timeNs: BigInt.asIntN(64, timeNs),
    leafIndex,
    logId: bytes.toString("utf8", HEAD_LENGTH),
  };
}

function filtersHash(filters: Readonly<Record<string, string>>): Buffer {
  return hash("sha256", JSON.stringify(Object.entries(filters)), "buffer").subarray(
    0,
    FILTERS_LENGTH,
  );
}
