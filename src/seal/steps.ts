import { MeshproofError } from "../core/errors.ts";

/**
 * Steps that change the log, one at a time: each waits for the one before it. An error that passes (a full disk, a signer that does not
 * answer) ends its step alone. After any other it is uncertain what is on disk: no step runs any more.
 */
export class Steps {
  readonly #onFatal: (error: MeshproofError) => void;
  #last: Promise<void> = Promise.resolve();
  #failure: MeshproofError | null = null;

  /** `onFatal` is called once, at the first error that does not pass. */
  constructor(onFatal: (error: MeshproofError) => void) {
    this.#onFatal = onFatal;
  }

  /** The error that ended it all, null while there was none. */
  get failure(): MeshproofError | null {
    return this.#failure;
  }

  /** Runs `act` behind the steps before it. Throws: STORAGE_FULL, UNAVAILABLE, which pass; the fatal error. */
  run(act: () => Promise<void>): Promise<void> {
    const step = this.#last.then(async () => {
      if (this.#failure !== null) throw this.#failure;
      await act().catch((error: unknown) => {
        throw this.failed(error);
      });
    });
    this.#last = step.catch(() => {});
    return step;
  }

  /** Resolves when no step runs or waits. */
  idle(): Promise<void> {
    return this.#last;
  }

  /** What `error` means for the log: one of ours that passes, or the fatal one, which is reported the first time. */
  failed(error: unknown): MeshproofError {
    if (isDiskFull(error)) {
      return new MeshproofError(
        "STORAGE_FULL",
        `the disk that holds the log has no room: ${(error as Error).message}`,
        { cause: error },
      );
    }
    if (error instanceof MeshproofError && error.code === "UNAVAILABLE") return error;
    if (this.#failure === null) {
      this.#failure =
        error instanceof MeshproofError
          ? error
          : new MeshproofError(
              "LOG_FAILED",
              `the log cannot be written: ${(error as Error).message}`,
              { cause: error },
            );
      this.#onFatal(this.#failure);
    }
    return this.#failure;
  }
}

/** A full disk that a write noticed. Noticed by an fsync it is fatal: nobody knows what was kept. */
function isDiskFull(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return (code === "ENOSPC" || code === "EDQUOT") && syscall !== "fsync" && syscall !== "fdatasync";
}
