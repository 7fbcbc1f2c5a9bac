import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../src/core/logger.ts";
import type { Kind } from "../../src/core/kinds.ts";
import {
  LEAF_INDEX_OFFSET,
  ROW_PREFIX_LENGTH,
  type PlacedBatch,
  type RowBatch,
  type RowSection,
} from "../../src/core/rows.ts";
import type { FileSystem } from "../../src/journal/files.ts";
import type { Frame, FrameMeta, Journal, JournalOptions } from "../../src/journal/journal.ts";

/** A batch whose bytes follow from `seed`: one section for each of `counts`, rows of differing lengths. */
export function makeBatch(seed: number, counts: readonly number[] = [3], rowLength = 20): RowBatch {
  const sections: RowSection[] = counts.map((count, number) => {
    const rows = Array.from({ length: count }, (_, row) =>
      Buffer.alloc(rowLength + ((seed + row) % 7), `${seed}/${number}/${row};`),
    );
    const offsets = new Uint32Array(count + 1);
    const hashes = new Uint8Array(32 * count);
    const pieces: Buffer[] = [];
    for (const [row, bytes] of rows.entries()) {
      pieces.push(
        Buffer.concat([
          Buffer.from("\x100123456789abcdef", "latin1"),
          Buffer.alloc(8, 0xff),
          bytes,
        ]),
      );
      offsets[row + 1] = offsets[row]! + ROW_PREFIX_LENGTH + bytes.length;
      hashes.set(createHash("sha256").update(bytes).digest(), 32 * row);
    }
    return {
      kind: ((number % 6) + 1) as Kind,
      count,
      bytes: Buffer.concat(pieces),
      offsets,
      hashes,
    };
  });
  return { sections };
}

