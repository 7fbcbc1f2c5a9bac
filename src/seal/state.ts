import { MeshproofError } from "../core/errors.ts";

/**
 * The commit record, `<data>/state/checkpoint.json`: what this log has signed, before anyone else can see it.
 * Written whole by rename; a checkpoint counts as issued from the moment this file holds it.
 */
export interface SealState {
  /** The newest checkpoint that was signed, as a signed note. */
  readonly checkpoint: string;
  /** Tiles and bundles of the tree of this many leaves are themselves on disk: the journal below is not needed any more. */
  readonly durableThrough: number;
  /** Sizes above `durableThrough` that a checkpoint was signed for, ascending: their partial tiles may have to be made again. */
  readonly checkpointSizes: readonly number[];
  /** Partial tiles whose full tile lies below this size are deleted. */
  readonly prunedThrough: number;
}

const VERSION = 1;

/** The record as text, for a file. */
export function formatState(state: SealState): string {
  return `${JSON.stringify({ version: VERSION, ...state }, null, 2)}\n`;
}

/**
 * The record that `text` spells.
 * Throws: LOG_INCONSISTENT when it is none: the file is replaced whole, so no crash can have damaged it.
 */
export function parseState(text: string, path: string): SealState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MeshproofError(
      "LOG_INCONSISTENT",
      `${path}: expected JSON; restore the file from a copy of the same moment as the log`,
      { cause },
    );
  }
  const { version, checkpoint, durableThrough, checkpointSizes, prunedThrough } = (value ??
    {}) as Record<string, unknown>;
  if (
    version !== VERSION ||
    typeof checkpoint !== "string" ||
    !isSize(durableThrough) ||
    !Array.isArray(checkpointSizes) ||
    !checkpointSizes.every(
      (size, i) => isSize(size) && size > (i === 0 ? durableThrough : checkpointSizes[i - 1]),
    ) ||
    !isSize(prunedThrough)
  ) {
    throw new MeshproofError(
      "LOG_INCONSISTENT",
      `${path}: expected a commit record of version ${VERSION}, got ${text.slice(0, 100)}`,
    );
  }
  return { checkpoint, durableThrough, checkpointSizes, prunedThrough };
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
