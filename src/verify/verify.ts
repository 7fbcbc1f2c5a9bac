import assert from "node:assert";
import { setTimeout } from "node:timers/promises";
import { equalBytes, toHex } from "../core/bytes.ts";
import type { RowSource } from "../core/verification.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH, tileWidth } from "../tlog/tiles.ts";
import { BeyondRows } from "./beyond-rows.ts";
import {
  CheckpointCheck,
  rolledBack,
  type SeenCheckpoint,
  type Trust,
} from "./checkpoint-check.ts";
import { BundleEntries, NO_KIND } from "./entries.ts";
import { hashedHere } from "./hashed-here.ts";
import type { LogReader } from "./log-reader.ts";
import type { OtherPlaces } from "./missing-rows.ts";
import { type Report, ReportBuilder, SILENCE_MS } from "./report.ts";
import { RowCheck } from "./row-check.ts";
import { SealedDrops } from "./sealed-drops.ts";
import { SignedTiles } from "./signed-tiles.ts";
import { TreeCheck, type TreeVerdict } from "./tree-check.ts";

/** What to verify, and what to trust: the origin and the keys that may have signed its checkpoints. */
export interface VerifyOptions extends Trust {
  readonly log: LogReader;
  /** null: the log alone is verified, not the rows. */
  readonly rows: RowSource | null;
  /** Leaf indexes [from, to) alone, widened to whole bundles of 256. */
  readonly from?: number;
  readonly to?: number;
  /** A checkpoint that an earlier verification ended with: only what is new since then is checked, and that the log continues it. Instead of `from`. */
  readonly since?: SeenCheckpoint;
  /** Checkpoints that were kept elsewhere: the log has to continue them. */
  readonly expected?: readonly SeenCheckpoint[];
  /** Rows are hashed here, not in the store: slower, and the store is trusted with nothing but their bytes. */
  readonly distrustStore?: boolean;
  /** The store has rows of this log alone: those of another are a fault. */
  readonly isSoleLog?: boolean;
  /** The LogId under which the rows were asked for: row 0 of the log has to give it. */
  readonly logId?: string;
  /** Where else rows may be; nowhere unless said otherwise. */
  readonly places?: OtherPlaces;
  /**
   * How long rows may take to arrive, in milliseconds: beside a running server the newest rows are sealed but not yet stored, or stored but not yet sealed.
   * 0 when no server runs.
   */
  readonly settleMs?: number;
  /** Leaves that are checked in one go; a multiple of 256. */
  readonly windowLeaves?: number;
  /** Called after each window. */
  readonly onProgress?: (progress: Progress) => void;
}

/** How far a verification is: leaves, of those that it is to check. */
export interface Progress {
  readonly checked: number;
  readonly total: number;
}

const DEFAULT_WINDOW_LEAVES = 1_048_576;
const POLL_MS = 250;
/** Checkpoints in the store that are compared with the tree: the newest, and as many spread over the older ones. */
const STORED_CHECKPOINTS = 1000;

/** A table that was altered, by what it can no longer answer for. */
const ALTERED = {
  rows: "row_missing",
  columns: "row_changed",
  checkpoints: "checkpoint_invalid",
} as const;

const NOWHERE: OtherPlaces = {
  quarantine: nothingKept,
  journal: nothingKept,
  storedThrough: () => Infinity,
};

/**
 * Verifies a log and its rows: the signature of the newest checkpoint, every entry against every tile up to the signed root,
 * every row against its entry, and the checkpoints that the store or a person holds against the tree. It trusts the keys, and the store's
 * SHA-256 unless `distrustStore` is set.
 * Cost: memory for one window of leaves (33 bytes each) whatever the size of the log.
 */
export async function verify(options: VerifyOptions): Promise<Report> {
  const report = new ReportBuilder();
  await new Verification(options, report).run();
  return report.build();
}

