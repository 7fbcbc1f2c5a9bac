import { join } from "node:path";
import { MeshproofError } from "../core/errors.ts";
import { readFileIfAny } from "./durable.ts";
import { type KeyPeriod, isKeyPeriods, isSize } from "./key-periods.ts";

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
  /** Keys that sign or have signed, oldest first; empty in a record from before there was this list. */
  readonly keys: readonly KeyPeriod[];
}

const VERSION = 1;

/** Where the commit record of a data directory is. */
export function statePath(directory: string): string {
  return join(directory, "state", "checkpoint.json");
}

/** The commit record of a data directory, null when nothing was signed there. Throws: LOG_INCONSISTENT. */
export async function readState(directory: string): Promise<SealState | null> {
  const path = statePath(directory);
  const text = await readFileIfAny(path);
  return text === null ? null : parseState(text, path);
}

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
  const {
    version,
    checkpoint,
    durableThrough,
    checkpointSizes,
    prunedThrough,
    keys = [],
  } = (value ?? {}) as Record<string, unknown>;
  if (typeof version === "number" && version > VERSION)
    throw new MeshproofError(
      "LOG_INCONSISTENT",
      `${path}: expected a commit record of version ${VERSION}, got one of version ${version}: a newer meshproof wrote it, go on with that one`,
    );
  if (
    version !== VERSION ||
    typeof checkpoint !== "string" ||
    !isSize(durableThrough) ||
    !Array.isArray(checkpointSizes) ||
    !checkpointSizes.every(
      (size, i) => isSize(size) && size > (i === 0 ? durableThrough : checkpointSizes[i - 1]),
    ) ||
    !isSize(prunedThrough) ||
    !isKeyPeriods(keys)
  ) {
    throw new MeshproofError(
      "LOG_INCONSISTENT",
      `${path}: expected a commit record of version ${VERSION}, got ${text.slice(0, 100)}`,
    );
  }
  return { checkpoint, durableThrough, checkpointSizes, prunedThrough, keys };
}
