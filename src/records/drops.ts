import { createHash } from "node:crypto";
import { MeshproofError } from "../core/errors.ts";
import type { Kind } from "../core/kinds.ts";
import { TABLES } from "./columns.ts";
import { decodeRow } from "./row-codec.ts";

/**
 * Control records about rows that are dropped on purpose. `expired` and `erased` name the rows before they go, `…_finished` says that they are gone,
 * `retention_changed` that the configured periods are others. docs/design/retention.md describes their details.
 */
export const DROP_RECORD_KINDS = [
  "expired",
  "expiry_finished",
  "erased",
  "erasure_finished",
  "retention_changed",
] as const;

export type DropRecordKind = (typeof DROP_RECORD_KINDS)[number];
export type DropKind = "expired" | "erased";

/** The record that says that the rows of an `expired` or `erased` one are gone. */
export const FINISHED = { expired: "expiry_finished", erased: "erasure_finished" } as const;

/** Leaf indexes `first` to `last`. */
export interface Run {
  readonly first: number;
  readonly last: number;
}

/** What a record of one of DROP_RECORD_KINDS says. */
export interface DropRecord {
  readonly kind: DropRecordKind;
  readonly timestampNs: bigint;
  readonly detail: Readonly<Record<string, string>>;
}

/** Rows that a record names: of the leaves in `runs` those of one kind. */
export interface NamedRows {
  readonly kind: DropKind;
  readonly table: string;
  readonly rowKind: Kind;
  readonly runs: readonly Run[];
  readonly count: number;
  /** See DropHash. */
  readonly hash: Buffer;
}

/** One record names so much at most. */
export const MAX_RUNS_TEXT = 48 * 1024;
const LEAF_BYTES = 8;
const HASH_BYTES = 32;
const PIECE_BYTES = LEAF_BYTES + HASH_BYTES;
const PIECES = 512;

/** Hash over rows that are dropped: SHA-256 of LeafIndex (UInt64, little endian) ‖ SHA-256(row) of each, in ascending order. */
export class DropHash {
  readonly #hash = createHash("sha256");
  readonly #pieces = Buffer.alloc(PIECES * PIECE_BYTES);
  #used = 0;
  /** Rows so far. */
  count = 0;

  /** Adds the row whose hash stands in `hashes` at `at`. */
  add(leafIndex: number, hashes: Buffer, at: number): void {
    if (this.#used === this.#pieces.length) {
      this.#hash.update(this.#pieces);
      this.#used = 0;
    }
    const to = this.#used;
    this.#pieces.writeUInt32LE(leafIndex % 0x1_0000_0000, to);
    this.#pieces.writeUInt32LE(Math.floor(leafIndex / 0x1_0000_0000), to + 4);
    hashes.copy(this.#pieces, to + LEAF_BYTES, at, at + HASH_BYTES);
    this.#used = to + PIECE_BYTES;
    this.count++;
  }

  /** The hash over all; nothing can be added afterwards. */
  digest(): Buffer {
    return this.#hash.update(this.#pieces.subarray(0, this.#used)).digest();
  }
}

/** Runs as text: `0-99 105 200-300`. */
export function formatRuns(runs: readonly Run[]): string {
  return runs.map(formatRun).join(" ");
}

export function formatRun({ first, last }: Run): string {
  return first === last ? String(first) : `${first}-${last}`;
}

/**
 * The runs of a text; spaces and commas stand between them.
 * Throws: ROW_INVALID unless they ascend without touching each other's leaves and are numbers below 2^53.
 */
export function parseRuns(text: string): Run[] {
  const runs: Run[] = [];
  let before = -1;
  for (const part of text.split(/[ ,]+/)) {
    const match = /^(0|[1-9]\d{0,15})(?:-([1-9]\d{0,15}))?$/.exec(part);
    const first = Number(match?.[1] ?? NaN);
    const last = match?.[2] === undefined ? first : Number(match[2]);
    if (!(first > before && last >= first && last <= Number.MAX_SAFE_INTEGER))
      throw new MeshproofError(
        "ROW_INVALID",
        `expected ascending leaf indexes such as 0-99 105, got ${JSON.stringify(part.slice(0, 40))} behind ${before}`,
      );
    runs.push({ first, last });
    before = last;
  }
  return runs;
}

/** A row of control_records of one of these kinds. Throws: ROW_INVALID when it is another or cannot be read. */
export function parseDropRecord(row: Uint8Array): DropRecord {
  const values = decodeRow(TABLES.control, row);
  const value = (name: string): unknown =>
    values[TABLES.control.columns.findIndex((column) => column.name === name)];
  const kind = String(value("ControlKind"));
  const found = DROP_RECORD_KINDS.find((known) => known === kind);
  if (found === undefined)
    throw new MeshproofError("ROW_INVALID", `expected a record of a drop, got one of kind ${kind}`);
  return {
    kind: found,
    timestampNs: value("Timestamp") as bigint,
    detail: Object.fromEntries(
      (value("Detail") as [Buffer, Buffer][]).map(([key, text]) => [String(key), String(text)]),
    ),
  };
}

/** The rows that an `expired` or `erased` record names. Throws: ROW_INVALID. */
export function namedRows({ kind, detail }: DropRecord): NamedRows {
  const { table: name = "", leaves = "", count = "", sha256 = "" } = detail;
  const table = Object.values(TABLES).find((one) => one.name === name);
  if (
    (kind !== "expired" && kind !== "erased") ||
    table === undefined ||
    !/^[1-9]\d{0,15}$/.test(count) ||
    !/^[0-9a-f]{64}$/.test(sha256)
  )
    throw new MeshproofError("ROW_INVALID", "expected table, leaves, count and sha256 of a drop");
  return {
    kind,
    table: table.name,
    rowKind: table.kind,
    runs: parseRuns(leaves),
    count: Number(count),
    hash: Buffer.from(sha256, "hex"),
  };
}

/** Leaf indexes of the records whose rows are gone. Throws: ROW_INVALID. */
export function finishedRecords({ detail }: DropRecord): Run[] {
  return parseRuns(detail["records"] ?? "");
}
