import fs from "node:fs";
import { dirname } from "node:path";
import { parentPort, workerData } from "node:worker_threads";

/**
 * The thread that writes tiles and entry bundles, started by tile-store.ts. Synchronous calls here cost two thirds of the CPU of
 * callbacks on the main thread, and no request waits when the file system stalls.
 */

/** Files written but not yet fsynced are kept open, at most this many: a failed write-back is reported once, to a descriptor that saw the write. */
const MAX_UNSYNCED_FILES = 256;
/** fdatasyncs at once. They run on libuv's pool of four threads, where the journal's fdatasync must find room. */
const SYNC_CONCURRENCY = 2;
const MAX_KNOWN_DIRECTORIES = 4_096;

/** What the main thread asks for; `id` comes back with the answer. */
export type TileRequest = { readonly id: number } & (
  | {
      readonly operation: "write";
      readonly paths: readonly string[];
      readonly ends: readonly number[];
      readonly bytes: Uint8Array;
    }
  | { readonly operation: "sync" }
  | { readonly operation: "remove"; readonly directories: readonly string[] }
);

export interface TileAnswer {
  readonly id: number;
  readonly error?: {
    readonly message: string;
    readonly code: string | undefined;
    readonly syscall: string | undefined;
  };
}

const root = workerData as string;
const unsynced: number[] = [];
const changedDirectories = new Set<string>();
const knownDirectories = new Set<string>();

parentPort!.on("message", (request: TileRequest) => void answer(request));

async function answer(request: TileRequest): Promise<void> {
  const reply: TileAnswer = { id: request.id };
  try {
    if (request.operation === "write") write(request.paths, request.ends, request.bytes);
    else if (request.operation === "remove") request.directories.forEach(removeDirectory);
    else await sync();
    parentPort!.postMessage(reply);
  } catch (error) {
    const { message, code, syscall } = error as NodeJS.ErrnoException;
    parentPort!.postMessage({ ...reply, error: { message, code, syscall } } satisfies TileAnswer);
  }
}

function write(paths: readonly string[], ends: readonly number[], bytes: Uint8Array): void {
  let start = 0;
  paths.forEach((path, i) => {
    const full = `${root}/${path}`;
    ensureDirectory(dirname(full));
    unsynced.push(writeFile(full, bytes.subarray(start, ends[i])));
    if (unsynced.length > MAX_UNSYNCED_FILES) {
      const oldest = unsynced.shift()!;
      fs.fdatasyncSync(oldest);
      fs.closeSync(oldest);
    }
    start = ends[i]!;
  });
}

/** Writes a file and returns its descriptor. Nobody looks for it before a checkpoint that covers it is published, so it needs no rename. */
function writeFile(path: string, bytes: Uint8Array): number {
  let fd: number;
  try {
    fd = fs.openSync(path, "wx", 0o644);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return replaceFile(path, bytes);
  }
  writeAll(fd, bytes);
  return fd;
}

/** After a crash the files beyond the durable size are written again: most are right already, some were cut. */
function replaceFile(path: string, bytes: Uint8Array): number {
  if (fs.readFileSync(path).equals(bytes)) return fs.openSync(path, "r");
  const fd = fs.openSync(`${path}.tmp`, "w", 0o644);
  writeAll(fd, bytes);
  fs.renameSync(`${path}.tmp`, path);
  return fd;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length;) at += fs.writeSync(fd, bytes, at);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function ensureDirectory(directory: string): void {
  changedDirectories.add(directory);
  if (knownDirectories.has(directory)) return;
  fs.mkdirSync(directory, { recursive: true });
  // Also those that are there already: a process that was killed may have made them and not synced them.
  for (let above = directory; above.length > root.length;)
    changedDirectories.add((above = dirname(above)));
  if (knownDirectories.size >= MAX_KNOWN_DIRECTORIES) knownDirectories.clear();
  knownDirectories.add(directory);
}

/** Makes everything that was written before the call durable: the files, then the directories that name them. */
async function sync(): Promise<void> {
  const files = unsynced.splice(0);
  const directories = [...changedDirectories];
  changedDirectories.clear();
  await inParallel(files, (fd) => syncAndClose(fs.fdatasync, fd));
  await inParallel(directories, async (directory) => {
    let fd: number;
    try {
      fd = fs.openSync(directory, "r");
    } catch (error) {
      // Its partial tiles were deleted meanwhile.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await syncAndClose(fs.fsync, fd);
  });
}

function syncAndClose(
  flush: (fd: number, done: (error: Error | null) => void) => void,
  fd: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    flush(fd, (error) => {
      fs.closeSync(fd);
      if (error) reject(error);
      else resolve();
    });
  });
}

async function inParallel<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < items.length) await act(items[next++]!);
  };
  await Promise.all(Array.from({ length: SYNC_CONCURRENCY }, run));
}

/** Deletes a directory of partial tiles, if there is one. */
function removeDirectory(path: string): void {
  const directory = `${root}/${path}`;
  // Most full tiles never had one.
  if (fs.statSync(directory, { throwIfNoEntry: false }) === undefined) return;
  for (const name of fs.readdirSync(directory)) fs.unlinkSync(`${directory}/${name}`);
  fs.rmdirSync(directory);
  knownDirectories.delete(directory);
}
