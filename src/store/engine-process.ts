import { spawn, type ChildProcess } from "node:child_process";
import fs from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { EngineEnded } from "./engine-child.ts";

/** One run of the embedded server: a process of engine-child.ts. */
export class EngineProcess {
  readonly pid: number;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** What the library said when it ended of itself. */
  ended = "";
  running = true;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid!;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.running = false;
        resolve({ code, signal });
      });
    });
    child.on("message", (message) => (this.ended = (message as EngineEnded).ended));
    // Killing a process that is just gone: `exited` tells.
    child.on("error", () => {});
  }

  /** Starts one; what it prints replaces `stderrFile`. */
  static async spawn(
    library: string,
    configFile: string,
    directory: string,
    stderrFile: string,
  ): Promise<EngineProcess> {
    const script = fileURLToPath(
      new URL(`./engine-child${path.extname(import.meta.url)}`, import.meta.url),
    );
    const output = await fs.open(stderrFile, "w", 0o600);
    try {
      const child = spawn(process.execPath, [script, library, configFile, directory], {
        // The channel is how it learns that this process is gone, however that came.
        stdio: ["ignore", output.fd, output.fd, "ipc"],
        // No variable of ours reaches it: tokens, proxies and NODE_OPTIONS are none of its business. It takes its time zone from TZ alone.
        env: { TZ: "UTC", LANG: "C.UTF-8", TMPDIR: tmpdir() },
      });
      if (child.pid === undefined) await new Promise((_, reject) => child.once("error", reject));
      return new EngineProcess(child);
    } finally {
      await output.close();
    }
  }

  /** Resolves when it has ended. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}
