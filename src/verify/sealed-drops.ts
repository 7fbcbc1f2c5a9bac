import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { KINDS } from "../core/kinds.ts";
import type { RowSource } from "../core/verification.ts";
import { TABLES } from "../records/columns.ts";
import {
  DropHash,
  type DropRecord,
  finishedRecords,
  type NamedRows,
  namedRows,
  parseDropRecord,
} from "../records/drops.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { checkInclusion, proveInclusion } from "../tlog/prove.ts";
import { tileHashReader } from "../tlog/tiles.ts";
import { NO_KIND } from "./entries.ts";
import { type LogReader, TileCache } from "./log-reader.ts";
import { KIND_OFFSET, leafOf } from "./proof.ts";
import type { ReportBuilder } from "./report.ts";
import { type LeafWindow, UNKNOWN_LEAF } from "./tree-check.ts";

/** A sealed record that names rows which were dropped, and what was found of them. */
export interface Drop extends NamedRows {
  /** The record's own. */
  readonly leafIndex: number;
  /** A later sealed record says that its rows are gone. */
  isFinished: boolean;
  /** Rows of it that are gone. */
  absent: number;
}

interface OpenedDrop extends Drop {
  /** Over what the log holds under these indexes. */
  readonly computed: DropHash;
  /** The first run that does not end before the windows that were marked. */
  nextRun: number;
  /** What was looked for in the windows that were marked. */
  markedFrom: number;
  markedThrough: number;
  /** Every entry could be read. */
  isWhole: boolean;
}

const TABLE = TABLES.control.name;
/** Records about one drop stand side by side; a run of more is nothing that we write. */
const MAX_FINISHED_RUN = 1_000_000;

/**
 * Rows that were dropped on purpose: what the control records in the store say, as far as each is in the log, under the signed root.
 * One that is not is a fault, and counts for nothing.
 */
export class SealedDrops {
  readonly #rows: RowSource;
  readonly #log: LogReader;
  readonly #report: ReportBuilder;
  readonly #drops: OpenedDrop[] = [];
  readonly #finished: { readonly first: number; readonly last: number }[] = [];
  readonly #known = new Set<number>();

  constructor(rows: RowSource, log: LogReader, report: ReportBuilder) {
    this.#rows = rows;
    this.#log = log;
    this.#report = report;
  }

  /** Reads the records that `checkpoint` covers. Returns whether there are new ones since the last call. */
  async load(checkpoint: Checkpoint): Promise<boolean> {
    const before = this.#known.size;
    const tiles = new TileCache(this.#log);
    for await (const { indexes, rows } of this.#rows.dropRecords?.() ?? []) {
      for (const [i, row] of rows.entries()) {
        const leafIndex = Number(indexes[i]);
        if (leafIndex >= checkpoint.size || this.#known.has(leafIndex)) continue;
        const record = tryParse(row);
        // It drops nothing, so nothing rests on it here: it is checked as every row is.
        if (!(record instanceof MeshproofError) && record.kind === "retention_changed") continue;
        const reason = await whyNotSealed(leafIndex, row, checkpoint, tiles);
        if (reason === null) this.#take(leafIndex, record);
        else
          this.#report.add(
            "expired_not_sealed",
            `a control record about dropped rows counts for nothing: ${reason}`,
            leafIndex,
            TABLE,
          );
      }
    }
    this.#markFinished();
    return this.#known.size > before;
  }

  /** The drop with this number in what `mark` gave. */
  numbered(number: number): Drop {
    return this.#drops[number - 1]!;
  }

  /** For each leaf of `window`, the number of the drop that names its row, or 0; null when none does. Call it for one window after the other. */
  mark(window: LeafWindow, marked: Uint32Array | null = null): Uint32Array | null {
    let numbers = marked;
    for (const [i, drop] of this.#drops.entries()) {
      if (drop.markedThrough >= window.to) continue;
      if (drop.markedThrough === 0) drop.markedFrom = window.from;
      drop.markedThrough = window.to;
      const { runs } = drop;
      let run = runs[drop.nextRun];
      while (run !== undefined && run.last < window.from) run = runs[++drop.nextRun];
      for (; run !== undefined && run.first < window.to; run = runs[++drop.nextRun]) {
        numbers ??= new Uint32Array(window.to - window.from);
        this.#markRun(window, numbers, drop, i + 1, run.first, run.last);
        if (run.last >= window.to) break;
      }
    }
    return numbers;
  }

  #markRun(
    window: LeafWindow,
    numbers: Uint32Array,
    drop: OpenedDrop,
    number: number,
    first: number,
    last: number,
  ): void {
    const { from, to, kinds, hashes } = window;
    const end = Math.min(last + 1, to) - from;
    for (let at = Math.max(first, from) - from; at < end; at++) {
      const kind = kinds[at]!;
      if (kind === drop.rowKind) {
        numbers[at] = number;
        drop.computed.add(from + at, hashes, at * HASH_LENGTH);
      } else if (kind === NO_KIND || kind === UNKNOWN_LEAF) drop.isWhole = false;
    }
  }

