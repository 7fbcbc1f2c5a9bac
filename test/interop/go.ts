import { join, resolve } from "node:path";
import { type ChildResult, ChildTimeout } from "./child.ts";
import { type LaneContext, LaneSkipped } from "./lane.ts";

const MODULES = resolve(import.meta.dirname, "go");
/** A small module, to see whether the registry answers before many are fetched. */
const PROBE = { module: "tlogcheck", path: "golang.org/x/mod" };
const PROBE_TIME_LIMIT_MS = 30_000;
const FETCH_TIME_LIMIT_MS = 300_000;
const BUILD_TIME_LIMIT_MS = 600_000;
/** How Go says that a registry does not answer, refuses a module, or is switched off. */
const UNREACHABLE = /\bGet "|\breading https?:|module lookup disabled/;

/** How it says that a module wants a newer Go than this machine has. */
const TOO_OLD = /requires go >= \S+ \(running go [^)]*\)/;

/** What of a lane's context is needed to build: programs come into `directory`. */
type Workshop = Pick<LaneContext, "directory" | "cache" | "children">;

/**
 * Builds programs from the Go modules beside this file. What they import comes through GOPROXY, as this machine's Go is set up, in the
 * versions of their go.mod and with the hashes of their go.sum; it is fetched and compiled once, into the cache.
 */
export class GoModules {
  readonly #context: Workshop;

  private constructor(context: Workshop) {
    this.#context = context;
  }

  /** Rejects with LaneSkipped when modules can neither be fetched nor are in the cache. */
  static async open(context: Workshop): Promise<GoModules> {
    const modules = new GoModules(context);
    await modules.#fetch(PROBE.module, ["mod", "download", PROBE.path], PROBE_TIME_LIMIT_MS);
    return modules;
  }

  /**
   * Builds a main package of the module in `go/<module>`, its own or one that it imports, and returns where the program is.
   * Rejects with LaneSkipped when what it imports cannot be fetched, and with the compiler's words when it cannot be built.
   */
  async build(module: string, packagePath = "."): Promise<string> {
    await this.#fetch(module, ["list", "-deps", packagePath], FETCH_TIME_LIMIT_MS);
    const program = join(this.#context.directory, module);
    const args = ["build", "-trimpath", "-buildvcs=false", "-o", program, packagePath];
    const { code, stderr } = await this.#go(module, args, BUILD_TIME_LIMIT_MS);
    if (code !== 0) throw new Error(`go build in go/${module}:\n${stderr}`);
    return program;
  }

  /** Name and version of the modules that a program was built from. */
  async versions(program: string): Promise<ReadonlyMap<string, string>> {
    const { stdout } = await this.#go(".", ["version", "-m", program], PROBE_TIME_LIMIT_MS);
    const lines = stdout.matchAll(/^\t(?:mod|dep)\t(\S+)\t(\S+)/gm);
    return new Map([...lines].map(([, name, version]) => [name!, version!]));
  }

  async #fetch(module: string, args: readonly string[], timeLimitMs: number): Promise<void> {
    const failure = await this.#go(module, args, timeLimitMs).then(
      ({ code, stderr }) => (code === 0 ? null : stderr.trim()),
      (error: unknown) => {
        if (error instanceof ChildTimeout) throw new LaneSkipped(error.message);
        throw error;
      },
    );
    if (failure === null) return;
    const [tooOld] = TOO_OLD.exec(failure) ?? [];
    if (tooOld !== undefined) throw new LaneSkipped(`go/${module} ${tooOld}`);
    // A wrong hash or a go.mod that does not fit is a failure of ours, wherever it runs.
    if (!UNREACHABLE.test(failure))
      throw new Error(`go ${args.join(" ")} in go/${module}: ${failure}`);
    const [line] = failure.split("\n");
    throw new LaneSkipped(`the Go modules of go/${module} cannot be fetched: ${line}`);
  }

  #go(module: string, args: readonly string[], timeLimitMs: number): Promise<ChildResult> {
    const { cache, children } = this.#context;
    return children.run("go", args, {
      timeLimitMs,
      directory: join(MODULES, module),
      environment: {
        GOMODCACHE: join(cache, "go", "modules"),
        GOCACHE: join(cache, "go", "build"),
        GOFLAGS: "-modcacherw", // the cache can be removed like any directory
        GOTOOLCHAIN: "local",
        GOWORK: "off",
      },
    });
  }
}
