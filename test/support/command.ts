import { type ChildProcessByStdio, spawn } from "node:child_process";
import { resolve } from "node:path";
import type { Readable } from "node:stream";

const LAUNCHER = resolve(import.meta.dirname, "../../bin/meshproof.js");

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `meshproof` with `args` as a process of its own; whoever starts it reads what it says. */
export function startCommand(...args: string[]): ChildProcessByStdio<null, Readable, Readable> {
  return spawn(process.execPath, [LAUNCHER, ...args], { stdio: ["ignore", "pipe", "pipe"] });
}

/** Runs `meshproof` with `args` as a process of its own. */
export async function runCommand(...args: string[]): Promise<CommandResult> {
  const child = startCommand(...args);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise<number | null>((done, fail) => {
    child.on("error", fail);
    child.on("close", done);
  });
  return { code, stdout, stderr };
}
