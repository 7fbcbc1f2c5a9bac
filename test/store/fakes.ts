import { MeshproofError } from "../../src/core/errors.ts";
import { KINDS } from "../../src/core/kinds.ts";
import type { Logger } from "../../src/core/logger.ts";
import { LEAF_INDEX_OFFSET, type PlacedBatch } from "../../src/core/rows.ts";
import type { Table } from "../../src/records/columns.ts";
import type { RefusedRow, RowStore } from "../../src/store/table-insert.ts";
import { batch, encodeRow, LOG_ID } from "./encode.ts";

/** A row that FakeStore refuses holds this. */
export const POISON = "poison";

/** What an INSERT does instead of storing its rows and saying so. */
export type Fault =
  /** Fails before anything is stored. */
  | "fail"
  /** Stores all and fails: a timeout, a reset connection. */
  | "stored"
  /** Stores every other row and fails: one of two partitions. */
  | "half"
  /** Fails at once and stores when it is waited for, else just after the store was asked: an INSERT that outlives its connection. */
  | "late"
  /** Says that it stored and did not: a used deduplication token. The token alone decides, as in ClickHouse. */
  | "lost"
  /** The body was cut on the way, so ClickHouse could not read it. */
  | "cut";

/** ClickHouse as far as the writer sees it, in memory, with faults on demand. */
export class FakeStore implements RowStore {
  /** Leaf indexes by table, as often as they were stored. */
  readonly stored = new Map<string, number[]>();
  readonly inserts: {
    readonly table: string;
    readonly indexes: readonly number[];
    readonly token: string;
  }[] = [];
  /** Faults of the coming INSERTs, in order, then none. */
  faults: (Fault | undefined)[] = [];
  down = false;
  altered = false;
  questions = 0;
  /** Reads of leaf indexes that fail with the name of a data error: a broken part on the store's disk. */
  brokenReads = 0;
  #tokens = new Set<string>();
  #late: (() => void)[] = [];

  async insert(
    table: Table,
    chunks: readonly Uint8Array[],
    { token, signal }: { token: string; signal: AbortSignal },
  ): Promise<void> {
    await new Promise(setImmediate);
    signal.throwIfAborted();
    if (this.down) throw new MeshproofError("STORE_FAILED", "inserting: connect ECONNREFUSED");
    const bytes = Buffer.concat(chunks);
    const indexes = indexesOf(bytes);
    this.inserts.push({ table: table.name, indexes, token });
    const fault = this.faults.shift();
    if (fault === "cut" || bytes.includes(POISON)) throw refusal();
    if (fault === "fail")
      throw new MeshproofError(
        "STORE_FAILED",
        "inserting: ClickHouse answered TOO_MANY_PARTS (252)",
        { cause: { code: "252", type: "TOO_MANY_PARTS" } },
      );
    const store = (rows: readonly number[]): void => {
      if (this.#tokens.has(token)) return;
      this.#tokens.add(token);
      this.stored.set(table.name, [...(this.stored.get(table.name) ?? []), ...rows]);
    };
    if (fault === "late") this.#late.push(() => store(indexes));
    else if (fault === "lost") this.#tokens.add(token);
    else store(fault === "half" ? indexes.filter((_, i) => i % 2 === 0) : indexes);
    if (fault !== undefined) throw new MeshproofError("STORE_FAILED", "inserting: Timeout error.");
  }

  async presentIndexes(table: Table, from: number, to: number): Promise<BigUint64Array> {
    await new Promise(setImmediate);
    if (this.down) throw new MeshproofError("STORE_FAILED", "reading: connect ECONNREFUSED");
    if (this.brokenReads-- > 0) throw refusal();
    this.questions++;
    const present = new Set(
      this.stored.get(table.name)?.filter((index) => index >= from && index <= to),
    );
    this.#storeLate();
    return BigUint64Array.from(
      [...present].toSorted((a, b) => a - b),
      BigInt,
    );
  }

  async settled(): Promise<void> {
    await new Promise(setImmediate);
    this.#storeLate();
  }

  #storeLate(): void {
    for (const store of this.#late.splice(0)) store();
  }

  async tableMatches(): Promise<boolean> {
    return !this.altered;
  }

  /** All stored leaf indexes in ascending order, doubled ones twice. */
  get indexes(): number[] {
    return [...this.stored.values()].flat().toSorted((a, b) => a - b);
  }
}

function refusal(): MeshproofError {
  return new MeshproofError("STORE_FAILED", "ClickHouse answered CANNOT_READ_ALL_DATA (33)", {
    cause: { code: "33", type: "CANNOT_READ_ALL_DATA" },
  });
}

function indexesOf(bytes: Buffer): number[] {
  const indexes: number[] = [];
  for (let at = bytes.indexOf(LOG_ID); at >= 0; at = bytes.indexOf(LOG_ID, at + 1))
    indexes.push(Number(bytes.readBigUInt64LE(at - 1 + LEAF_INDEX_OFFSET)));
  return indexes;
}

/** The journal as far as the writer sees it: frames by index. */
export class FakeJournal {
  readonly frames: PlacedBatch[] = [];
  readonly reads: number[] = [];
  failures = 0;

  get nextIndex(): number {
    const last = this.frames.at(-1);
    return last === undefined ? 0 : last.firstIndex + last.count;
  }

  /** Appends a frame of links, spans or both; some rows may be poison. */
  append(links: number, controls = 0, poisoned: readonly number[] = []): PlacedBatch {
    const first = this.nextIndex;
    const text = (i: number): string =>
      poisoned.includes(first + i) ? POISON : `row ${first + i}`;
    const placed = batch(first, [
      [
        KINDS.link,
        Array.from({ length: links }, (_, i) => encodeRow(KINDS.link, { TraceId: text(i) })),
      ],
      [
        KINDS.control,
        Array.from({ length: controls }, (_, i) =>
          encodeRow(KINDS.control, { ControlKind: text(links + i) }),
        ),
      ],
    ]);
    this.frames.push(placed);
    return placed;
  }

  /** What is there when reading begins, as a journal on disk gives it. */
  read = async function* (this: FakeJournal, from: number): AsyncGenerator<PlacedBatch> {
    this.reads.push(from);
    for (const frame of this.frames.filter(({ firstIndex }) => firstIndex >= from)) {
      await new Promise(setImmediate);
      if (this.failures-- > 0) throw new Error("EIO: i/o error, read");
      yield frame;
    }
  }.bind(this);
}

/** Refused rows in memory. */
export class FakeQuarantine {
  readonly rows: RefusedRow[] = [];
  async add(row: RefusedRow): Promise<void> {
    this.rows.push(row);
  }
}

/** A logger that keeps what it was told, by level. */
export function recordingLogger(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
