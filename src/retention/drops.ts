import { setTimeout } from "node:timers/promises";
import { equalBytes } from "../core/bytes.ts";
import { KINDS } from "../core/kinds.ts";
import type { Logger } from "../core/logger.ts";
import { SHA256_BYTES, sha256Into } from "../core/sha256.ts";
import { type DropPart, planDrop, type PlanOptions } from "./drop-plan.ts";
import {
  type DropKind,
  type DropRecord,
  FINISHED,
  finishedRecords,
  formatRuns,
  type NamedRows,
  namedRows,
  parseDropRecord,
} from "../records/drops.ts";
import type { ControlRecord } from "../records/own-rows.ts";
import type { ClickHouseRowSource } from "../store/rows.ts";
import type { RetentionStore } from "../store/retention.ts";
import { type TilePath, TILE_WIDTH, tileWidth } from "../tlog/tiles.ts";
import { BundleEntries } from "../verify/entries.ts";

/** The log, as far as dropping rows has to do with it. */
export interface DropLog {
  progress(): DropProgress;
  /** An entry bundle of the signed log. */
  read(path: TilePath): Promise<Uint8Array | null>;
  /** Seals control records in one frame; resolves with the leaf index of the first when they are durable. */
  seal(records: readonly ControlRecord[]): Promise<number>;
  /** The journal's next frame begins a segment, so that those before can be let go of. */
  turnJournal(): void;
  /** Lets go of what the journal need not hold. */
  releaseJournal(): void;
}

/** How far the log is; all leaf indexes. */
export interface DropProgress {
  /** Behind the last durable record. */
  readonly next: number;
  readonly signed: number;
  readonly published: number;
  readonly stored: number;
  /** The first record that the journal holds: those below are in the store alone. */
  readonly journalFrom: number;
}

/** A sealed record that names rows which may still be there. */
export interface OpenDrop {
  readonly leafIndex: number;
  readonly record: DropRecord;
  readonly named: NamedRows;
}

/** What the sealed records say of drops so far. */
export interface DropHistory {
  /** Those without a record that their rows are gone, in the order of the log. */
  readonly open: readonly OpenDrop[];
  /** The newest `retention_changed`. */
  readonly periods: DropRecord | null;
  /** The newest `retention_changed` that shortened a period. */
  readonly shortened: DropRecord | null;
}

export interface DropsOptions {
  readonly log: DropLog;
  readonly rows: Pick<ClickHouseRowSource, "dropRecords">;
  readonly store: RetentionStore;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** How long a sealed record may take to be published and stored, and the journal to let go of the rows. */
  readonly maxWaitMs?: number;
}

const DEFAULT_MAX_WAIT_MS = 300_000;
const POLL_MS = 100;
const BUNDLE_TRIES = 3;
/** Records in one frame: 1.5 MiB at most. */
const RECORDS_PER_FRAME = 32;

/**
 * Rows that go on purpose, in this order: seal a record that names them, wait until it is under a published checkpoint and in the store and the journal
 * holds the rows no more, drop them, seal that they are gone. A crash between any two is made up for by whoever reads `history` next.
 */
export class Drops {
  readonly #options: DropsOptions;

  constructor(options: DropsOptions) {
    this.#options = options;
  }