/** A directory of this run alone: t.testdir() has the same name in each run, and two runs at once would share a journal. */
export function temporaryDirectory(t: { teardown(end: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), "meshproof-journal-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

export function keyOf(seed: number): Uint8Array {
  return new Uint8Array(createHash("sha256").update(`key ${seed}`).digest());
}

export function makeMeta(seed: number): FrameMeta {
  const signal = (["logs", "traces", "internal"] as const)[seed % 3]!;
  const rejected = seed % 4;
  return {
    signal,
    key: signal === "internal" ? null : keyOf(seed),
    receivedAtNs: BigInt(seed) * 1_000_000n,
    rejected,
    message: rejected === 0 ? "" : `${rejected} réfusés`,
    sender: seed % 5 === 0 ? "" : `séndeur ${seed % 5}`,
    cut: seed % 3,
  };
}

export function options(extra: Partial<JournalOptions> = {}): JournalOptions {
  return {
    directory: "/journal",
    maxBytes: 1_000_000_000,
    logger: silentLogger,
    clock: () => 1000,
    onFatal(error) {
      throw error;
    },
    ...extra,
  };
}

/** A frame as plain values, to be compared with what was appended. */
export function plain(batch: PlacedBatch, meta: FrameMeta): unknown {
  return {
    firstIndex: batch.firstIndex,
    count: batch.count,
    meta: { ...meta, key: meta.key === null ? null : Buffer.from(meta.key).toString("hex") },
    sections: batch.sections.map(({ kind, count, bytes, offsets, hashes }) => ({
      kind,
      count,
      bytes: Buffer.from(bytes).toString("latin1"),
      offsets: [...offsets],
      hashes: Buffer.from(hashes).toString("hex"),
    })),
  };
}

export async function readAll(
  journal: Journal,
  fromIndex = journal.firstIndex,
): Promise<unknown[]> {
  const frames: unknown[] = [];
  for await (const frame of journal.frames(fromIndex)) frames.push(plain(frame, frame.meta));
  return frames;
}

/** Leaf indexes in the prefixes of a frame's rows. */
export function leafIndexes(frame: Frame | PlacedBatch): bigint[] {
  return frame.sections.flatMap(({ bytes, offsets, count }) =>
    Array.from({ length: count }, (_, row) =>
      Buffer.from(bytes).readBigUInt64LE(offsets[row]! + LEAF_INDEX_OFFSET),
    ),
  );
}

interface MemoryFile {
  bytes: Buffer;
  synced: Buffer;
}

/**
 * A file system in memory that knows what a power loss would leave. The mutating calls are counted; from `haltAfter` on they fail
 * as if the process had ended there.
 */
export class MemoryFileSystem implements FileSystem {
  names = new Map<string, MemoryFile>();
  durableNames = new Map<string, MemoryFile>();
  mutations = 0;
  haltAfter = Infinity;
  /** Bytes that may still be written before ENOSPC. */
  room = Infinity;
  /** Called before each sync of a file; may throw. */
  beforeSync: () => void | Promise<void> = () => {};
  syncs = 0;
  /** Descriptors that are open. */
  readonly opened = new Map<number, MemoryFile>();
  #nextFd = 3;

  #mutate(): void {
    if (++this.mutations > this.haltAfter)
      throw Object.assign(new Error("halted"), { code: "EHALT" });
  }

  #file(fd: number): MemoryFile {
    const file = this.opened.get(fd);
    if (file === undefined) throw Object.assign(new Error("EBADF"), { code: "EBADF" });
    return file;
  }

  async open(path: string, flags: "r" | "r+" | "wx+"): Promise<number> {
    if (flags === "wx+") {
      this.#mutate();
      if (this.names.has(path))
        throw Object.assign(new Error(`EEXIST ${path}`), { code: "EEXIST" });
      this.names.set(path, { bytes: Buffer.alloc(0), synced: Buffer.alloc(0) });
    }
    const file = this.names.get(path);
    if (file === undefined) throw Object.assign(new Error(`ENOENT ${path}`), { code: "ENOENT" });
    this.opened.set(this.#nextFd, file);
    return this.#nextFd++;
  }

  async close(fd: number): Promise<void> {
    this.#file(fd);
    this.opened.delete(fd);
  }

  async size(fd: number): Promise<number> {
    return this.#file(fd).bytes.length;
  }

  async read(fd: number, into: Uint8Array, position: number): Promise<number> {
    const part = this.#file(fd).bytes.subarray(position, position + into.length);
    into.set(part);
    return part.length;
  }

  /** Short writes are the rule here: two thirds of what was given, when that is more than 64 bytes. */
  async writev(fd: number, pieces: readonly Uint8Array[], position: number): Promise<number> {
    this.#mutate();
    const file = this.#file(fd);
    const all = Buffer.concat(pieces);
    const length = Math.min(
      this.room,
      all.length > 64 ? Math.ceil((2 * all.length) / 3) : all.length,
    );
    if (length === 0)
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    this.room -= length;
    const grown = Buffer.alloc(Math.max(file.bytes.length, position + length));
    grown.set(file.bytes);
    grown.set(all.subarray(0, length), position);
    file.bytes = grown;
    return length;
  }

  async datasync(fd: number): Promise<void> {
    this.#mutate();
    this.syncs++;
    const bytes = this.#file(fd).bytes;
    await this.beforeSync();
    this.#file(fd).synced = Buffer.from(bytes);
  }

  async truncate(fd: number, length: number): Promise<void> {
    this.#mutate();
    const file = this.#file(fd);
    this.room += file.bytes.length - length;
    file.bytes = Buffer.from(file.bytes.subarray(0, length));
  }

  async remove(path: string): Promise<void> {
    this.#mutate();
    if (!this.names.delete(path))
      throw Object.assign(new Error(`ENOENT ${path}`), { code: "ENOENT" });
  }

  async rename(from: string, to: string): Promise<void> {
    this.#mutate();
    const file = this.names.get(from);
    if (file === undefined) throw Object.assign(new Error(`ENOENT ${from}`), { code: "ENOENT" });
    this.names.delete(from);
    this.names.set(to, file);
  }

  async list(directory: string): Promise<string[]> {
    return [...this.names.keys()].map((path) => path.slice(directory.length + 1)).reverse();
  }

  async makeDirectory(): Promise<void> {}

  async syncDirectory(): Promise<void> {
    this.#mutate();
    this.durableNames = new Map(this.names);
  }

  /**
   * What the disk holds after a crash now. "kill": all that was written. "power": only what was synced.
   * "torn": synced names; of unsynced bytes, each block of 64 came or did not, as `random` says, and the length is old or new.
   */
  crash(mode: "kill" | "power" | "torn", random: () => number = Math.random): MemoryFileSystem {
    const after = new MemoryFileSystem();
    if (mode === "kill") {
      // The machine goes on: what was not synced still is not.
      const copies = new Map<MemoryFile, MemoryFile>();
      for (const file of [...this.names.values(), ...this.durableNames.values()])
        copies.set(file, { ...file });
      after.names = new Map([...this.names].map(([path, file]) => [path, copies.get(file)!]));
      after.durableNames = new Map(
        [...this.durableNames].map(([path, file]) => [path, copies.get(file)!]),
      );
      return after;
    }
    for (const [path, { bytes, synced }] of this.durableNames) {
      let left = synced;
      if (mode === "torn") {
        const length =
          random() < 0.5
            ? bytes.length
            : Math.max(synced.length, Math.floor(random() * bytes.length));
        left = Buffer.alloc(length);
        for (let at = 0; at < length; at += 64)
          left.set((random() < 0.5 ? bytes : synced).subarray(at, Math.min(at + 64, length)), at);
      }
      after.put(path, left);
    }
    return after;
  }

  put(path: string, bytes: Uint8Array): void {
    const file = { bytes: Buffer.from(bytes), synced: Buffer.from(bytes) };
    this.names.set(path, file);
    this.durableNames.set(path, file);
  }

  /** The bytes of a file, to be damaged in place. */
  bytesOf(path: string): Buffer {
    const file = this.names.get(path)!;
    file.bytes = Buffer.from(file.bytes);
    return file.bytes;
  }
}

/** Pseudo-random numbers in [0, 1) that a failing test can repeat (mulberry32). */
export function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
