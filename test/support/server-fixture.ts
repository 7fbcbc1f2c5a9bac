import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findLibrary } from "../../src/store/engine-host.ts";
import type { Report } from "../../src/verify/report.ts";
import { runCommand } from "./command.ts";
import type { ServerProcess } from "./server-process.ts";

/** Why tests with a whole server cannot run here; false when they can. */
export function whyNoEngine(): string | false {
  try {
    findLibrary();
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A directory of this run alone. It is removed at the end, also while a ClickHouse whose parent was killed still writes its last to it. */
export function temporaryDirectory(t: { teardown(end: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), "meshproof-server-"));
  t.teardown(() => rmSync(directory, { recursive: true, maxRetries: 20, retryDelay: 200 }));
  return directory;
}

/** What `meshproof verify --json` says of the data of `server`, which runs or does not. */
export async function runVerify(
  server: ServerProcess,
): Promise<{ code: number | null; report: Report }> {
  const { code, stdout, stderr } = await runCommand(
    "verify",
    "--json",
    "--config",
    server.configFile,
  );
  if (stdout === "") throw new Error(stderr);
  return { code, report: JSON.parse(stdout) as Report };
}
