import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { loadConfig } from "../config/load.ts";
import { MeshproofError } from "../core/errors.ts";
import { nowNanos } from "../core/time.ts";
import { configText } from "../demo/config.ts";
import { createSenders } from "../demo/exporters.ts";
import { type Plan, tallyOf } from "../demo/plan.ts";
import { play } from "../demo/play.ts";
import { Random } from "../demo/random.ts";
import { planShop } from "../demo/shop.ts";
import type { RunningServer } from "../server.ts";
import { createLogger } from "../telemetry/logger.ts";
import type { Context } from "./context.ts";
import { DemoProgress, formatCount } from "./demo-progress.ts";
import { type DemoResult, type Workspace, Witness } from "./demo-result.ts";
import { tellBeginning, tellStory } from "./demo-story.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { type SignalSource, startForReal, type StartServer, waitForStop } from "./serve.ts";

export interface DemoOptions {
  readonly json?: boolean;
  /** Where everything is kept; without it, a temporary directory. */
  readonly directory?: string;
  /** The same seed plays the same traffic. */
  readonly seed: number;
  /** Go on serving until a signal. */
  readonly keep?: boolean;
}

/** About six seconds of traffic. */
const REQUESTS = 2400;
const INTERVAL_NS = 2_500_000n;
const WATCH_MS = 250;

/**
 * Plays a small shop's mesh through a whole server and tells what came of it. Exit code 0 when the whole story held: every record that was sent
 * is stored, sealed and linked, the proof is valid, the forgery is found; 1 when something did not; 3 when it was stopped before the end.
 */
export async function demo(
  options: DemoOptions,
  context: Context,
  start: StartServer = startForReal,
  signals: SignalSource = process,
  exitNow: (code: number) => void = process.exit,
): Promise<ExitCode> {
  const { output } = context;
  const workspace = makeWorkspace(options);
  const removeTemporary = (): void => {
    if (!workspace.isKept) rmSync(workspace.directory, REMOVE);
  };
  // Whatever else ends the process, such as a reader of its output that went away, leaves nothing either.
  signals.on("exit", removeTemporary);
  // A closed terminal ends a demo that keeps nothing; `nohup` is for those that go on.
  const names = workspace.isKept ? undefined : (["SIGTERM", "SIGINT", "SIGHUP"] as const);
  const stopSignal = waitForStop(signals, () => exitNow(EXIT.unable), names);
  const stopping = new AbortController();
  const stopped = stopSignal.stopped.then(() => stopping.abort(STOPPED));
  const progress = new DemoProgress(output);
  let server: RunningServer | undefined;
  try {
    if (options.json !== true) tellBeginning(output);
    progress.say("Starting ClickHouse, the log and the receiver …");
    const config = loadConfig([workspace.configFile], {});
    server = await start(config, { logger: createLogger(config.service.telemetry.logs) });
    const failed = server.failed.then((cause) => stopping.abort(cause));
    stopping.signal.throwIfAborted();
    const result = await run(server, workspace, options.seed, progress, stopping.signal);
    if (options.json === true) output.json(result);
    else tellStory(result, output);
    if (options.keep === true) await Promise.race([stopped, failed]);
    if (stopping.signal.aborted && stopping.signal.reason !== STOPPED) throw stopping.signal.reason;
    return result.ok ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    if (stopping.signal.reason !== STOPPED) throw stopping.signal.reason;
    output.note("Stopped before the end.");
    if (workspace.isKept) output.note(`The directory stays:\n  ${workspace.directory}`);
    return EXIT.unable;
  } finally {
    output.status("");
    await server?.stop();
    removeTemporary();
    signals.off("exit", removeTemporary);
    stopSignal.release();
  }
}

const STOPPED = new Error("stopped by a signal");
/** ClickHouse may still write its last when its process has ended. */
const REMOVE = { recursive: true, force: true, maxRetries: 20, retryDelay: 200 } as const;

/** Throws: CONFIG_INVALID for a directory that holds something, or cannot be made. */
function makeWorkspace({ directory, keep }: DemoOptions): Workspace {
  const path = directory === undefined ? makeTemporary() : makeEmpty(resolve(directory));
  const configFile = join(path, "meshproof.yaml");
  writeFileSync(configFile, configText(join(path, "data")));
  return {
    directory: path,
    configFile,
    isServing: keep === true,
    isKept: keep === true || directory !== undefined,
  };
}

function makeTemporary(): string {
  return mkdtempSync(join(tmpdir(), "meshproof-demo-"));
}

function makeEmpty(path: string): string {
  const wrong = (found: string): MeshproofError =>
    new MeshproofError(
      "CONFIG_INVALID",
      `--directory ${path}: expected a new or an empty directory, ${found}`,
    );
  let names: readonly string[];
  try {
    mkdirSync(path, { recursive: true });
    names = readdirSync(path);
  } catch (error) {
    throw wrong(`got ${(error as NodeJS.ErrnoException).code}`);
  }
  if (names.length > 0) throw wrong("found files in it");
  return path;
}

/** Plays, waits until all has arrived, and looks at it from every side. */
async function run(
  server: RunningServer,
  workspace: Workspace,
  seed: number,
  progress: DemoProgress,
  signal: AbortSignal,
): Promise<DemoResult> {
  const witness = await Witness.open(server, workspace, signal);
  try {
    const plan = planShop({
      random: new Random(seed),
      startNs: nowNanos(),
      requests: REQUESTS,
      intervalNs: INTERVAL_NS,
    });
    progress.say(`Playing ${formatCount(plan.requests)} requests through the OTLP port …`);
    const watch = watching(witness, progress);
    try {
      await send(plan, server.ports.otlp, progress, signal);
      await witness.waitForAll(tallyOf(plan));
    } finally {
      await watch.stop();
    }
    progress.say("Proving, forging, verifying …");
    return await witness.testify(plan, seed);
  } finally {
    await witness.close();
  }
}

async function send(
  plan: Plan,
  port: number,
  progress: DemoProgress,
  signal: AbortSignal,
): Promise<void> {
  const senders = createSenders(`http://127.0.0.1:${port}`);
  try {
    await play(plan, senders, signal, (played) => progress.update(played));
  } finally {
    await senders.close();
  }
}

/** Shows how far the server is, until it is stopped. */
function watching(witness: Witness, progress: DemoProgress): { stop(): Promise<void> } {
  const over = new AbortController();
  const watch = (async () => {
    while (!over.signal.aborted) {
      progress.update(await witness.progress());
      await setTimeout(WATCH_MS, undefined, { signal: over.signal }).catch(() => {});
    }
  })();
  watch.catch(() => {}); // whoever stops it gets the error
  return {
    async stop() {
      over.abort();
      await watch;
      progress.update(await witness.progress());
      progress.finish();
    },
  };
}
