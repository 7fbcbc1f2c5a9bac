import { setTimeout } from "node:timers/promises";
import type { RunningChild } from "./child.ts";
import { GoModules } from "./go.ts";
import type { LaneContext } from "./lane.ts";

const START_TIME_LIMIT_MS = 60_000;
/** What the Collector logs when all of its parts have started. */
const READY = "Everything is ready";

/** A real OpenTelemetry Collector (go/collector), as a process of its own. */
export class Collector {
  readonly #child: RunningChild;

  private constructor(child: RunningChild) {
    this.#child = child;
  }

  /** Builds it, or takes it from the cache. Returns the program. Rejects with LaneSkipped where its modules cannot be had. */
  static async build(context: LaneContext): Promise<string> {
    const go = await GoModules.open(context);
    context.note("building the Collector; the first time takes minutes");
    return go.build("collector");
  }

  /** Starts it with configuration files (later ones win), whose `${env:…}` come from `environment`, and further flags; resolves when it is ready. */
  static async start(
    { children, signal }: LaneContext,
    program: string,
    configs: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    flags: readonly string[] = [],
  ): Promise<Collector> {
    const args = [...configs.map((file) => `--config=${file}`), ...flags];
    const child = await children.start(program, args, { environment });
    let hasEnded = false;
    void child.ended.then(() => (hasEnded = true));
    const deadline = Date.now() + START_TIME_LIMIT_MS;
    while (!child.output.includes(READY)) {
      signal.throwIfAborted();
      if (hasEnded || Date.now() > deadline)
        throw new Error(`the Collector did not start:\n${child.output.slice(-4000)}`);
      await setTimeout(50);
    }
    return new Collector(child);
  }

  /** Its log so far. */
  get output(): string {
    return this.#child.output;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Ends it as an operator does: what it holds in memory is sent first. */
  stop(): Promise<number | null> {
    return this.#child.end("SIGTERM");
  }

  /** Ends it as a power cut does. */
  kill(): Promise<number | null> {
    return this.#child.end("SIGKILL");
  }
}
