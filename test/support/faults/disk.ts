import { basename, dirname, join } from "node:path";

/**
 * A disk in memory that knows what a power failure would leave of it: bytes and names count as durable from the fsync that covers them, and no
 * sooner. It promises less than any file system that people use: what is not fsynced may come in any order and in part.
 */

export interface DiskFile {
  /** As processes read it: the page cache. */
  bytes: Buffer;
  /** As a power failure leaves it at least. */
  synced: Buffer;
}

type Node = DiskFile | "directory";

/** Bytes that a disk writes as a whole. Small, so that small files can be torn too. */
const SECTOR_BYTES = 64;

export class Disk {
  readonly root: string;
  #names = new Map<string, Node>();
  /** Names as a power failure leaves them at least. */
  #durable = new Map<string, Node>();

  /** An empty disk; `root` is its directory, and what is not below it is there already. */
  constructor(root: string) {
    this.root = root;
  }

  /** Throws: ENOENT, EISDIR. */
  file(path: string): DiskFile {
    const node = this.#names.get(path);
    if (node === undefined) throw systemError("ENOENT", "open", path);
    if (node === "directory") throw systemError("EISDIR", "open", path);
    return node;
  }

  has(path: string): boolean {
    return this.#names.has(path) || !path.startsWith(`${this.root}/`);
  }

  /** An empty file. Throws: ENOENT without its directory. */
  create(path: string): DiskFile {
    if (!this.has(dirname(path))) throw systemError("ENOENT", "open", path);
    const made = { bytes: Buffer.alloc(0), synced: Buffer.alloc(0) };
    this.#names.set(path, made);
    return made;
  }

  makeDirectory(path: string): void {
    this.#names.set(path, "directory");
  }

  /** Names in a directory. Throws: ENOENT. */
  list(path: string): string[] {
    if (!this.has(path)) throw systemError("ENOENT", "scandir", path);
    return [...this.#names.keys()]
      .filter((name) => dirname(name) === path)
      .map((name) => basename(name));
  }

  remove(path: string): void {
    if (!this.#names.delete(path)) throw systemError("ENOENT", "unlink", path);
  }

  /** A second name for a file. Throws: EEXIST. */
  link(from: string, to: string): void {
    if (this.#names.has(to)) throw systemError("EEXIST", "link", to);
    this.#names.set(to, this.file(from));
  }

  rename(from: string, to: string): void {
    const file = this.file(from);
    this.#names.delete(from);
    this.#names.set(to, file);
  }

  /** Makes the names in a directory durable, not what is in the files. */
  syncDirectory(path: string): void {
    for (const name of new Set([...this.#names.keys(), ...this.#durable.keys()])) {
      if (dirname(name) !== path) continue;
      const node = this.#names.get(name);
      if (node === undefined) this.#durable.delete(name);
      else this.#durable.set(name, node);
    }
  }

  /** Each name is as it was when its directory was synced last, or as it is; each sector and the length of each file likewise. */
  losePower(random: () => number): void {
    const isLucky = (): boolean => random() < 0.5;
    const left = new Map<string, Node>();
    for (const name of new Set([...this.#names.keys(), ...this.#durable.keys()])) {
      const [now, before] = [this.#names.get(name), this.#durable.get(name)];
      const node = now === before || isLucky() ? now : before;
      if (node !== undefined) left.set(name, node);
    }
    // What lies in a directory that is gone is gone with it.
    for (const name of [...left.keys()].sort())
      if (dirname(name) !== this.root && left.get(dirname(name)) !== "directory") left.delete(name);
    for (const node of new Set(left.values())) {
      if (node === "directory" || node.bytes === node.synced) continue;
      node.bytes = node.synced = torn(node, random);
    }
    this.#names = left;
    this.#durable = new Map(left);
  }

  /** Every path below `directory` that is a file. */
  files(directory = this.root): string[] {
    return [...this.#names]
      .filter(([name, node]) => node !== "directory" && name.startsWith(join(directory, "/")))
      .map(([name]) => name);
  }
}

function torn({ bytes, synced }: DiskFile, random: () => number): Buffer {
  const [shorter, longer] = [bytes.length, synced.length].toSorted((a, b) => a - b);
  const fate = random();
  const length =
    fate < 0.4
      ? bytes.length
      : fate < 0.6
        ? synced.length
        : shorter! + Math.floor(random() * (longer! - shorter!));
  const left = Buffer.alloc(length);
  for (let at = 0; at < length; at += SECTOR_BYTES) {
    const source = random() < 0.5 ? bytes : synced;
    left.set(source.subarray(at, Math.min(at + SECTOR_BYTES, length)), at);
  }
  return left;
}

/** An error as node:fs throws it. */
export function systemError(code: string, syscall: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${syscall} '${path}'`), { code, syscall, path });
}
