import assert from "node:assert";
import { setTimeout } from "node:timers/promises";
import { equalBytes, toHex } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { RowSource } from "../core/verification.ts";
import { type Checkpoint, openCheckpoint } from "../tlog/checkpoint.ts";
import type { VerifierKey } from "../tlog/note.ts";
import { HASH_LENGTH } from "../tlog/merkle.ts";
import { TILE_WIDTH } from "../tlog/tiles.ts";
import type { LogReader } from "./log-reader.ts";
import { type Report, ReportBuilder } from "./report.ts";
import { type KeptRows, RowCheck } from "./row-check.ts";
import { TreeCheck } from "./tree-check.ts";

export interface VerifyOptions {
  readonly log: LogReader;
  /** null: the log alone is verified, not the rows. */
  readonly rows: RowSource | null;
  /** The log's origin and the keys that may have signed its checkpoints. */
  readonly origin: string;
  readonly keys: readonly VerifierKey[];
  /** Rows that are kept beside the tables; none unless said otherwise. */
  readonly kept?: KeptRows;
  /**
   * How long rows may take to arrive, in milliseconds: beside a running server the newest rows are sealed but not yet stored, or stored but not yet sealed.
   * 0 when no server runs.
   */
  readonly settleMs?: number;
  /** Leaves that are checked in one go; a multiple of 256. */
  readonly windowLeaves?: number;
  /** Called after each window. */
  readonly onProgress?: (progress: { readonly checked: number; readonly size: number }) => void;
}

const DEFAULT_WINDOW_LEAVES = 1_048_576;
const POLL_MS = 250;
/** Signed checkpoints in the store, newest first, that are compared with the tree. */
const STORED_CHECKPOINTS = 1000;
/** Rows of a table beyond the tree that are looked at. */
const MAX_BEYOND = 10_000;

/**
 * Verifies a log and its rows: the signature of the newest checkpoint, every entry against every tile up to the signed root,
 * every row against its entry, and the checkpoints that the store holds against the tree. It trusts the keys alone.
 * Cost: memory for one window of leaves (33 bytes each) whatever the size of the log.
 */
export async function verify(options: VerifyOptions): Promise<Report> {
  const report = new ReportBuilder();
  await new Verification(options, report).run();
  return report.build();
}

type StoredCheckpoints = Awaited<ReturnType<RowSource["checkpoints"]>>;

class Verification {
  readonly #options: VerifyOptions;
  readonly #report: ReportBuilder;
  readonly #windowLeaves: number;
  readonly #rowCheck: RowCheck | null;

  constructor(options: VerifyOptions, report: ReportBuilder) {
    const { rows, kept = nothingKept, windowLeaves = DEFAULT_WINDOW_LEAVES } = options;
    assert(windowLeaves > 0 && windowLeaves % TILE_WIDTH === 0, "whole bundles in a window");
    this.#options = options;
    this.#report = report;
    this.#windowLeaves = windowLeaves;
    this.#rowCheck = rows === null ? null : new RowCheck(rows, kept, report);
  }

