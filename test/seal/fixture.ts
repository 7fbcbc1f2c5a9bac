import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { strict as assert } from "node:assert";
import type { MeshproofError } from "../../src/core/errors.ts";
import type { Kind } from "../../src/core/kinds.ts";
import { silentLogger } from "../../src/core/logger.ts";
import type { PlacedBatch } from "../../src/core/rows.ts";
import type { SealerOptions } from "../../src/seal/sealer.ts";
import type { Signer } from "../../src/seal/signers/define.ts";
import type { SealState } from "../../src/seal/state.ts";
import type { LogStore, TileFiles } from "../../src/seal/tile-store.ts";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { encodeEntry } from "../../src/tlog/entry.ts";
import { leafHash } from "../../src/tlog/merkle.ts";
import { formatVerifierKey, keyId } from "../../src/tlog/note.ts";
import {
  type TilePath,
  encodeBundle,
  formatTilePath,
  tileWidth,
  levelCount,
} from "../../src/tlog/tiles.ts";

/** The sealer and what it needs, with a model of the journal and of a disk that loses what was not fsynced. */

export const ORIGIN = "meshproof.test/log";

export function rowHashAt(index: number): Buffer {
  return createHash("sha256").update(`row ${index}`).digest();
}

export function kindAt(index: number): Kind {
  // Sections of a batch: even indexes are spans there, odd ones logs. See batchOf.
  return index % 2 === 0 ? 2 : 3;
}

/** Rows `firstIndex` to `firstIndex + count`, each in a section of its own, so that kinds alternate. */
export function batchOf(firstIndex: number, count: number, rowHash = rowHashAt): PlacedBatch {
  const sections = Array.from({ length: count }, (_, i) => ({
    kind: kindAt(firstIndex + i),
    count: 1,
    bytes: new Uint8Array(),
    offsets: new Uint32Array(2),
    hashes: rowHash(firstIndex + i),
  }));
  return { firstIndex, count, sections };
}

const trees = { builder: new TreeBuilder(() => {}), roots: new Map<number, string>() };

/** Root hash of the first `size` of these rows, computed without the sealer. */
export function rootAt(size: number): string {
  const { builder, roots } = trees;
  while (builder.size <= size) {
    roots.set(builder.size, Buffer.from(builder.root()).toString("base64"));
    const index = builder.size;
    builder.append(Buffer.from(leafHash(encodeEntry(kindAt(index), rowHashAt(index)))), 0);
  }
  return roots.get(size)!;
}

/** The checkpoint text that must be signed at `size`. */
export function textAt(size: number): string {
  return `${ORIGIN}\n${size}\n${rootAt(size)}\n`;
}

/** The bundle with leaf `index * 256` and the `width - 1` after it. */
export function bundleAt(index: number, width: number): Buffer {
  return Buffer.from(
    encodeBundle(
      Array.from({ length: width }, (_, i) =>
        encodeEntry(kindAt(index * 256 + i), rowHashAt(index * 256 + i)),
      ),
    ),
  );
}

export interface TestSigner extends Signer {
  /** Every text that was signed. */
  readonly signed: string[];
}

export function newSigner(origin = ORIGIN): TestSigner {
  const pair = generateKeyPairSync("ed25519");
  const publicKey = Buffer.from(pair.publicKey.export({ format: "jwk" }).x!, "base64url");
  const id = keyId(origin, 1, publicKey);
  const signed: string[] = [];
  return {
    name: origin,
    keyId: id,
    verifierKey: formatVerifierKey({ name: origin, keyId: id, type: 1, publicKey }),
    signed,
    async sign(message) {
      signed.push(Buffer.from(message).toString());
      return sign(null, message, pair.privateKey);
    },
  };
}

/** Options with checkpoints only when they are asked for. */
export function optionsOf(
  directory: string,
  signer: Signer,
  others: Partial<SealerOptions> = {},
): SealerOptions & { readonly fatal: MeshproofError[] } {
  const fatal: MeshproofError[] = [];
  return {
    directory,
    origin: ORIGIN,
    signer,
    checkpointIntervalMs: 1_000_000,
    checkpointRecords: 1_000_000,
    logger: silentLogger,
    onFatal: (error) => fatal.push(error),
    fatal,
    ...others,
  };
}

/** Batches on a disk that is never lost; `release` drops what nobody needs any more. */
export class JournalModel {
  #batches: PlacedBatch[] = [];
  nextIndex = 0;

