import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";

export interface ChildOptions {
  readonly timeLimitMs: number;
  readonly directory?: string;
  /** Beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** What a program may be started with beside its arguments. */
export type StartOptions = Omit<ChildOptions, "timeLimitMs">;

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

/** A program that runs until it is ended. */
export interface RunningChild {
  readonly pid: number;
  /** What it has printed so far on both outputs together, the last 1 MiB. */
  readonly output: string;
  /** The exit code once it ends, null when a signal ended it. */
  readonly ended: Promise<number | null>;
  /** Sends a signal to it and what it started, and waits for the end. */
  readonly end: (signal: "SIGTERM" | "SIGKILL") => Promise<number | null>;
}

/** Programs that others wrote. Each has a process group of its own, so that what it starts ends with it, by the number of that group. */
export class Children {
  readonly #signal: AbortSignal;
  readonly #running = new Map<number, Promise<unknown>>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Runs a program to its end. Rejects when it cannot be started, takes too long or the run is aborted; resolves with any exit code. */
  async run(
    program: string,
    args: readonly string[],
    { timeLimitMs, ...options }: ChildOptions,
  ): Promise<ChildResult> {
    const { child, ended } = this.#spawn(program, args, options);
    const [stdout, stderr] = [keep(child.stdout), keep(child.stderr)];
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(timeLimitMs)]);
    const stop = (): void => void this.#end(child.pid);
    limit.addEventListener("abort", stop, { once: true });
    try {
      const code = await ended;
      this.#signal.throwIfAborted();
      if (limit.aborted) {
        throw new ChildTimeout(
          `${program} ${args.join(" ")}: did not end within ${timeLimitMs / 1000} s`,
        );
      }
      return { code, stdout: stdout(), stderr: stderr() };
    } finally {
      limit.removeEventListener("abort", stop);
    }
  }

  /** Starts a program that goes on running: it is ended by its handle, at the latest with the lane. Rejects when it cannot be started. */
  async start(
    program: string,
    args: readonly string[],
    options: StartOptions = {},
  ): Promise<RunningChild> {
    const { child, ended } = this.#spawn(program, args, options);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-OUTPUT_LIMIT);
      });
    }
    await Promise.race([ended, new Promise<void>((resolve) => child.once("spawn", resolve))]);
    const pid = child.pid!;
    return {
      pid,
      get output() {
        return output;
      },
      ended,
      end: (signal) => {
        signalGroup(pid, signal);
        return ended;
      },
    };
  }

  /** Ends what still runs. */
  async endAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((pid) => this.#end(pid)));
  }

  #spawn(
    program: string,
    args: readonly string[],
    { directory, environment }: StartOptions,
  ): { child: ChildProcessByStdio<null, Readable, Readable>; ended: Promise<number | null> } {
    this.#signal.throwIfAborted();
    const child = spawn(program, args, {
      cwd: directory,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const { pid } = child;
    if (pid !== undefined) {
      const gone = ended.catch(() => undefined).finally(() => this.#running.delete(pid));
      this.#running.set(pid, gone);
    }
    return { child, ended };
  }

  async #end(pid: number | undefined): Promise<void> {
    if (pid === undefined || !signalGroup(pid, "SIGTERM")) return;
    await Promise.race([this.#running.get(pid), setTimeout(GRACE_MS, undefined, { ref: false })]);
    signalGroup(pid, "SIGKILL"); // also what the child started, which may live on when the child itself has ended
  }
}

/** Collects a stream's text; returns what gives its last part. */
function keep(stream: Readable): () => string {
  let kept = "";
  stream.setEncoding("utf8").on("data", (text: string) => {
    kept = (kept + text).slice(-OUTPUT_LIMIT);
  });
  return () => kept;
}

/** False when the group is gone. */
function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}