  /**
   * Reports what was dropped in the windows that were marked. A record whose rows are all among them has to name, by count and hash, the rows that the log
   * holds; else its rows count neither as expired nor as erased.
   */
  finish(): void {
    for (const drop of this.#drops) {
      const first = drop.runs[0]!.first;
      const last = drop.runs.at(-1)!.last;
      const isWhole = drop.isWhole && drop.markedFrom <= first && last < drop.markedThrough;
      const { computed, count, hash, kind, absent, table } = drop;
      if (isWhole && (computed.count !== count || !equalBytes(computed.digest(), hash)))
        this.#report.add(
          "expired_not_sealed",
          `the record names ${count} rows of ${table} as ${kind}, and by their hash others than those that the log holds under these indexes; ${absent} of them are gone`,
          drop.leafIndex,
          TABLE,
        );
      else this.#report[kind] += absent;
    }
  }

  #markFinished(): void {
    const byRecord = new Map(this.#drops.map((drop) => [drop.leafIndex, drop]));
    for (const { first, last } of this.#finished) {
      const end = Math.min(last, first + MAX_FINISHED_RUN);
      for (let index = first; index <= end; index++) {
        const drop = byRecord.get(index);
        if (drop !== undefined) drop.isFinished = true;
      }
    }
  }

  #take(leafIndex: number, record: DropRecord | MeshproofError): void {
    this.#known.add(leafIndex);
    try {
      if (record instanceof MeshproofError) throw record;
      this.#read(leafIndex, record);
    } catch (error) {
      if (!(error instanceof MeshproofError)) throw error;
      const detail = `the control record was sealed, and cannot be read: ${error.message}`;
      this.#report.add("expired_not_sealed", detail, leafIndex, TABLE);
    }
  }

  #read(leafIndex: number, record: DropRecord): void {
    if (record.kind !== "expired" && record.kind !== "erased") {
      this.#finished.push(...finishedRecords(record));
      return;
    }
    const drop: OpenedDrop = {
      ...namedRows(record),
      leafIndex,
      isFinished: false,
      absent: 0,
      computed: new DropHash(),
      nextRun: 0,
      markedFrom: 0,
      markedThrough: 0,
      isWhole: true,
    };
    this.#drops.push(drop);
  }
}

/** What the record of a row says, or why it cannot be read. */
function tryParse(row: Uint8Array): DropRecord | MeshproofError {
  try {
    return parseDropRecord(row);
  } catch (error) {
    if (error instanceof MeshproofError) return error;
    throw error;
  }
}

/** Why a row is not control record `index` under the signed root; null when it is. */
async function whyNotSealed(
  index: number,
  row: Uint8Array,
  { size, root }: Checkpoint,
  tiles: TileCache,
): Promise<string | null> {
  const reader = tileHashReader(
    size,
    async (tile) => (await tiles.tile(tile)) ?? new Uint8Array(0),
  );
  try {
    const leaf = leafOf(row);
    const [sealed] = await reader.readHashes([{ level: 0, index }]);
    // The kind stands in the row: the bytes of another kind's row could read as a control record.
    if (row[KIND_OFFSET] !== KINDS.control || !equalBytes(leaf, sealed!))
      return "it is not what was sealed at its index";
    checkInclusion(await proveInclusion(index, size, reader), index, size, leaf, root);
    return null;
  } catch (error) {
    if (!(error instanceof MeshproofError)) throw error;
    return `its tiles do not lead to the signed root: ${error.message}`;
  }
}
