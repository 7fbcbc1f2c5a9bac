import {
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { MeshproofError } from "../core/errors.ts";

/** Held by the one process that may write to a data directory. Keep it: a lock that is garbage-collected is gone. */
export interface DirectoryLock {
  release(): void;
}

/** SQLite's result code for a lock that is held elsewhere. */
const SQLITE_BUSY = 5;

/**
 * Locks `directory` for this process: `<directory>/lock` is locked, `<directory>/lock.pid` says by whom.
 *
 * `lock` is an SQLite database that stays empty, for the sake of its file lock alone: an fcntl lock is the one kind that the
 * kernel drops when its holder gets SIGKILL and that processes in other containers see, and Node offers none of its own.
 * A process ID alone would name another process after a reboot, or in another container that shares the volume. Where a shared volume knows no
 * locks, the process in `lock.pid` is looked at all the same: does it have this very file open?
 * Throws: DIRECTORY_LOCKED when another process, or this one, holds it; the message names the process.
 */
export function lockDirectory(directory: string): DirectoryLock {
  const path = join(directory, "lock");
  const owner = `${path}.pid`;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec("BEGIN IMMEDIATE");
  } catch (cause) {
    database?.close();
    const isBusy = (cause as { errcode?: number }).errcode === SQLITE_BUSY;
    if (isBusy) throw inUse(directory, readOwner(owner), cause);
    throw new MeshproofError(
      "DIRECTORY_LOCKED",
      `expected to lock ${path}, got: ${(cause as Error).message}`,
      { cause },
    );
  }
  const other = readOwner(owner);
  if (other !== null && other !== process.pid && hasOpen(other, path)) {
    database.close();
    throw inUse(directory, other);
  }
  try {
    writeFileSync(owner, `${process.pid}\n`);
  } catch {
    // On a full disk: the lock holds without, only the message of who comes second is poorer.
  }
  const held = database;
  return {
    release() {
      rmSync(owner, { force: true });
      held.close();
    },
  };
}

function inUse(directory: string, owner: number | null, cause?: unknown): MeshproofError {
  return new MeshproofError(
    "DIRECTORY_LOCKED",
    `${directory} is in use by ${owner === null ? "another process" : `process ${owner}`}: end it, or choose another storage.directory`,
    { cause },
  );
}

/** The process that `lock.pid` names, null when it names none. */
function readOwner(path: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(path, "utf8"), 10);
    return pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

/** Has the process opened the file? False where this cannot be seen: on systems without /proc, and for processes of other users. */
function hasOpen(pid: number, path: string): boolean {
  try {
    const file = realpathSync(path);
    return readdirSync(`/proc/${pid}/fd`).some((fd) => isLinkTo(`/proc/${pid}/fd/${fd}`, file));
  } catch {
    return false;
  }
}

function isLinkTo(link: string, file: string): boolean {
  try {
    return readlinkSync(link) === file;
  } catch {
    return false; // it was closed meanwhile
  }
}
