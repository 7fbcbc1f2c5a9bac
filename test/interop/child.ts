import { spawn } from "node:child_process";
import { setTimeout } from "node:timers/promises";

export interface ChildOptions {
  readonly timeLimitMs: number;
  readonly directory?: string;
  /** Beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface ChildResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Characters kept of each output of a child: the last ones. */
const OUTPUT_LIMIT = 1 << 20;
/** How long a child has to end itself before it is killed. */
const GRACE_MS = 2_000;

/** A child did not end in its time. */
export class ChildTimeout extends Error {}

/** Programs that are run and waited for. Each has a process group of its own, so that what it starts ends with it, by the number of that group. */
export class Children {
  readonly #signal: AbortSignal;
  readonly #running = new Map<number, Promise<unknown>>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Rejects when the program cannot be started, takes too long or the run is aborted; resolves with any exit code. */
  async run(
    program: string,
    args: readonly string[],
    { timeLimitMs, directory, environment }: ChildOptions,
  ): Promise<ChildResult> {
    this.#signal.throwIfAborted();
    const child = spawn(program, args, {
      cwd: directory,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout = (stdout + text).slice(-OUTPUT_LIMIT);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-OUTPUT_LIMIT);
    });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const { pid } = child;
    if (pid !== undefined) {
      this.#running.set(
        pid,
        ended.catch(() => undefined),
      );
    }
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(timeLimitMs)]);
    const stop = (): void => void this.#end(pid);
    limit.addEventListener("abort", stop, { once: true });
    try {
      const code = await ended;
      this.#signal.throwIfAborted();
      if (limit.aborted) {
        throw new ChildTimeout(
          `${program} ${args.join(" ")}: did not end within ${timeLimitMs / 1000} s`,
        );
      }
      return { code, stdout, stderr };
    } finally {
      limit.removeEventListener("abort", stop);
      if (pid !== undefined) this.#running.delete(pid);
    }
  }

  /** Ends what still runs. */
  async endAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((pid) => this.#end(pid)));
  }

  async #end(pid: number | undefined): Promise<void> {
    if (pid === undefined || !signalGroup(pid, "SIGTERM")) return;
    await Promise.race([this.#running.get(pid), setTimeout(GRACE_MS, undefined, { ref: false })]);
    signalGroup(pid, "SIGKILL"); // also what the child started, which may live on when the child itself has ended
  }
}

/** False when the group is gone. */
function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}