class Verification {
  readonly #options: VerifyOptions;
  readonly #report: ReportBuilder;
  readonly #checkpoints: CheckpointCheck;
  readonly #rows: RowSource | null;
  readonly #rowCheck: RowCheck | null;
  readonly #drops: SealedDrops | null;
  readonly #windowLeaves: number;
  #newest: Checkpoint | null = null;
  #verdict: TreeVerdict = "unknown";
  #start = 0;

  constructor(options: VerifyOptions, report: ReportBuilder) {
    const { rows, places = NOWHERE, windowLeaves = DEFAULT_WINDOW_LEAVES } = options;
    assert(windowLeaves > 0 && windowLeaves % TILE_WIDTH === 0, "whole bundles in a window");
    this.#options = options;
    this.#report = report;
    this.#checkpoints = new CheckpointCheck(options, report);
    this.#rows = rows !== null && options.distrustStore === true ? hashedHere(rows) : rows;
    this.#drops = this.#rows === null ? null : new SealedDrops(this.#rows, options.log, report);
    this.#rowCheck =
      this.#rows === null || this.#drops === null
        ? null
        : new RowCheck(this.#rows, places, report, this.#drops, () => this.#refreshDrops());
    this.#windowLeaves = windowLeaves;
  }

  async run(): Promise<void> {
    const { log, since, expected = [], from = 0, to = Infinity } = this.#options;
    const rows = this.#rows;
    // Before the log's own: what the store holds by now, the log has published.
    this.#checkpoints.addStored((await rows?.checkpoints(STORED_CHECKPOINTS)) ?? []);
    for (const checkpoint of expected) this.#checkpoints.addSeen(checkpoint);
    const seen = since === undefined ? null : this.#checkpoints.addSeen(since);
    const newest = await this.#readNewest();
    if (newest === null) return;
    const first = Math.min(seen?.size ?? from, newest.size);
    this.#start = Math.floor(first / TILE_WIDTH) * TILE_WIDTH;
    await this.#drops?.load(newest);
    const tree = await TreeCheck.open(log, this.#report, {
      start: this.#start,
      size: newest.size,
      sizes: this.#checkpoints.sizes,
    });
    await this.#advance(tree, newest, to);
    if (rows !== null && this.#rowCheck !== null) {
      const deadline = Date.now() + (this.#options.settleMs ?? 0);
      if (to === Infinity) await this.#checkBeyond(rows, tree, deadline);
      await this.#rowCheck.settle(deadline);
      await this.#checkLogId(newest);
      this.#drops?.finish();
      await this.#checkStrangers(rows);
      for (const { table, of, detail } of await rows.alterations())
        this.#report.add(ALTERED[of], detail, null, table);
      this.#report.findings = await rows.findings();
      // From the record before: the stretch up to the first one that is new counts too.
      const before = Math.max(0, this.#start - 1);
      this.#report.timeline = await rows.timeline(before, Math.min(to, tree.size), SILENCE_MS);
    }
    await this.#checkpoints.finish(log, tree, this.#newest!, this.#verdict);
  }

  /** The newest published checkpoint, if it is signed. */
  async #readNewest(): Promise<Checkpoint | null> {
    const note = await this.#options.log.checkpoint();
    const checkpoint = this.#checkpoints.open(note, "the log's newest checkpoint");
    if (checkpoint === null) return null;
    this.#newest = checkpoint;
    this.#report.checkpoint = note;
    return checkpoint;
  }

  /**
   * Beside a running server rows expire while they are looked for. Their record was under a published checkpoint before they went, which may be newer than the
   * one that all is checked against: then it has to continue it.
   */
  async #refreshDrops(): Promise<boolean> {
    const { log, settleMs = 0 } = this.#options;
    if (settleMs === 0 || this.#drops === null) return false;
    const now = this.#checkpoints.open(await log.checkpoint(), "the log's newest checkpoint");
    const { size, root } = this.#newest!;
    if (now === null || !(await new SignedTiles(log, now).continues(size, root))) return false;
    return this.#drops.load(now);
  }

  /** Checks the tree and its rows from where the last call ended to the end of `checkpoint`, or to `to`. */
  async #advance(tree: TreeCheck, checkpoint: Checkpoint, to = Infinity): Promise<void> {
    const last = Math.min(checkpoint.size, Math.ceil(to / TILE_WIDTH) * TILE_WIDTH);
    while (tree.size < last) {
      const windows = Math.floor(tree.size / this.#windowLeaves) + 1;
      const end = Math.min(last, windows * this.#windowLeaves);
      // The store hashes rows while we hash entries.
      const reading = this.#rowCheck?.begin(tree.size, end);
      const window = await tree.advance(end, checkpoint);
      if (reading !== undefined) await this.#rowCheck!.check(window, reading);
      this.#options.onProgress?.({ checked: end - this.#start, total: last - this.#start });
    }
    this.#verdict = await tree.finish(checkpoint);
    this.#report.treeSize = checkpoint.size;
    this.#report.checkpoints++;
  }

  /**
   * Rows whose index the tree does not have. Beside a running server they are in the journal until they are under a published checkpoint:
   * where the journal does not have them, there is a newer one, and the tree is checked on to there.
   */
  async #checkBeyond(rows: RowSource, tree: TreeCheck, deadline: number): Promise<void> {
    const beyond = await BeyondRows.read(rows, tree.size);
    const { quarantine, journal } = this.#options.places ?? NOWHERE;
    for (let isFirst = true; ; isFirst = false) {
      await beyond.drop(quarantine);
      await beyond.drop(journal);
      if (!beyond.hasFrom(tree.size) || (!isFirst && Date.now() >= deadline)) break;
      if (!isFirst) await setTimeout(POLL_MS);
      const before = tree.size;
      const newer = await this.#readNewest();
      if (newer === null) break;
      if (newer.size < before) {
        rolledBack(
          this.#report,
          `a checkpoint of ${before} leaves was published`,
          newer.size,
          null,
        );
        break;
      }
      if (newer.size > before) await this.#advance(tree, newer);
    }
    beyond.report(this.#report, tree.size);
  }

  /** LogId is no part of a row, but it is the beginning of the hash of row 0: nobody shall give all rows another one. */
  async #checkLogId({ size }: Checkpoint): Promise<void> {
    const { log, logId } = this.#options;
    if (logId === undefined || size === 0) return;
    const width = tileWidth(size, 0, 0);
    const bundle = await log.tile({ level: "entries", index: 0, width });
    const entries = new BundleEntries();
    entries.read(bundle ?? new Uint8Array(0), width);
    const leaves = await log.tile({ level: 0, index: 0, width });
    const leaf = leaves?.subarray(0, HASH_LENGTH);
    // An entry that was changed is reported where entries are compared.
    if (entries.kinds[0] === NO_KIND || leaf === undefined) return;
    if (!equalBytes(leaf, entries.leaves.subarray(0, HASH_LENGTH))) return;
    const given = toHex(entries.rowHashes.subarray(0, logId.length / 2));
    if (given === logId) return;
    const detail = `the rows bear the LogId ${JSON.stringify(logId)}, row 0 of this log gives "${given}"`;
    this.#report.add("row_changed", detail, 0);
  }

  /** Rows of other logs: this verification says nothing of them, nor does any where no other log exists. */
  async #checkStrangers(rows: RowSource): Promise<void> {
    if (this.#options.isSoleLog !== true) return;
    for (const { table, logId, rows: count } of await rows.strangers()) {
      const detail = `${count} ${count === 1 ? "row names" : "rows name"} ${JSON.stringify(logId)} as the log: it is not the one that writes here`;
      this.#report.add("row_added", detail, null, table);
    }
  }
}

async function* nothingKept(): AsyncGenerator<never> {}