  /** What the control records in the store say, as far as they are what was sealed: a forged one drops nothing. */
  async history(): Promise<DropHistory> {
    const { rows, logger } = this.#options;
    const open = new Map<number, OpenDrop>();
    let periods: DropRecord | null = null;
    let shortened: DropRecord | null = null;
    for await (const { indexes, rows: bytes } of rows.dropRecords()) {
      for (const [i, row] of bytes.entries()) {
        const leafIndex = Number(indexes[i]);
        if (!(await this.#isSealed(leafIndex, row))) {
          logger.error(
            { leafIndex },
            "a control record about dropped rows is not what was sealed, and counts for nothing: run meshproof verify",
          );
          continue;
        }
        const record = parseDropRecord(row);
        if (record.kind === "retention_changed") {
          periods = record;
          if (record.detail["shortened"] === "true") shortened = record;
        } else if (record.kind === "expired" || record.kind === "erased")
          open.set(leafIndex, { leafIndex, record, named: namedRows(record) });
        else
          for (const { first, last } of finishedRecords(record))
            for (let index = first; index <= last; index++) open.delete(index);
      }
    }
    return { open: [...open.values()], periods, shortened };
  }

  /** Resolves with whether everything that is in the log now is in the store. */
  async settled(): Promise<boolean> {
    const { next } = this.#options.log.progress();
    return this.#until(({ stored }) => stored >= next);
  }

  plan(options: Omit<PlanOptions, "bundle">): AsyncGenerator<DropPart> {
    return planDrop({ ...options, bundle: (index) => this.#bundle(index) });
  }

  /** Seals what names the rows of `parts`. Resolves with the leaf indexes of the records. */
  async seal(
    kind: DropKind,
    detail: Readonly<Record<string, string>>,
    parts: AsyncIterable<DropPart> | Iterable<DropPart>,
    timestampNs: bigint,
  ): Promise<{ readonly records: number[]; readonly count: number }> {
    const { log } = this.#options;
    const records: number[] = [];
    let waiting: ControlRecord[] = [];
    let count = 0;
    const flush = async (): Promise<void> => {
      if (waiting.length === 0) return;
      if (records.length === 0) log.turnJournal();
      const first = await log.seal(waiting);
      records.push(...waiting.map((_, i) => first + i));
      waiting = [];
    };
    for await (const part of parts) {
      count += part.count;
      waiting.push({
        timestampNs,
        controlKind: kind,
        detail: {
          ...detail,
          leaves: part.leaves,
          count: String(part.count),
          sha256: part.hash.toString("hex"),
        },
      });
      if (waiting.length === RECORDS_PER_FRAME) await flush();
    }
    await flush();
    return { records, count };
  }

  /** Resolves with whether rows up to `lastRow` may go, which a record up to `lastRecord` names. */
  async mayGo(lastRecord: number, lastRow: number): Promise<boolean> {
    const { log } = this.#options;
    if (log.progress().journalFrom <= lastRow) log.turnJournal();
    return this.#until(
      ({ published, stored, journalFrom }) =>
        published > lastRecord && stored > lastRecord && journalFrom > lastRow,
    );
  }

  /** Seals that the rows which these records name are gone. */
  async finish(
    kind: DropKind,
    detail: Readonly<Record<string, string>>,
    records: readonly number[],
    timestampNs: bigint,
  ): Promise<void> {
    const runs: { first: number; last: number }[] = [];
    for (const index of records.toSorted((a, b) => a - b)) {
      const run = runs.at(-1);
      if (run?.last === index - 1) run.last = index;
      else runs.push({ first: index, last: index });
    }
    const controlKind = FINISHED[kind];
    await this.#options.log.seal([
      { timestampNs, controlKind, detail: { ...detail, records: formatRuns(runs) } },
    ]);
  }

  async #until(holds: (progress: DropProgress) => boolean): Promise<boolean> {
    const { log, signal, maxWaitMs = DEFAULT_MAX_WAIT_MS } = this.#options;
    for (const deadline = Date.now() + maxWaitMs; !holds(log.progress());) {
      if (Date.now() > deadline) return false;
      await setTimeout(POLL_MS, undefined, { signal });
      log.releaseJournal();
    }
    return true;
  }

  async #isSealed(leafIndex: number, row: Uint8Array): Promise<boolean> {
    const at = leafIndex % TILE_WIDTH;
    const bundle = await this.#bundle(Math.floor(leafIndex / TILE_WIDTH));
    if (bundle === null || at >= bundle.width) return false;
    const entries = new BundleEntries();
    entries.read(bundle.bytes, bundle.width);
    const hash = Buffer.alloc(SHA256_BYTES);
    sha256Into(row, hash, 0);
    const sealed = entries.rowHashes.subarray(at * SHA256_BYTES, (at + 1) * SHA256_BYTES);
    return entries.kinds[at] === KINDS.control && equalBytes(sealed, hash);
  }

  /** An entry bundle as it is signed. A partial one may be replaced between the question and the answer. */
  async #bundle(index: number): Promise<{ bytes: Uint8Array; width: number } | null> {
    const { log } = this.#options;
    for (let tries = 0; tries < BUNDLE_TRIES; tries++) {
      const width = tileWidth(log.progress().signed, 0, index);
      const bytes = width === 0 ? null : await log.read({ level: "entries", index, width });
      if (bytes !== null) return { bytes, width };
    }
    return null;
  }
}
