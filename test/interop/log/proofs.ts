import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../../support/command.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import type { LaneContext } from "../lane.ts";

/** Writes the proof of each record at `indexes` as the API answers it and as `meshproof prove` writes it. Says how many files there are. */
export async function writeProofs(
  { signal }: LaneContext,
  server: ServerProcess,
  indexes: readonly number[],
  directory: string,
): Promise<string> {
  const wanted = [...new Set(indexes)];
  for (const index of wanted) {
    const url = `http://127.0.0.1:${server.ports.api}/api/v1/records/${index}/proof`;
    const response = await fetch(url, { signal });
    const text = await response.text();
    if (!response.ok) throw new Error(`${url} was answered ${response.status}: ${text}`);
    writeFileSync(join(directory, `${index}.api.tlog-proof`), text);
  }
  const { code, stderr } = await runCommand(
    "prove",
    ...wanted.map(String),
    "--output",
    directory,
    "--config",
    server.configFile,
    "--config",
    join(server.directory, "extra.yaml"), // where ServerProcess keeps what it was given beside that
  );
  if (code !== 0) throw new Error(`meshproof prove ended with ${code}: ${stderr}`);
  return `${wanted.length} records, two files each`;
}
