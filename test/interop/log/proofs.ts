import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { runCommand } from "../../support/command.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import type { LaneContext } from "../lane.ts";

/** How long a record may take from its checkpoint to the store. */
const STORE_TIME_LIMIT_MS = 60_000;

/** Writes the proof of each record at `indexes` as the API answers it, as `meshproof prove` writes it and as it is taken from a bundle. Says how many files there are. */
export async function writeProofs(
  { signal }: LaneContext,
  server: ServerProcess,
  indexes: readonly number[],
  directory: string,
): Promise<string> {
  const wanted = [...new Set(indexes)];
  for (const index of wanted) {
    const proof = await fetchProof(server, index, signal);
    writeFileSync(join(directory, `${index}.api.tlog-proof`), proof);
  }
  const run = async (command: string, ...args: readonly string[]): Promise<string> => {
    const extra = join(server.directory, "extra.yaml"); // where ServerProcess keeps what it was given beside that
    const config = ["--config", server.configFile, "--config", extra];
    const { code, stdout, stderr } = await runCommand(command, ...args, ...config);
    if (code !== 0) throw new Error(`meshproof ${command} ended with ${code}: ${stderr}`);
    return stdout;
  };
  await run("prove", ...wanted.map(String), "--output", directory);
  const bundle = join(server.directory, "all.proof-bundle");
  await run("prove", ...wanted.map(String), "--bundle", bundle);
  for (const index of wanted) {
    const proof = await run("verify-proof", "--extract", String(index), bundle);
    writeFileSync(join(directory, `${index}.bundle.tlog-proof`), proof);
  }
  return `${wanted.length} records, three files each`;
}

/** The API's proof of a record, asked for again as it says while the record is on its way to the store. */
async function fetchProof(
  server: ServerProcess,
  index: number,
  signal: AbortSignal,
): Promise<string> {
  const url = `http://127.0.0.1:${server.ports.api}/api/v1/records/${index}/proof`;
  const deadline = Date.now() + STORE_TIME_LIMIT_MS;
  for (;;) {
    const response = await fetch(url, { signal });
    const text = await response.text();
    if (response.ok) return text;
    const seconds = Number(response.headers.get("retry-after") ?? NaN);
    if (response.status !== 503 || !(seconds > 0) || Date.now() > deadline)
      throw new Error(`${url} was answered ${response.status}: ${text}`);
    await setTimeout(seconds * 1000, undefined, { signal });
  }
}
