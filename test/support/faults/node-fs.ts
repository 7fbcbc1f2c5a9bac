import { Readable } from "node:stream";
import { files } from "./files.ts";

/** `node:fs` as the modules of the durable path see it in a test; see hooks.ts. */

type Done<T> = (error: Error | null, result?: T) => void;

/** Does `act` a turn later, as a call that waits for a disk. */
function later<T>(act: () => T, done: Done<T>): void {
  setImmediate(() => {
    let result: T;
    try {
      result = act();
    } catch (error) {
      done(error as Error);
      return;
    }
    done(null, result);
  });
}

export function openSync(path: string, flags: string): number {
  return files.open(path, flags);
}

export function closeSync(fd: number): void {
  files.close(fd);
}

export function readSync(
  fd: number,
  into: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  return files.read(fd, into.subarray(offset, offset + length), position);
}

export function existsSync(path: string): boolean {
  return files.exists(path);
}

export function readFileSync(path: string, encoding?: BufferEncoding): Buffer | string {
  const bytes = files.readFile(path);
  return encoding === undefined ? bytes : bytes.toString(encoding);
}

export function createReadStream(path: string): Readable {
  return Readable.from([files.readFile(path)]);
}

export default {
  open: (path: string, flags: string, _mode: number, done: Done<number>) =>
    later(() => files.open(path, flags), done),
  close: (fd: number, done: Done<void>) => later(() => files.close(fd), done),
  fstat: (fd: number, done: Done<{ size: number }>) =>
    later(() => ({ size: files.size(fd) }), done),
  read: (
    fd: number,
    into: Uint8Array,
    _at: number,
    _length: number,
    position: number,
    done: Done<number>,
  ) => later(() => files.read(fd, into, position), done),
  writev: (fd: number, pieces: readonly Uint8Array[], position: number, done: Done<number>) =>
    later(() => files.write(fd, Buffer.concat(pieces), position), done),
  fdatasync: (fd: number, done: Done<void>) => later(() => files.sync(fd), done),
  fsync: (fd: number, done: Done<void>) => later(() => files.sync(fd), done),
  ftruncate: (fd: number, length: number, done: Done<void>) =>
    later(() => files.truncate(fd, length), done),
  unlink: (path: string, done: Done<void>) => later(() => files.unlink(path), done),
  rename: (from: string, to: string, done: Done<void>) => later(() => files.rename(from, to), done),
  readdir: (path: string, done: Done<string[]>) => later(() => files.list(path), done),
  mkdir: (path: string, _options: object, done: Done<string | undefined>) =>
    later(() => files.makeDirectory(path), done),

  openSync,
  closeSync,
  writeSync: (fd: number, bytes: Uint8Array, offset: number) =>
    files.write(fd, bytes.subarray(offset)),
  fdatasyncSync: (fd: number) => files.sync(fd),
  renameSync: (from: string, to: string) => files.rename(from, to),
  unlinkSync: (path: string) => files.unlink(path),
  rmdirSync: (path: string) => files.rmdir(path),
  mkdirSync: (path: string) => files.makeDirectory(path),
  readdirSync: (path: string) => files.list(path),
  statSync: (path: string) => (files.exists(path) ? {} : undefined),
  readFileSync,
};
