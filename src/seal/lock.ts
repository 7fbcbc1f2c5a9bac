import { readFileSync, rmSync, writeFileSync } from "node:fs";
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
 * A process ID alone would name another process after a reboot, or in another container that shares the volume.
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
    const message = isBusy
      ? `${directory} is in use by ${readOwner(owner)}: end it, or choose another storage.directory`
      : `expected to lock ${path}, got: ${(cause as Error).message}`;
    throw new MeshproofError("DIRECTORY_LOCKED", message, { cause });
  }
  writeFileSync(owner, `${process.pid}\n`);
  const held = database;
  return {
    release() {
      rmSync(owner, { force: true });
      held.close();
    },
  };
}

function readOwner(path: string): string {
  try {
    return `process ${Number.parseInt(readFileSync(path, "utf8"), 10)}`;
  } catch {
    return "another process";
  }
}
