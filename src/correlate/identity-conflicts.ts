import { KINDS } from "../core/kinds.ts";
import { ROW_PREFIX_LENGTH, type PlacedBatch } from "../core/rows.ts";
import { behindLength, ColumnFinder, lengthAt } from "../records/column-finder.ts";
import { TABLES } from "../records/columns.ts";
import { REMARKS } from "../records/remarks.ts";
import { MAX_EVIDENCE, type FindingLedger } from "./ledger.ts";

/** What names the workload whose proxy logged a record, in the order of the row, and the map with our remark. */
const COLUMNS = ["Sender", "ServiceName", "LocalWorkload", "ProxyId", "LogAttributes"] as const;
const SUBJECTS = [
  COLUMNS.indexOf("LocalWorkload"),
  COLUMNS.indexOf("ServiceName"),
  COLUMNS.indexOf("ProxyId"),
  COLUMNS.indexOf("Sender"),
] as const;
const MAP = COLUMNS.indexOf("LogAttributes");
const MARK = Buffer.from(REMARKS.identityConflict);
/** A longer name is cut: senders choose it. */
const MAX_NAME_BYTES = 256;

/** Access records of one subject whose sources contradict each other. */
interface Conflict {
  count: number;
  /** Which sources, of the first. */
  readonly reason: string;
  /** Places of the first of them among the rows of their batch. */
  readonly rows: number[];
}

/**
 * The access records of a batch that say of themselves, in LogAttributes, that their sources contradict each other; by subject.
 * The rows alone tell it, so that a start finds in the journal what was found before.
 */
export class IdentityConflicts {
  readonly #finder = new ColumnFinder(TABLES.access, COLUMNS);
  #found = new Map<string, Conflict>();

  /** Looks at a row of access_records, the one at `place` of its batch. Some 0.5 µs. */
  look(row: Uint8Array, place: number): void {
    const bytes = Buffer.from(row.buffer, row.byteOffset, row.length);
    const { positions } = this.#finder;
    this.#finder.find(bytes, 0);
    const reason = remarkIn(bytes, positions[MAP]!);
    if (reason === undefined) return;
    let subject = "";
    for (let i = 0; subject === "" && i < SUBJECTS.length; i++)
      subject = textAt(bytes, positions[SUBJECTS[i]!]!);
    let conflict = this.#found.get(subject);
    if (conflict === undefined) {
      conflict = { count: 0, reason, rows: [] };
      this.#found.set(subject, conflict);
    }
    conflict.count++;
    if (conflict.rows.length < MAX_EVIDENCE) conflict.rows.push(place);
  }

  /** What was found since the last call. */
  take(): ReadonlyMap<string, Conflict> {
    const found = this.#found;
    if (found.size > 0) this.#found = new Map();
    return found;
  }
}

export type FoundConflicts = ReturnType<IdentityConflicts["take"]>;

/** The conflicts in a batch of the journal. Cost: a search for the remark in its bytes; the rows are looked at where it is found. */
export function findIdentityConflicts({ sections }: PlacedBatch): FoundConflicts {
  const conflicts = new IdentityConflicts();
  let first = 0;
  for (const { kind, bytes, offsets, count } of sections) {
    if (
      kind === KINDS.access &&
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(MARK)
    )
      for (let i = 0; i < count; i++)
        conflicts.look(bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]), first + i);
    first += count;
  }
  return conflicts.take();
}

/** Notes what was found in a batch that is in the journal. */
export function noteIdentityConflicts(
  ledger: FindingLedger,
  conflicts: FoundConflicts,
  {
    firstIndex,
    receivedAtNs: atNs,
  }: { readonly firstIndex: number; readonly receivedAtNs: bigint },
): void {
  for (const [subject, { count, reason, rows }] of conflicts) {
    const evidence = rows.map((place) => firstIndex + place);
    const journalIndex = firstIndex;
    ledger.note({
      kind: "identity_conflict",
      subject,
      atNs,
      count,
      reason,
      evidence,
      journalIndex,
    });
  }
}

/** What the remark says among the pairs of the map at `start`, or undefined. */
function remarkIn(row: Buffer, start: number): string | undefined {
  let p = behindLength(row, start);
  for (let pairs = lengthAt(row, start); pairs > 0; pairs--) {
    const key = behindLength(row, p);
    const keyEnd = key + lengthAt(row, p);
    if (row.compare(MARK, 0, MARK.length, key, keyEnd) === 0) return textAt(row, keyEnd);
    p = behindLength(row, keyEnd) + lengthAt(row, keyEnd);
  }
  return undefined;
}

function textAt(row: Buffer, start: number): string {
  const from = behindLength(row, start);
  return row.toString("utf8", from, from + Math.min(lengthAt(row, start), MAX_NAME_BYTES));
}
