import { setTimeout } from "node:timers/promises";
import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { RowSource } from "../core/verification.ts";
import { type Checkpoint, openCheckpoint } from "../tlog/checkpoint.ts";
import type { VerifierKey } from "../tlog/note.ts";
import type { LogReader } from "./log-reader.ts";
import { type Report, ReportBuilder } from "./report.ts";
import { checkRows, type MissingRow, type QuarantinedRows, recheckMissing } from "./row-check.ts";
import { type LeafWindow, TreeCheck } from "./tree-check.ts";

export interface VerifyOptions {
  readonly log: LogReader;
  /** null: the log alone is verified, not the rows. */
  readonly rows: RowSource | null;
  /** The log's origin and the keys that may have signed its checkpoints. */
  readonly origin: string;
  readonly keys: readonly VerifierKey[];
  readonly quarantined?: QuarantinedRows;
  /**
   * How long rows may take to arrive, in milliseconds: beside a running server the newest rows are sealed but not yet stored, or stored but not yet sealed.
   * 0 when no server runs.
   */
  readonly settleMs?: number;
  /** Leaves that are checked in one go. */
  readonly windowLeaves?: number;
  /** Called after each window. */
  readonly onProgress?: (progress: { readonly checked: number; readonly size: number }) => void;
}

const DEFAULT_WINDOW_LEAVES = 1_048_576;
const POLL_MS = 250;
/** Signed checkpoints in the store that are compared with the tree. */
const STORED_CHECKPOINTS = 100;
/** Rows beyond the tree that are named. */
const MAX_BEYOND = 10_000;

/**
 * Verifies a log and its rows: the signature of the newest checkpoint, every entry against every tile up to the signed root,
 * every row against its entry, and the checkpoints that the store holds against the tree. It trusts the key alone.
 * Cost: memory for one window of leaves (33 bytes each) whatever the size of the log.
 */
export async function verify(options: VerifyOptions): Promise<Report> {
  const { log, rows, origin, keys, onProgress, quarantined = new Map() } = options;
  const { settleMs = 0, windowLeaves = DEFAULT_WINDOW_LEAVES } = options;
  const report = new ReportBuilder();
  let checkpoint = await readCheckpoint(log, origin, keys, report);
  if (checkpoint === null) return report.build();
  const deadline = Date.now() + settleMs;
  const tree = new TreeCheck(log, report);
  let missing: MissingRow[] = [];
  let recent: LeafWindow[] = [];

  const advance = async (to: Checkpoint): Promise<void> => {
    while (tree.size < to.size) {
      const end = Math.min(to.size, tree.size + windowLeaves);
      const window = await tree.advance(end, to);
      if (rows !== null) missing.push(...(await checkRows(window, rows, quarantined, report)));
      recent = [...recent.slice(-1), window];
      onProgress?.({ checked: end, size: to.size });
    }
    await tree.finish(to);
    report.treeSize = to.size;
    report.checkpoints++;
  };

  await advance(checkpoint);
  if (rows !== null) {
    let beyond = await rowsBeyond(rows, checkpoint.size);
    while (beyond.some((row) => row.leafIndex >= report.treeSize) && Date.now() < deadline) {
      await setTimeout(POLL_MS);
      const newer = await readCheckpoint(log, origin, keys, report);
      if (newer === null || newer.size <= checkpoint.size) continue;
      checkpoint = newer;
      await advance(newer);
    }
    beyond = beyond.filter((row) => row.leafIndex >= report.treeSize);
    for (const { leafIndex, table } of beyond) {
      report.add("row_added", `the row has an index beyond the ${report.treeSize} leaves of the newest checkpoint: it was never sealed`, leafIndex, table);
    }
    missing = await settle(missing, recent, rows, report, deadline);
    for (const { leafIndex, table } of missing) report.add("row_missing", "the log holds the record's entry, no table holds its row", leafIndex, table);
    const stored = await rows.checkpoints(STORED_CHECKPOINTS);
    // Beside a running server the log may have grown since: what counts is its newest checkpoint after the store was read.
    const published = await readCheckpoint(log, origin, keys, report);
    checkStoredCheckpoints(stored, published?.size ?? checkpoint.size, report);
    await checkStoredRoots(stored, tree, checkpoint, origin, keys, report);
    report.findings = await rows.findings();
  }
  return report.build();
}

/** Waits for rows of the newest windows that are still on their way; what is missing before them is missing. */
async function settle(missing: MissingRow[], recent: readonly LeafWindow[], rows: RowSource, report: ReportBuilder, deadline: number): Promise<MissingRow[]> {
  const from = recent[0]?.from ?? 0;
  const old = missing.filter((row) => row.leafIndex < from);
  let young = missing.filter((row) => row.leafIndex >= from);
  while (young.length > 0 && Date.now() < deadline) {
    await setTimeout(POLL_MS);
    young = await recheckMissing(young, recent, rows, report);
  }
  return [...old, ...young];
}

async function readCheckpoint(log: LogReader, origin: string, keys: readonly VerifierKey[], report: ReportBuilder): Promise<Checkpoint | null> {
  const note = await log.checkpoint();
  if (note === null) {
    report.add("checkpoint_invalid", "the log has no checkpoint");
    return null;
  }
  try {
    return openCheckpoint(note, origin, keys);
  } catch (error) {
    if (!(error instanceof MeshproofError)) throw error;
    report.add("checkpoint_invalid", error.message);
    return null;
  }
}

/** Rows whose index the tree does not have, as they are now. */
async function rowsBeyond(rows: RowSource, size: number): Promise<MissingRow[]> {
  const beyond: MissingRow[] = [];
  for (const { table } of rows.tables) {
    for await (const batch of rows.leaves(table, size, Number.POSITIVE_INFINITY)) {
      for (const index of batch.indexes) {
        if (beyond.length < MAX_BEYOND) beyond.push({ leafIndex: Number(index), table });
      }
    }
  }
  return beyond;
}

interface StoredCheckpoint {
  readonly size: number;
  readonly note: string;
}

/** A larger checkpoint in the store than the log has shows that the log was taken back. */
function checkStoredCheckpoints(stored: readonly StoredCheckpoint[], publishedSize: number, report: ReportBuilder): void {
  for (const { size } of stored) {
    if (size > publishedSize) {
      report.add("checkpoint_rolled_back", `the store holds a checkpoint of ${size} leaves, the log's newest has ${publishedSize}`, null, "checkpoints");
    }
  }
}

/** Each checkpoint in the store must be signed, and signed over this tree: another root shows that the log forked. */
async function checkStoredRoots(
  stored: readonly StoredCheckpoint[],
  tree: TreeCheck,
  newest: Checkpoint,
  origin: string,
  keys: readonly VerifierKey[],
  report: ReportBuilder,
): Promise<void> {
  for (const { size, note } of stored) {
    if (size > newest.size) continue;
    try {
      const checkpoint = openCheckpoint(note, origin, keys);
      report.checkpoints++;
      const root = checkpoint.size === newest.size ? newest.root : await tree.rootAt(checkpoint.size);
      if (checkpoint.size === size && equalBytes(root, checkpoint.root)) continue;
      report.add("checkpoint_invalid", `the stored checkpoint of ${size} leaves was signed over another tree`, null, "checkpoints");
    } catch (error) {
      if (!(error instanceof MeshproofError)) throw error;
      report.add("checkpoint_invalid", `stored checkpoint of ${size} leaves: ${error.message}`, null, "checkpoints");
    }
  }
}
