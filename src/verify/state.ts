import { MeshproofError } from "../core/errors.ts";

/** What an incremental verification remembers of the one before. */
export interface VerifiedState {
  /** The signed checkpoint up to which log and rows were found to be as they were sealed. */
  readonly checkpoint: string;
  /** When, RFC 3339. */
  readonly verifiedAt: string;
}

const VERSION = 1;

/** The state as text, for a file. */
export function formatVerifiedState(state: VerifiedState): string {
  return `${JSON.stringify({ version: VERSION, ...state }, null, 2)}\n`;
}

/**
 * The state that `text`, the file at `path`, spells.
 * Throws: CONFIG_INVALID when it is none: whoever names the file has to say whether to begin anew.
 */
export function parseVerifiedState(text: string, path: string): VerifiedState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  const { version, checkpoint, verifiedAt } = (value ?? {}) as Record<string, unknown>;
  if (version !== VERSION || typeof checkpoint !== "string" || typeof verifiedAt !== "string")
    throw new MeshproofError(
      "CONFIG_INVALID",
      `${path}: expected the state of an earlier verification, version ${VERSION}; find out who changed it, or remove it to verify from the beginning`,
    );
  return { checkpoint, verifiedAt };
}
