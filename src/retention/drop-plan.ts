import { MeshproofError } from "../core/errors.ts";
import type { LeafBatch } from "../core/verification.ts";
import type { Table } from "../records/columns.ts";
import { DropHash, formatRun, MAX_RUNS_TEXT, type Run } from "../records/drops.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/tiles.ts";
import { BundleEntries } from "../verify/entries.ts";

/** Rows that one control record names. */
export interface DropPart {
  readonly first: number;
  readonly last: number;
  /** As text; see formatRuns. */
  readonly leaves: string;
  readonly count: number;
  readonly hash: Buffer;
}

export interface PlanOptions {
  readonly table: Table;
  /** Leaf indexes [from, to) that may be among them. */
  readonly from: number;
  readonly to: number;
  /** The rows that are to go, of those with leaf indexes in [from, to): any order. */
  readonly rows: (from: number, to: number) => AsyncIterable<LeafBatch>;
  /** The log's entry bundle, as far as it is filled; null when it is missing. */
  readonly bundle: (index: number) => Promise<{ bytes: Uint8Array; width: number } | null>;
  /** All in one part, whatever its length: to compare with a record that was sealed. */
  readonly isWhole?: boolean;
}

/** Leaves that are looked at in one go: 2 MiB of hashes. */
const WINDOW_LEAVES = 65_536;

/**
 * What has to be sealed before rows go, in ascending parts of bounded size. Each row is held against the log first: what was changed is not dropped,
 * since the row is what shows it.
 * Throws: ROW_TAMPERED when a row is not what was sealed, is there twice, or the log has no entry for it.
 */
export async function* planDrop(options: PlanOptions): AsyncGenerator<DropPart> {
  const builder = new PartBuilder(options.isWhole === true ? Infinity : MAX_RUNS_TEXT);
  const entries = new BundleEntries();
  for (let start = align(options.from); start < options.to; start += WINDOW_LEAVES) {
    const end = Math.min(start + WINDOW_LEAVES, options.to);
    const rows = await readWindow(options, Math.max(start, options.from), end, start);
    if (rows.count === 0) {
      builder.breakRun();
      continue;
    }
    for (let at = start; at < end; at += TILE_WIDTH) {
      const isEmpty = rows.holds
        .subarray(at - start, at - start + TILE_WIDTH)
        .every((x) => x === 0);
      if (isEmpty) {
        builder.breakRun();
        continue;
      }
      const bundle = await options.bundle(at / TILE_WIDTH);
      entries.read(bundle?.bytes ?? new Uint8Array(0), bundle?.width ?? 0);
      compareBundle(options.table, entries, bundle?.width ?? 0, rows, at, start, builder);
    }
    yield* builder.take();
  }
  yield* builder.end();
}

interface WindowRows {
  readonly holds: Uint8Array;
  readonly hashes: Buffer;
  readonly count: number;
}

function align(index: number): number {
  return index - (index % TILE_WIDTH);
}

async function readWindow(
  { table, rows }: PlanOptions,
  from: number,
  to: number,
  start: number,
): Promise<WindowRows> {
  const holds = new Uint8Array(WINDOW_LEAVES);
  let hashes = Buffer.alloc(0);
  let count = 0;
  for await (const { indexes, rowHashes } of rows(from, to)) {
    if (count === 0) hashes = Buffer.allocUnsafe(WINDOW_LEAVES * HASH_LENGTH);
    const found = Buffer.from(rowHashes.buffer, rowHashes.byteOffset, rowHashes.length);
    for (let i = 0; i < indexes.length; i++) {
      const at = Number(indexes[i]) - start;
      if (holds[at] !== 0) throw tampered(table, start + at, "is there more than once");
      holds[at] = 1;
      found.copy(hashes, at * HASH_LENGTH, i * HASH_LENGTH, (i + 1) * HASH_LENGTH);
      count++;
    }
  }
  return { holds, hashes, count };
}

function compareBundle(
  table: Table,
  { kinds, rowHashes }: BundleEntries,
  width: number,
  { holds, hashes }: WindowRows,
  at: number,
  start: number,
  builder: PartBuilder,
): void {
  for (let i = 0; i < TILE_WIDTH; i++) {
    const isOfTable = i < width && kinds[i] === table.kind;
    const row = at - start + i;
    if (holds[row] === 1) {
      const to = row * HASH_LENGTH;
      const from = i * HASH_LENGTH;
      if (
        !isOfTable ||
        hashes.compare(rowHashes, from, from + HASH_LENGTH, to, to + HASH_LENGTH) !== 0
      )
        throw tampered(table, at + i, "is not what was sealed");
      builder.add(at + i, hashes, to);
    } else if (isOfTable) builder.breakRun();
  }
}

function tampered({ name }: Table, leafIndex: number, what: string): MeshproofError {
  return new MeshproofError(
    "ROW_TAMPERED",
    `record ${leafIndex} in ${name} ${what}: rows that show a fault are not dropped; meshproof verify names them all`,
  );
}

/** Gathers rows into runs, and runs into parts. A run may reach over leaves of other kinds. */
class PartBuilder {
  readonly #maxText: number;
  #hash = new DropHash();
  #text: string[] = [];
  #length = 0;
  #first = -1;
  #last = -1;
  #run: { first: number; last: number } | null = null;
  #done: DropPart[] = [];

  constructor(maxText: number) {
    this.#maxText = maxText;
  }

  add(leafIndex: number, hashes: Buffer, at: number): void {
    if (this.#run === null) {
      if (this.#length > this.#maxText) this.#close();
      this.#run = { first: leafIndex, last: leafIndex };
      if (this.#first < 0) this.#first = leafIndex;
    }
    this.#run.last = this.#last = leafIndex;
    this.#hash.add(leafIndex, hashes, at);
  }

  breakRun(): void {
    if (this.#run === null) return;
    const text = formatRun(this.#run satisfies Run);
    this.#text.push(text);
    this.#length += text.length + 1;
    this.#run = null;
  }

  /** Parts that are full. */
  take(): DropPart[] {
    return this.#done.splice(0);
  }

  /** What is left, too. */
  end(): DropPart[] {
    this.breakRun();
    if (this.#first >= 0) this.#close();
    return this.take();
  }

  #close(): void {
    this.#done.push({
      first: this.#first,
      last: this.#last,
      leaves: this.#text.join(" "),
      count: this.#hash.count,
      hash: this.#hash.digest(),
    });
    this.#hash = new DropHash();
    this.#text = [];
    this.#length = 0;
    this.#first = -1;
  }
}
