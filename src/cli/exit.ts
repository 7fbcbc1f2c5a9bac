import { MeshproofError } from "../core/errors.ts";

/** What the process answers its caller. */
export const EXIT = {
  ok: 0,
  /** A check was made, and it failed: tampering, a bad proof. */
  failed: 1,
  /** The command line or the configuration is wrong. */
  usage: 2,
  /** It could not run: a port, a file, a store. */
  unable: 3,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The exit code that an error asks for. */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof MeshproofError && error.code === "CONFIG_INVALID"
    ? EXIT.usage
    : EXIT.unable;
}

/**
 * An error for people. A configuration's problems stand as they are, `file:line:column: …`, so that editors can follow them;
 * other errors of ours come with their code, and an error that is not ours with its stack, since it is a defect.
 */
export function describeError(error: unknown): string {
  if (error instanceof MeshproofError) {
    return error.code === "CONFIG_INVALID"
      ? error.message
      : `meshproof: ${error.message} (${error.code})`;
  }
  return `meshproof: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}
