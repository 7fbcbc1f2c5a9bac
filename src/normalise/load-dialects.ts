import { readdirSync } from "node:fs";
import type { Dialect } from "./dialect.ts";

/** The dialects of a folder: the default export of every module in it (sources and what is emitted from them alike), by file name. */
export async function loadDialects(directory: URL): Promise<readonly Dialect[]> {
  const files = readdirSync(directory)
    .filter((file) => /(?<!\.d)\.[jt]s$/.test(file))
    .toSorted();
  const modules = await Promise.all(
    files.map((file) => import(new URL(file, directory).href) as Promise<{ default: Dialect }>),
  );
  return modules.map((module) => module.default);
}

/** Every dialect that we know. */
export const DIALECTS: readonly Dialect[] = await loadDialects(
  new URL("./dialects/", import.meta.url),
);
