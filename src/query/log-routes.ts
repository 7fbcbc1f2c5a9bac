import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { MeshproofError } from "../core/errors.ts";
import type { HttpRoutes } from "../core/http.ts";
import { show } from "./parameters.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { bundlePrefix, formatTilePath, parseTilePath, TILE_WIDTH } from "../tlog/tiles.ts";
import type { TilePath } from "../tlog/tiles.ts";

/** A new checkpoint comes each second (C2SP tlog-tiles, "Checkpoints": caching of a few seconds at most). */
const CHECKPOINT_MAX_AGE_SECONDS = 1;
/** A year: tiles never change. */
const TILE_MAX_AGE_SECONDS = 31_536_000;

export interface LogRouteOptions {
  /** The directory whose files are served. */
  readonly directory: string;
  /** Open to all: what the log holds are salted hashes. */
  readonly isPublic: boolean;
}

/**
 * `GET /log/checkpoint`, `/log/tile/<L>/<N>[.p/<W>]`, `/log/tile/entries/<N>[.p/<W>]`.
 * The path is parsed, and the name of the file made from the numbers in it. Tiles are hashes: they do not shrink, and go uncompressed.
 * Source: C2SP tlog-tiles, "APIs".
 */
export function registerLogRoutes(
  routes: HttpRoutes,
  { directory, isPublic }: LogRouteOptions,
): void {
  const scope = isPublic ? "public" : "private"; // a shared cache must not hand out what we ask a token for
  const checkpointCaching = `${scope}, max-age=${CHECKPOINT_MAX_AGE_SECONDS}`;
  const tileCaching = `${scope}, max-age=${TILE_MAX_AGE_SECONDS}, immutable`;

  routes.get("/log/*", { config: { public: isPublic } }, async (request, reply) => {
    const path = (request.raw.url as string).split("?", 1)[0] as string; // as sent: escapes are not undone, so nothing hides in them
    const name = path.slice("/log/".length);
    const tile = parseTilePath(name);
    const bytes =
      name === "checkpoint"
        ? await readIfPresent(join(directory, name))
        : tile === null
          ? undefined
          : await readTile(directory, tile);
    if (bytes === undefined)
      throw new MeshproofError(
        "NOT_FOUND",
        `expected the checkpoint or a tile of this log, got ${show(path)}`,
      );
    return reply
      .header(
        "content-type",
        tile === null ? "text/plain; charset=utf-8" : "application/octet-stream",
      )
      .header("cache-control", tile === null ? checkpointCaching : tileCaching)
      .header("x-content-type-options", "nosniff")
      .send(bytes);
  });
}

/** The bytes of a tile or bundle; a partial one that its full one has replaced is cut from that. Undefined when there is neither. */
async function readTile(directory: string, path: TilePath): Promise<Uint8Array | undefined> {
  const bytes = await readIfPresent(join(directory, formatTilePath(path)));
  if (bytes !== undefined || path.width === TILE_WIDTH) return bytes;
  const full = await readIfPresent(join(directory, formatTilePath({ ...path, width: TILE_WIDTH })));
  if (full === undefined) return undefined;
  return path.level === "entries"
    ? bundlePrefix(full, path.width)
    : full.subarray(0, path.width * HASH_LENGTH);
}

async function readIfPresent(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new MeshproofError(
      "UNAVAILABLE",
      `expected to read a file of the log: ${code ?? message}`,
      { cause },
    );
  }
}
