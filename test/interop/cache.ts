import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/**
 * The directory, made if need be, for what lanes fetch and build: MESHPROOF_INTEROP_CACHE, or `meshproof-interop` where this user's
 * caches are. It may be removed at any time between runs.
 * Source: XDG Base Directory Specification, "Environment variables" (an empty one counts as unset, and so does a relative path).
 */
export function cacheDirectory(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const { MESHPROOF_INTEROP_CACHE: own = "", XDG_CACHE_HOME: caches = "" } = environment;
  const directory =
    own === ""
      ? join(caches.startsWith("/") ? caches : join(homedir(), ".cache"), "meshproof-interop")
      : resolve(own);
  mkdirSync(directory, { recursive: true });
  return directory;
}
