import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { ChildTimeout } from "./child.ts";
import { type LaneContext, LaneSkipped } from "./lane.ts";

const REQUIREMENTS = resolve(import.meta.dirname, "python");
const INSTALL_TIME_LIMIT_MS = 600_000;
/** How pip says that a registry does not answer, or does not have a file for this platform. */
const UNREACHABLE =
  /No matching distribution|Could not find a version|Connection|Max retries|Temporary failure/;

/**
 * The packages of `python/<name>.txt` (pinned, with hashes) in a virtual environment in the cache. They come through pip as this machine's pip is
 * set up. Returns the environment's directory; `bin/python` in it runs. Rejects with LaneSkipped when they cannot be fetched.
 */
export async function pythonEnvironment(
  { cache, children, note }: LaneContext,
  name: string,
): Promise<string> {
  const requirements = join(REQUIREMENTS, `${name}.txt`);
  const digest = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  const directory = join(cache, "python", `${name}-${digest.slice(0, 12)}`);
  if (existsSync(join(directory, "complete"))) return directory;
  note(`installing the packages of test/interop/python/${name}.txt`);
  rmSync(directory, { recursive: true, force: true });
  const run = async (program: string, ...args: string[]): Promise<void> => {
    const { code, stderr } = await children
      .run(program, args, { timeLimitMs: INSTALL_TIME_LIMIT_MS })
      .catch((error: unknown) => {
        throw error instanceof ChildTimeout ? new LaneSkipped(error.message) : error;
      });
    if (code === 0) return;
    const last = stderr.trim().split("\n").at(-1) ?? "";
    if (UNREACHABLE.test(stderr))
      throw new LaneSkipped(`the packages of ${name}.txt cannot be fetched: ${last}`);
    throw new Error(`${program} ${args.join(" ")}: ${stderr.trim()}`);
  };
  await run("python3", "-m", "venv", directory);
  const python = join(directory, "bin/python");
  const pip = ["-m", "pip", "install", "--quiet", "--no-input", "--only-binary", ":all:"];
  await run(python, ...pip, "--require-hashes", "--requirement", requirements);
  writeFileSync(join(directory, "complete"), "");
  return directory;
}