  append(count: number): PlacedBatch {
    const batch = batchOf(this.nextIndex, count);
    this.#batches.push(batch);
    this.nextIndex += count;
    return batch;
  }

  release(below: number): void {
    this.#batches = this.#batches.filter((batch) => batch.firstIndex + batch.count > below);
  }

  frames(from: number): PlacedBatch[] {
    return this.#batches.filter((batch) => batch.firstIndex + batch.count > from);
  }
}

/** What survives a process: bytes, and whether they survive a power failure too. */
export class Disk {
  readonly files = new Map<string, Buffer>();
  readonly unsynced = new Set<string>();
  state: SealState | null = null;
  published: string | null = null;

  /** Files that were not fsynced are lost, cut, full of zeroes or whole, as `choose` says (0 to 3). */
  losePower(choose: (file: number) => number): void {
    [...this.unsynced].forEach((path, i) => {
      const bytes = this.files.get(path);
      if (bytes === undefined) return;
      const fates = [null, bytes.subarray(0, bytes.length / 2), Buffer.alloc(bytes.length), bytes];
      const left = fates[choose(i) % fates.length]!;
      if (left === null) this.files.delete(path);
      else this.files.set(path, left);
    });
    this.unsynced.clear();
  }
}

/** A store on a Disk that can stop at any operation, before it takes effect or after. */
export class DiskStore implements LogStore {
  readonly disk: Disk;
  /** Counted by the test: 2n stops before the nth operation, 2n + 1 after it. */
  readonly stopAt: number;
  /** Turns of the event loop that an fsync takes. */
  readonly syncTurns: number;
  operations = 0;
  #stopped = false;

  constructor(disk: Disk, stopAt = Number.POSITIVE_INFINITY, syncTurns = 1) {
    this.syncTurns = syncTurns;
    this.disk = disk;
    this.stopAt = stopAt;
  }

  async #operation(act: () => void): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const at = 2 * this.operations++;
    if (at === this.stopAt) this.#stopped = true;
    if (this.#stopped) throw new Error("stopped");
    act();
    if (at + 1 === this.stopAt) {
      this.#stopped = true;
      throw new Error("stopped");
    }
  }

  async read(path: TilePath): Promise<Uint8Array | null> {
    return this.disk.files.get(formatTilePath(path)) ?? null;
  }

  write(files: TileFiles): Promise<void> {
    return this.#operation(() => {
      files.paths.forEach((path, i) => {
        const bytes = Buffer.from(
          files.bytes.slice(i === 0 ? 0 : files.ends[i - 1]!, files.ends[i]!),
        );
        // As in files: what is there already is left alone.
        if (this.disk.files.get(path)?.equals(bytes)) return;
        this.disk.files.set(path, bytes);
        this.disk.unsynced.add(path);
      });
    });
  }

  async sync(): Promise<void> {
    const covered = [...this.disk.unsynced];
    for (let turn = 1; turn < this.syncTurns; turn++)
      await new Promise((resolve) => setImmediate(resolve));
    return this.#operation(() => covered.forEach((path) => this.disk.unsynced.delete(path)));
  }

  removePartials(paths: readonly TilePath[]): Promise<void> {
    return this.#operation(() => {
      for (const path of paths) {
        const prefix = `${formatTilePath({ ...path, width: 256 })}.p/`;
        assert(
          !this.disk.unsynced.has(formatTilePath({ ...path, width: 256 })),
          "the full tile is durable before partial ones go",
        );
        for (const name of this.disk.files.keys())
          if (name.startsWith(prefix)) this.disk.files.delete(name);
      }
    });
  }

  async readState(): Promise<SealState | null> {
    return this.disk.state;
  }

  writeState(state: SealState): Promise<void> {
    return this.#operation(() => (this.disk.state = state));
  }

  async readPublished(): Promise<string | null> {
    return this.disk.published;
  }

  publish(note: string): Promise<void> {
    return this.#operation(() => (this.disk.published = note));
  }

  async close(): Promise<void> {}
}

/** Paths of the tiles and bundles of the tree of `size`, partial ones with their width. */
export function pathsAt(size: number): TilePath[] {
  const paths: TilePath[] = [];
  for (let level = 0; levelCount(size, level) > 0; level++) {
    for (let index = 0; tileWidth(size, level, index) > 0; index++) {
      const width = tileWidth(size, level, index);
      paths.push({ level, index, width });
      if (level === 0) paths.push({ level: "entries", index, width });
    }
  }
  return paths;
}