  async run(): Promise<void> {
    const { log, rows } = this.#options;
    // Before the log's own: what the store holds by now, the log has published.
    const stored = (await rows?.checkpoints(STORED_CHECKPOINTS)) ?? [];
    const checkpoint = await this.#readCheckpoint();
    if (checkpoint === null) return;
    const tree = new TreeCheck(
      log,
      this.#report,
      stored.map(({ size }) => size),
    );
    await this.#advance(tree, checkpoint);
    if (rows === null || this.#rowCheck === null) return;
    const deadline = Date.now() + (this.#options.settleMs ?? 0);
    await this.#checkBeyond(rows, tree, deadline);
    while (!this.#rowCheck.isComplete && Date.now() < deadline) {
      await setTimeout(POLL_MS);
      await this.#rowCheck.checkMissing();
    }
    await this.#rowCheck.finish();
    this.#checkStored(stored, checkpoint, tree);
    this.#report.findings = await rows.findings();
  }

  /** The newest published checkpoint, if it is signed. */
  async #readCheckpoint(): Promise<Checkpoint | null> {
    const { log, origin, keys } = this.#options;
    const note = await log.checkpoint();
    try {
      if (note !== null) return openCheckpoint(note, origin, keys);
      this.#report.add("checkpoint_invalid", "the log has no checkpoint");
    } catch (error) {
      if (!(error instanceof MeshproofError)) throw error;
      this.#report.add("checkpoint_invalid", error.message);
    }
    return null;
  }

  /** Checks the tree and its rows from where the last call ended to the end of `to`. */
  async #advance(tree: TreeCheck, to: Checkpoint): Promise<void> {
    while (tree.size < to.size) {
      const windows = Math.floor(tree.size / this.#windowLeaves) + 1;
      const end = Math.min(to.size, windows * this.#windowLeaves);
      // The store hashes rows while we hash entries.
      const reading = this.#rowCheck?.begin(tree.size, end) ?? [];
      const window = await tree.advance(end, to);
      await this.#rowCheck?.check(window, reading);
      this.#options.onProgress?.({ checked: end, size: to.size });
    }
    await tree.finish(to);
    this.#report.treeSize = to.size;
    this.#report.checkpoints++;
  }

  /** Rows whose index the tree does not have: beside a running server they are sealed within moments, and the tree is checked on to there. */
  async #checkBeyond(rows: RowSource, tree: TreeCheck, deadline: number): Promise<void> {
    const beyond = await rowsBeyond(rows, tree.size);
    const isSealed = (): boolean => beyond.every(({ leafIndex }) => leafIndex < tree.size);
    while (!isSealed() && Date.now() < deadline) {
      await setTimeout(POLL_MS);
      const newer = await this.#readCheckpoint();
      if (newer === null) break;
      if (newer.size < tree.size) {
        this.#rolledBack(`a checkpoint of ${tree.size} leaves was published`, newer.size);
        break;
      }
      if (newer.size > tree.size) await this.#advance(tree, newer);
    }
    if (isSealed()) return;
    const known = new Set<string>();
    for await (const row of (this.#options.kept ?? nothingKept)(tree.size, Infinity))
      known.add(identify(row.leafIndex, row.kind, row.rowHash));
    const detail = `the row has an index beyond the ${tree.size} leaves of the newest checkpoint: it was never sealed`;
    for (const { leafIndex, table, identity } of beyond)
      if (leafIndex >= tree.size && !known.has(identity))
        this.#report.add("row_added", detail, leafIndex, table);
  }

  /** Each checkpoint in the store must be signed, and signed over this tree: a larger one shows that the log was taken back, another root that it forked. */
  #checkStored(stored: StoredCheckpoints, newest: Checkpoint, tree: TreeCheck): void {
    for (const { size, note } of stored) {
      const invalid = (reason: string): void =>
        this.#report.add(
          "checkpoint_invalid",
          `the stored checkpoint of ${size} leaves ${reason}`,
          null,
          "checkpoints",
        );
      try {
        const checkpoint = openCheckpoint(note, this.#options.origin, this.#options.keys);
        this.#report.checkpoints++;
        const root = tree.rootAt(size);
        if (checkpoint.size !== size) invalid(`is one of ${checkpoint.size} leaves`);
        else if (size > newest.size)
          this.#rolledBack(`the store holds a checkpoint of ${size} leaves`, newest.size);
        else if (root !== undefined && !equalBytes(root, checkpoint.root))
          invalid("was signed over another tree");
      } catch (error) {
        if (!(error instanceof MeshproofError)) throw error;
        invalid(`does not hold: ${error.message}`);
      }
    }
  }

  #rolledBack(evidence: string, size: number): void {
    const detail = `${evidence}, the log's newest has ${size}`;
    this.#report.add("checkpoint_rolled_back", detail, null, "checkpoints");
  }
}

interface BeyondRow {
  readonly leafIndex: number;
  readonly table: string;
  readonly identity: string;
}

/** Rows from `size` on, as they are now; of too many in a table those with the highest indexes, which are the least likely to be sealed soon. */
async function rowsBeyond(rows: RowSource, size: number): Promise<BeyondRow[]> {
  const beyond: BeyondRow[] = [];
  for (const { table, kind } of rows.tables) {
    let newest: BeyondRow[] = [];
    for await (const { indexes, rowHashes } of rows.leaves(table, size, Infinity)) {
      const batch = Array.from(indexes, Number).map((leafIndex, i) => {
        const rowHash = rowHashes.subarray(i * HASH_LENGTH, (i + 1) * HASH_LENGTH);
        return { leafIndex, table, identity: identify(leafIndex, kind, rowHash) };
      });
      newest = [...newest, ...batch].slice(-MAX_BEYOND);
    }
    beyond.push(...newest);
  }
  return beyond;
}

/** What a row has to share with a kept one to be the same. */
function identify(leafIndex: number, kind: number, rowHash: Uint8Array): string {
  return `${leafIndex} ${kind} ${toHex(rowHash)}`;
}

async function* nothingKept(): AsyncGenerator<never> {}
