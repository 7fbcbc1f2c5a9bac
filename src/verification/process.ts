import { spawn } from "node:child_process";
import { setPriority } from "node:os";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { DirectoryReport } from "../cli/verify.ts";
import type { Config } from "../config/options.ts";

/** What the process of a verification is told. It travels over a channel of its own: the configuration holds passwords. */
export interface VerificationTask {
  readonly config: Config;
  /** The verifier key to trust: the process needs none that signs. */
  readonly key: string;
  /** Where incremental runs remember how far they were. */
  readonly state: string;
  readonly isFull: boolean;
}

/** What it answers: a report, or why there is none. */
export type VerificationAnswer = { readonly report: DirectoryReport } | { readonly error: string };

const SCRIPT = fileURLToPath(new URL(`./child${extname(import.meta.url)}`, import.meta.url));
const MAX_STDERR = 2_000;
/** Behind everything else on this machine. */
const NICENESS = 19;

/**
 * Verifies in a process of its own.
 * Throws: an Error that says why there is no report: what went wrong, or that `signal` ended it; then the process is gone.
 */
export async function verifyApart(
  task: VerificationTask,
  signal: AbortSignal,
): Promise<DirectoryReport> {
  signal.throwIfAborted();
  const child = spawn(process.execPath, [SCRIPT], { stdio: ["ignore", "ignore", "pipe", "ipc"] });
  stepBack(child.pid);
  const kill = (): void => void child.kill("SIGKILL");
  let answer: VerificationAnswer | undefined;
  let errors = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-MAX_STDERR);
  });
  child.on("message", (message) => (answer = message as VerificationAnswer));
  signal.addEventListener("abort", kill);
  try {
    const { promise: ended, resolve, reject } = Promise.withResolvers<string>();
    child.once("error", reject);
    child.once("close", (code, name) => resolve(name ?? `exit code ${code}`));
    child.send(task, () => {}); // a process that is gone tells by its end
    const how = await ended;
    signal.throwIfAborted();
    if (answer === undefined)
      throw new Error(`the process of the verification ended by ${how}: ${errors.trim()}`);
    if ("error" in answer) throw new Error(answer.error);
    return answer.report;
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
  }
}

/** At once, so that the process loads its code, and makes its threads, at this priority already. */
function stepBack(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, NICENESS);
  } catch {
    // It is gone already: its end tells why.
  }
}
