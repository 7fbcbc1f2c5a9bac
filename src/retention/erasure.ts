import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { DropHistory, Drops, OpenDrop } from "./drops.ts";
import { TABLES, type Table } from "../records/columns.ts";
import type { Run } from "../records/drops.ts";
import type { ClickHouseRowSource } from "../store/rows.ts";
import type { RetentionStore } from "../store/retention.ts";

/** What is to be erased, and who says so. */
export interface ErasureRequest {
  /** Leaf indexes, or a principal: end user, actor or peer of access records. */
  readonly what: { readonly runs: readonly Run[] } | { readonly principal: string };
  /** Goes into the sealed record, which stays for ever. */
  readonly reason: string;
  readonly caller: Readonly<Record<string, string>>;
  /** Count alone. */
  readonly dryRun: boolean;
}

export interface ErasureResult {
  /** Rows by table. */
  readonly counts: Readonly<Record<string, number>>;
  /** The sealed records that name them; none in a dry run. */
  readonly records: readonly number[];
}

export interface ErasureOptions {
  readonly drops: Drops;
  readonly store: RetentionStore;
  readonly rows: Pick<ClickHouseRowSource, "selectedLeaves">;
  readonly now: () => bigint;
  readonly logger: Logger;
  readonly onErased?: (table: string, rows: number) => void;
}

/** Rows that one request erases at most. */
const MAX_ROWS = 1_000_000;
/** Control records say what was done to the log; without them nothing of it can be checked. */
const ERASABLE: readonly Table[] = Object.values(TABLES).filter(
  ({ name }) => name !== TABLES.control.name,
);

/**
 * Finds the rows and seals that they are erased. They go afterwards: see `eraseOpen`.
 * Throws: BAD_REQUEST for more than a million rows; ROW_TAMPERED when one is not what was sealed; UNAVAILABLE while the store does not have all records.
 */
export async function sealErasure(
  options: ErasureOptions,
  request: ErasureRequest,
): Promise<ErasureResult> {
  const { drops, rows, now } = options;
  if (!(await drops.settled()))
    throw new MeshproofError("UNAVAILABLE", "the store does not have all records yet; ask again");
  const found = await findRows(options.store, request.what);
  const counts = Object.fromEntries([...found].map(([{ name }, { length }]) => [name, length]));
  if (request.dryRun) return { counts, records: [] };
  const records: number[] = [];
  for (const [table, indexes] of found) {
    const parts = drops.plan({
      table,
      from: indexes[0]!,
      to: indexes.at(-1)! + 1,
      rows: (from, to) => rows.selectedLeaves(table.name, between(indexes, from, to)),
    });
    const { reason, caller } = request;
    const by = "principal" in request.what ? "principal" : "leaf indexes";
    const detail = { table: table.name, reason, ...caller, selected_by: by };
    records.push(...(await drops.seal("erased", detail, parts, now())).records);
  }
  return { counts, records };
}

/**
 * Deletes the rows that sealed records name as erased, and seals that they are gone. Those that the journal still holds wait for the next time.
 * Resolves with the records whose rows are gone.
 */
export async function eraseOpen(options: ErasureOptions, { open }: DropHistory): Promise<number[]> {
  const { drops, store, now, logger, onErased } = options;
  const gone: number[] = [];
  const erased = open.filter(({ named }) => named.kind === "erased");
  for (const [table, some] of Map.groupBy(erased, ({ named }) => named.table)) {
    const runs = some.flatMap(({ named }) => named.runs);
    const lastRow = Math.max(...runs.map(({ last }) => last));
    const records = some.map(({ leafIndex }) => leafIndex);
    if (!(await drops.mayGo(Math.max(...records), lastRow))) continue;
    await store.deleteRows(table, runs);
    await drops.finish("erased", { table }, records, now());
    gone.push(...records);
    const count = some.reduce((rows, { named }) => rows + named.count, 0);
    logger.info({ table, rows: count, records }, "rows were erased");
    onErased?.(table, count);
  }
  return gone;
}

/** Records of erasures whose rows may still be there. */
export function openErasures(open: readonly OpenDrop[]): number[] {
  return open.filter(({ named }) => named.kind === "erased").map(({ leafIndex }) => leafIndex);
}

async function findRows(
  store: RetentionStore,
  what: ErasureRequest["what"],
): Promise<Map<Table, number[]>> {
  const found = new Map<Table, number[]>();
  let count = 0;
  for (const table of "principal" in what ? [TABLES.access] : ERASABLE) {
    const limit = MAX_ROWS + 1 - count;
    const indexes =
      "principal" in what
        ? await store.findPrincipal(what.principal, limit)
        : await store.findRuns(table.name, what.runs, limit);
    count += indexes.length;
    if (count > MAX_ROWS)
      throw new MeshproofError(
        "BAD_REQUEST",
        `expected at most ${MAX_ROWS} records to erase at once, got more; ask for a part of them`,
      );
    if (indexes.length > 0) found.set(table, indexes);
  }
  return found;
}

/** Those of `indexes`, which ascend, in [from, to). */
function between(indexes: readonly number[], from: number, to: number): readonly number[] {
  return indexes.slice(lowerBound(indexes, from), lowerBound(indexes, to));
}

function lowerBound(indexes: readonly number[], value: number): number {
  let low = 0;
  for (let high = indexes.length; low < high;) {
    const middle = (low + high) >>> 1;
    if (indexes[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
