import { dirname } from "node:path";
import { type DiskFile, systemError } from "./disk.ts";
import { Life } from "./life.ts";

/** The calls of node:fs that the durable path makes, on the disk of the life that makes them; synchronous, the forms that wait stand on them. */

interface Descriptor {
  readonly life: Life;
  readonly path: string;
  /** null: a directory. */
  readonly file: DiskFile | null;
  position: number;
}

/** Open descriptors of all lives; those of one that ended are never used again. */
const descriptors = new Map<number, Descriptor>();
let lastDescriptor = 1_000_000;

function descriptor(fd: number): Descriptor {
  const found = descriptors.get(fd);
  if (found === undefined) throw systemError("EBADF", "read", String(fd));
  return found;
}

function openFile(life: Life, path: string, flags: string): DiskFile | null {
  const { disk } = life;
  const exists = disk.has(path);
  if (flags.startsWith("wx") && exists) throw systemError("EEXIST", "open", path);
  if (!exists) {
    if (flags.startsWith("r")) throw systemError("ENOENT", "open", path);
    return life.perform("create", path, () => disk.create(path));
  }
  let file: DiskFile;
  try {
    file = disk.file(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EISDIR" || path === disk.root) return null;
    throw error;
  }
  if (flags.startsWith("w") && file.bytes.length > 0)
    life.perform("truncate", path, () => (file.bytes = Buffer.alloc(0)));
  return file;
}

export const files = {
  open(path: string, flags: string): number {
    const life = Life.current;
    life.checkAlive();
    const file = openFile(life, path, flags);
    const position = flags.startsWith("a") ? file!.bytes.length : 0;
    descriptors.set(++lastDescriptor, { life, path, file, position });
    return lastDescriptor;
  },

  close(fd: number): void {
    descriptor(fd);
    descriptors.delete(fd);
  },

  size(fd: number): number {
    return descriptor(fd).file!.bytes.length;
  },

  read(fd: number, into: Uint8Array, position: number): number {
    const { life, file } = descriptor(fd);
    life.checkAlive();
    const part = file!.bytes.subarray(position, position + into.length);
    into.set(part);
    return part.length;
  },

  /** At `position`, or where the last write ended. Half of a write is half of its bytes. */
  write(fd: number, bytes: Uint8Array, position?: number | null): number {
    const open = descriptor(fd);
    const at = position ?? open.position;
    const file = open.file!;
    const put = (part: Uint8Array): void => {
      const grown = Buffer.alloc(Math.max(file.bytes.length, at + part.length));
      grown.set(file.bytes);
      grown.set(part, at);
      file.bytes = grown;
    };
    open.life.perform(
      "write",
      open.path,
      () => put(bytes),
      () => put(bytes.subarray(0, bytes.length >> 1)),
    );
    open.position = at + bytes.length;
    return bytes.length;
  },

  /** A directory's names or a file's bytes. */
  sync(fd: number): void {
    const { life, path, file } = descriptor(fd);
    if (file === null) life.perform("syncDirectory", path, () => life.disk.syncDirectory(path));
    else life.perform("sync", path, () => (file.synced = file.bytes));
  },

  truncate(fd: number, length: number): void {
    const { life, path, file } = descriptor(fd);
    life.perform(
      "truncate",
      path,
      () => (file!.bytes = Buffer.from(file!.bytes.subarray(0, length))),
    );
  },

  readFile(path: string): Buffer {
    const life = Life.current;
    life.checkAlive();
    return Buffer.from(life.disk.file(path).bytes);
  },

  /** Atomic, as POSIX has it. */
  rename(from: string, to: string): void {
    const { disk } = Life.current;
    Life.current.perform("rename", to, () => disk.rename(from, to));
  },

  link(from: string, to: string): void {
    const { disk } = Life.current;
    if (disk.has(to)) throw systemError("EEXIST", "link", to);
    Life.current.perform("link", to, () => disk.link(from, to));
  },

  unlink(path: string): void {
    const { disk } = Life.current;
    if (!disk.has(path)) throw systemError("ENOENT", "unlink", path);
    Life.current.perform("unlink", path, () => disk.remove(path));
  },

  rmdir(path: string): void {
    const { disk } = Life.current;
    Life.current.perform("rmdir", path, () => disk.remove(path));
  },

  list(path: string): string[] {
    Life.current.checkAlive();
    return Life.current.disk.list(path);
  },

  exists(path: string): boolean {
    Life.current.checkAlive();
    return Life.current.disk.has(path);
  },

  /** With its parents, one operation each. Returns the topmost that was made. */
  makeDirectory(path: string): string | undefined {
    const life = Life.current;
    if (life.disk.has(path)) return undefined;
    const above = files.makeDirectory(dirname(path));
    life.perform("mkdir", path, () => life.disk.makeDirectory(path));
    return above ?? path;
  },
};
