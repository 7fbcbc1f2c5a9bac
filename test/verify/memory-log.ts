import { createHash, generateKeyPairSync, sign } from "node:crypto";
import type { Kind } from "../../src/core/kinds.ts";
import type {
  Alteration,
  BundleBatch,
  LeafBatch,
  RowBatchBytes,
  RowSource,
  StoredCheckpoint,
  StrangeRows,
  Timeline,
} from "../../src/core/verification.ts";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { formatCheckpoint } from "../../src/tlog/checkpoint.ts";
import { encodeEntry } from "../../src/tlog/entry.ts";
import { leafHash } from "../../src/tlog/merkle.ts";
import { keyId, signNote, type NoteSigner, type VerifierKey } from "../../src/tlog/note.ts";
import {
  bundlePrefix,
  encodeBundle,
  formatTilePath,
  TILE_WIDTH,
  type TilePath,
} from "../../src/tlog/tiles.ts";
import type { LogReader } from "../../src/verify/log-reader.ts";

/** A log and its rows that live in memory, with every part open to whoever wants to change it. */

export const ORIGIN = "meshproof.test/log";
export const TABLES = [
  { table: "spans", kind: 2 },
  { table: "logs", kind: 3 },
] as const satisfies RowSource["tables"];

/** A key that signs as `origin`. */
export function newKey(origin = ORIGIN): { signer: NoteSigner; key: VerifierKey } {
  const pair = generateKeyPairSync("ed25519");
  const publicKey = Buffer.from(pair.publicKey.export({ format: "jwk" }).x!, "base64url");
  const id = keyId(origin, 1, publicKey);
  const signer: NoteSigner = {
    name: origin,
    keyId: id,
    sign: async (message) => sign(null, message, pair.privateKey),
  };
  return { signer, key: { name: origin, keyId: id, type: 1, publicKey } };
}

export function rowHash(name: string | Uint8Array): Buffer {
  return createHash("sha256").update(name).digest();
}

/** Of every three records one is a span. */
export function kindAt(index: number): Kind {
  return index % 3 === 0 ? 2 : 3;
}

/** A row whose bytes are its name. */
interface StoredRow {
  readonly index: number;
  name: string | Uint8Array;
}

/** The rows of a log, as a store would give them. */
export class MemoryRows implements RowSource {
  tables: RowSource["tables"] = TABLES;
  readonly rows: Record<string, StoredRow[]> = { spans: [], logs: [] };
  readonly stored: StoredCheckpoint[] = [];
  found: Record<string, number> = {};
  foreign: StrangeRows[] = [];
  times: Timeline = { newestNs: null, silences: [], silenceCount: 0, uncleanStops: 0 };
  /** What the timeline was asked for. */
  timesAsked: [from: number, to: number, silenceMs: number][] = [];
  /** Called before each answer: digests once a window, row hashes once a table. */
  onRead: (what: "bundles" | "leaves" | "newest") => void = () => {};
  /** Rows, or bundles, in a batch. */
  batch = 1000;

  table(index: number): StoredRow[] {
    return this.rows[kindAt(index) === 2 ? "spans" : "logs"]!;
  }

  add(index: number): void {
    this.table(index).push({ index, name: `row ${index}` });
  }

  find(index: number): StoredRow {
    return this.table(index).find((row) => row.index === index)!;
  }

  remove(index: number): StoredRow {
    const table = this.table(index);
    return table.splice(
      table.findIndex((row) => row.index === index),
      1,
    )[0]!;
  }

  async *bundles(from: number, to: number): AsyncGenerator<BundleBatch> {
    this.onRead("bundles");
    const parts = this.tables.flatMap(({ table, kind }) =>
      this.#between(table, from, to).map(({ index, name }) => ({
        bundle: Math.floor(index / 256),
        part: Buffer.concat([Buffer.of(index % 256, 1, kind), rowHash(name)]),
      })),
    );
    const bundles = [...Map.groupBy(parts, ({ bundle }) => bundle)].toReversed();
    for (let at = 0; at < bundles.length; at += this.batch) {
      const some = bundles.slice(at, at + this.batch);
      yield {
        bundles: BigUint64Array.from(some, ([bundle]) => BigInt(bundle)),
        counts: BigUint64Array.from(some, ([, rows]) => BigInt(rows.length)),
        digests: Buffer.concat(
          some.map(([, rows]) => {
            const sorted = rows.map(({ part }) => part).sort(Buffer.compare);
            return createHash("sha256").update(Buffer.concat(sorted)).digest();
          }),
        ),
      };
    }
  }

  async *leaves(table: string, from: number, to: number): AsyncGenerator<LeafBatch> {
    this.onRead("leaves");
    yield* this.#hashed(this.#between(table, from, to));
  }

  async *newest(table: string, from: number, limit: number): AsyncGenerator<LeafBatch> {
    this.onRead("newest");
    const rows = this.#between(table, from, Infinity).sort((a, b) => b.index - a.index);
    yield* this.#hashed(rows.slice(0, limit));
  }

  async *rowBytes(table: string, from: number, to: number): AsyncGenerator<RowBatchBytes> {
    const rows = this.#between(table, from, to);
    yield {
      indexes: BigUint64Array.from(rows, ({ index }) => BigInt(index)),
      rows: rows.map(({ name }) => Buffer.from(name)),
    };
  }

  async *dropRecords(): AsyncGenerator<RowBatchBytes> {
    yield* this.rowBytes("control_records", 0, Infinity);
  }

  async checkpoints(limit: number): Promise<StoredCheckpoint[]> {
    return this.stored.toSorted((a, b) => b.size - a.size).slice(0, limit);
  }

  async strangers(): Promise<StrangeRows[]> {
    return this.foreign;
  }

  altered: Alteration[] = [];

  async alterations(): Promise<Alteration[]> {
    return this.altered;
  }

  async findings(): Promise<Record<string, number>> {
    return this.found;
  }

  async timeline(...range: [number, number, number]): Promise<Timeline> {
    this.timesAsked.push(range);
    return this.times;
  }

  async close(): Promise<void> {}

  #between(table: string, from: number, to: number): StoredRow[] {
    return (this.rows[table] ?? []).filter(({ index }) => from <= index && index < to);
  }

  *#hashed(rows: readonly StoredRow[]): Generator<LeafBatch> {
    for (let at = 0; at < rows.length; at += this.batch) {
      const part = rows.slice(at, at + this.batch);
      yield {
        indexes: BigUint64Array.from(part, ({ index }) => BigInt(index)),
        rowHashes: Buffer.concat(part.map(({ name }) => rowHash(name))),
      };
    }
  }
}

