import { type ErrorCode, MeshproofError } from "../core/errors.ts";

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

/** Errors that are more than "it could not run": what was asked for cannot be right, or the store is not what was sealed. */
const EXIT_OF: Partial<Record<ErrorCode, ExitCode>> = {
  CONFIG_INVALID: EXIT.usage,
  BAD_REQUEST: EXIT.usage,
  POLICY_INVALID: EXIT.usage,
  ROW_TAMPERED: EXIT.failed,
};

/** The exit code that an error asks for. */
export function exitCodeOf(error: unknown): ExitCode {
  return (error instanceof MeshproofError ? EXIT_OF[error.code] : undefined) ?? EXIT.unable;
}

/**
 * An error for people. A configuration's problems stand as they are, `file:line:column: …`, so that editors can follow them;
 * other errors of ours come with their code, one of the operating system names the file, and any other comes with its stack, since it is a defect.
 */
export function describeError(error: unknown): string {
  if (error instanceof MeshproofError) {
    return error.code === "CONFIG_INVALID"
      ? error.message
      : `meshproof: ${error.message} (${error.code})`;
  }
  if (isSystemError(error)) return `meshproof: ${error.message}`;
  return `meshproof: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

/** A file that may not be read, a disk without room: nothing that a stack would explain. */
function isSystemError(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error && "path" in error;
}
