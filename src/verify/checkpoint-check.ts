import { equalBytes, toHex } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { StoredCheckpoint } from "../core/verification.ts";
import { type Checkpoint, type LogVerifierKey, openCheckpoint } from "../tlog/checkpoint.ts";
import type { VerifierKey } from "../tlog/note.ts";
import type { ReportBuilder } from "./report.ts";
import type { LogReader } from "./log-reader.ts";
import { reportUnsigned, SignedTiles } from "./signed-tiles.ts";
import type { TreeCheck, TreeVerdict } from "./tree-check.ts";

/** A checkpoint that was seen before, by a person or by an earlier verification. */
export interface SeenCheckpoint {
  /** As it stands in a sentence: "the expected checkpoint". */
  readonly name: string;
  readonly note: string;
}

/** A checkpoint with a good signature, beside the log's newest one. */
interface Anchor extends Checkpoint {
  readonly name: string;
  /** "checkpoints" for one that the store keeps. */
  readonly table: string | null;
}

/** Whose signature counts. */
export interface Trust {
  readonly origin: string;
  readonly keys: readonly VerifierKey[];
  /** Keys that `keys` replaced: they may have signed checkpoints that were kept, but not the newest one. */
  readonly formerKeys?: readonly LogVerifierKey[];
}

/** Compares checkpoints with the tree: all have to be signed, and over beginnings of it. */
export class CheckpointCheck {
  readonly #trust: Trust;
  readonly #report: ReportBuilder;
  readonly #anchors: Anchor[] = [];

  constructor(trust: Trust, report: ReportBuilder) {
    this.#trust = trust;
    this.#report = report;
  }

  /** The checkpoint in `note`, if it is a good one. What is wrong with it is reported; `name` and `table` say where it was found. */
  open(
    note: string | null,
    name: string,
    table: string | null = null,
    keys: readonly LogVerifierKey[] = this.#trust.keys,
  ): Checkpoint | null {
    try {
      if (note !== null) return openCheckpoint(note, this.#trust.origin, keys);
      this.#report.add("checkpoint_invalid", `${name} is missing: the log has no checkpoint`);
    } catch (error) {
      if (!(error instanceof MeshproofError)) throw error;
      this.#report.add(
        "checkpoint_invalid",
        `${name} does not hold: ${error.message}`,
        null,
        table,
      );
    }
    return null;
  }

  /** Takes checkpoints that the store keeps. */
  addStored(stored: readonly StoredCheckpoint[]): void {
    for (const { size, note } of stored) {
      const name = `the stored checkpoint of ${size} leaves`;
      const checkpoint = this.open(note, name, "checkpoints", this.#keptKeys);
      if (checkpoint === null) continue;
      if (checkpoint.size === size)
        this.#anchors.push({ ...checkpoint, name, table: "checkpoints" });
      else
        this.#report.add(
          "checkpoint_invalid",
          `${name} is one of ${checkpoint.size} leaves`,
          null,
          "checkpoints",
        );
    }
  }

  /** Takes a checkpoint that was seen before. Returns it, if it is a good one. */
  addSeen({ name, note }: SeenCheckpoint): Checkpoint | null {
    const checkpoint = this.open(note, name, null, this.#keptKeys);
    if (checkpoint !== null)
      this.#anchors.push({
        ...checkpoint,
        name: `${name}, of ${checkpoint.size} leaves,`,
        table: null,
      });
    return checkpoint;
  }

  /** Keys that count for a checkpoint that was kept, by the store or by somebody. */
  get #keptKeys(): readonly LogVerifierKey[] {
    return [...this.#trust.keys, ...(this.#trust.formerKeys ?? [])];
  }

  /** Sizes whose roots are needed. */
  get sizes(): number[] {
    return this.#anchors.map(({ size }) => size);
  }

  /** Compares all checkpoints with the log as it was read. `verdict` is that of `tree` under `newest`, the newest one. */
  async finish(
    log: LogReader,
    tree: TreeCheck,
    newest: Checkpoint,
    verdict: TreeVerdict,
  ): Promise<void> {
    const signed = new SignedTiles(log, newest);
    /** Anchors that contradict the tree one after the other, with none between them that holds. */
    let run: Anchor[] = [];
    let held = 0;
    for (const anchor of this.#anchors.toSorted((a, b) => a.size - b.size)) {
      this.#report.checkpoints++;
      if (anchor.size > newest.size) {
        rolledBack(this.#report, `${anchor.name} was signed`, newest.size, anchor.table);
        continue;
      }
      const root = tree.rootAt(anchor.size);
      const isKnown = root !== undefined && verdict !== "changed" && verdict !== "unknown";
      const holds = isKnown
        ? equalBytes(root, anchor.root)
        : await signed.continues(anchor.size, anchor.root);
      if (holds) {
        this.#reportForks(run);
        run = [];
        held = anchor.size;
      } else if (isKnown || (verdict === "signed" && (await this.#tilesHold(signed, anchor.size))))
        run.push(anchor);
      // Else tiles that were changed, and are reported, are in the way.
    }
    if (verdict === "other") this.#reportOther(newest, tree, held, run);
    else this.#reportForks(run);
  }

  /** Do the tiles hold by which a tree of `size` leaves is compared with the newest one? Those that do not are reported. */
  async #tilesHold(signed: SignedTiles, size: number): Promise<boolean> {
    const changed = await signed.changed(signed.edgeTiles(size));
    reportUnsigned(this.#report, changed);
    return changed.length === 0;
  }

  /** The newest checkpoint signs another tree, and `run`, those before it that do too. */
  #reportOther(newest: Checkpoint, tree: TreeCheck, held: number, run: readonly Anchor[]): void {
    const root = tree.rootAt(tree.size);
    const signs = `the checkpoint of ${newest.size} leaves signs the root ${toHex(newest.root)}`;
    const gives =
      tree.size === newest.size && root !== undefined
        ? `the entries give ${toHex(root)}`
        : `entries and tiles up to leaf ${tree.size} do not lead to it`;
    const first = run[0]?.size ?? newest.size;
    const where =
      held > 0 || run.length > 0
        ? `. By the checkpoints that were kept, the change lies in records ${held} to ${first - 1}; the first ${held} are as they were signed`
        : "";
    this.#report.add("checkpoint_invalid", `${signs}, ${gives}${where}`);
    for (const { table, name } of run)
      if (table === null)
        this.#report.add("checkpoint_invalid", `${name} was signed over another tree`);
  }

  /** The newest checkpoint is over the tree, these are not: two histories were signed. */
  #reportForks(run: readonly Anchor[]): void {
    const stored = run.filter(({ table }) => table !== null);
    for (const anchor of run) {
      if (anchor.table !== null && anchor !== stored[0]) continue;
      const more =
        anchor.table !== null && stored.length > 1
          ? `, as were the ${stored.length - 1} after it up to that of ${stored.at(-1)!.size} leaves`
          : "";
      this.#report.add(
        "checkpoint_invalid",
        `${anchor.name} was signed over another tree${more}: the log has forked`,
        null,
        anchor.table,
      );
    }
  }
}

/** Reports a log that once had more leaves. */
export function rolledBack(
  report: ReportBuilder,
  evidence: string,
  size: number,
  table: string | null,
): void {
  report.add("checkpoint_rolled_back", `${evidence}, the log's newest has ${size}`, null, table);
}
