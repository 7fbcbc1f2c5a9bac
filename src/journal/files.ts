import { strict as assert } from "node:assert";
import fs from "node:fs";
import { dirname } from "node:path";

/**
 * The file operations that the journal needs, on raw descriptors: a callback of node:fs costs a third of what a FileHandle does.
 * Tests put a layer over it that runs out of space or fails; nothing else implements it.
 */
export interface FileSystem {
  /** "r" reads, "r+" reads and writes, "wx+" makes a new file (mode 0600: rows hold personal data). */
  open(path: string, flags: "r" | "r+" | "wx+"): Promise<number>;
  close(fd: number): Promise<void>;
  size(fd: number): Promise<number>;
  /** Bytes read, 0 at the end of the file. */
  read(fd: number, into: Uint8Array, position: number): Promise<number>;
  /** Bytes written; can be fewer than were given. */
  writev(fd: number, pieces: readonly Uint8Array[], position: number): Promise<number>;
  datasync(fd: number): Promise<void>;
  truncate(fd: number, length: number): Promise<void>;
  remove(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  list(directory: string): Promise<string[]>;
  /** Makes the directory (mode 0700) and its parents, durably. */
  makeDirectory(directory: string): Promise<void>;
  /** Makes creations, removals and new names in `directory` durable. */
  syncDirectory(directory: string): Promise<void>;
}

type Callback<T> = (error: NodeJS.ErrnoException | null, result?: T) => void;

function promise<T = void>(start: (done: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(error) : resolve(result as T)));
  });
}

/** The real file system. */
export const nodeFileSystem: FileSystem = {
  open: (path, flags) => promise<number>((done) => fs.open(path, flags, 0o600, done)),
  close: (fd) => promise((done) => fs.close(fd, done)),
  size: async (fd) => (await promise<fs.Stats>((done) => fs.fstat(fd, done))).size,
  read: (fd, into, position) =>
    promise<number>((done) => fs.read(fd, into, 0, into.length, position, done)),
  writev: (fd, pieces, position) =>
    promise<number>((done) => fs.writev(fd, pieces, position, done)),
  datasync: (fd) => promise((done) => fs.fdatasync(fd, done)),
  truncate: (fd, length) => promise((done) => fs.ftruncate(fd, length, done)),
  remove: (path) => promise((done) => fs.unlink(path, done)),
  rename: (from, to) => promise((done) => fs.rename(from, to, done)),
  list: (directory) => promise<string[]>((done) => fs.readdir(directory, done)),

  async makeDirectory(directory) {
    const topmost = await promise<string | undefined>((done) =>
      fs.mkdir(directory, { recursive: true, mode: 0o700 }, done),
    );
    if (topmost === undefined) return;
    for (let made = directory; ; made = dirname(made)) {
      await this.syncDirectory(dirname(made));
      if (made === topmost || made === dirname(made)) return;
    }
  },

  async syncDirectory(directory) {
    const fd = await this.open(directory, "r");
    try {
      await promise((done) => fs.fsync(fd, done));
    } finally {
      await this.close(fd);
    }
  },
};

/** Writes every piece at `position`, going on after short writes. */
export async function writeAll(
  files: FileSystem,
  fd: number,
  pieces: readonly Uint8Array[],
  position: number,
): Promise<void> {
  let rest = pieces;
  for (;;) {
    let written = await files.writev(fd, rest, position);
    assert(written > 0, "a write without an error writes something");
    position += written;
    let done = 0;
    while (done < rest.length && written >= rest[done]!.length) written -= rest[done++]!.length;
    if (done === rest.length) return;
    rest = [rest[done]!.subarray(written), ...rest.slice(done + 1)];
  }
}

/** Is `error` that of a disk, or a quota, without room? */
export function isStorageFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOSPC" || code === "EDQUOT";
}