/** A log that grows by `grow` and publishes tiles, bundles and a signed checkpoint each time. */
export class MemoryLog implements LogReader {
  readonly rows = new MemoryRows();
  readonly files = new Map<string, Buffer>();
  note = "";
  size = 0;
  readonly signer: NoteSigner;
  readonly key: VerifierKey;
  readonly #entries: Uint8Array[] = [];
  readonly #builder = new TreeBuilder((level, index, hashes) =>
    this.put({ level, index, width: TILE_WIDTH }, hashes),
  );

  constructor({ signer, key }: ReturnType<typeof newKey> = newKey()) {
    this.signer = signer;
    this.key = key;
  }

  static async of(size: number): Promise<MemoryLog> {
    const log = new MemoryLog();
    await log.grow(size);
    return log;
  }

  /** Seals and stores a control record. */
  async control(row: Uint8Array): Promise<number> {
    const index = this.size;
    const { rows } = this.rows;
    this.rows.tables = [...TABLES, { table: "control_records", kind: 6 }];
    (rows["control_records"] ??= []).push({ index, name: row });
    this.#push(encodeEntry(6, rowHash(row)));
    await this.#publish(index + 1, index);
    return index;
  }

  /** Seals and stores rows until there are `size`; the row at `forged` is another one. */
  async grow(size: number, { store = true, forged = -1 } = {}): Promise<void> {
    const before = this.size;
    for (let index = this.size; index < size; index++) {
      const entry = encodeEntry(
        kindAt(index),
        rowHash(index === forged ? "forged" : `row ${index}`),
      );
      this.#push(entry);
      if (store) this.rows.add(index);
    }
    await this.#publish(size, before);
  }

  #push(entry: Uint8Array): void {
    this.#entries.push(entry);
    this.#builder.append(Buffer.from(leafHash(entry)), 0);
  }

  async #publish(size: number, before: number): Promise<void> {
    for (let index = Math.floor(before / TILE_WIDTH); index * TILE_WIDTH < size; index++) {
      const entries = this.#entries.slice(index * TILE_WIDTH, (index + 1) * TILE_WIDTH);
      this.put({ level: "entries", index, width: entries.length }, encodeBundle(entries));
    }
    for (const { tile, hashes } of this.#builder.partials()) this.put(tile, hashes);
    this.size = size;
    this.note = await this.sign();
    this.rows.stored.push({ size, note: this.note });
  }

  /** A checkpoint of the log as it stands, signed. */
  sign(changes: { origin?: string; size?: number; root?: Uint8Array } = {}): Promise<string> {
    const checkpoint = { origin: ORIGIN, size: this.size, root: this.#builder.root(), ...changes };
    return signNote(formatCheckpoint(checkpoint), [this.signer]);
  }

  put(path: TilePath, bytes: Uint8Array): void {
    this.files.set(formatTilePath(path), Buffer.from(bytes));
  }

  /** The bytes of a file, to be changed in place. */
  file(path: string): Buffer {
    const bytes = this.files.get(path);
    if (bytes === undefined) throw new Error(`no ${path} in ${[...this.files.keys()].join(" ")}`);
    return bytes;
  }

  async checkpoint(): Promise<string | null> {
    return this.note === "" ? null : this.note;
  }

  async tile(path: TilePath): Promise<Uint8Array | null> {
    const exact = this.files.get(formatTilePath(path));
    if (exact !== undefined || path.width === TILE_WIDTH) return exact ?? null;
    const full = this.files.get(formatTilePath({ ...path, width: TILE_WIDTH }));
    if (full === undefined) return null;
    return path.level === "entries"
      ? bundlePrefix(full, path.width)
      : full.subarray(0, path.width * 32);
  }
}
