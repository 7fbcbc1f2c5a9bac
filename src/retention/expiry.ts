import { formatRetention, type Retention, retentionDays } from "../config/values.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { expiresAtNs, longest } from "./periods.ts";
import type { DropHistory, Drops, OpenDrop } from "./drops.ts";
import { TABLES, type Table } from "../records/columns.ts";
import type { DropRecord } from "../records/drops.ts";
import type { ControlRecord } from "../records/own-rows.ts";
import type { ClickHouseRowSource } from "../store/rows.ts";
import type { Partition, RetentionStore } from "../store/retention.ts";

export interface ExpiryOptions {
  readonly drops: Drops;
  readonly store: RetentionStore;
  readonly rows: Pick<ClickHouseRowSource, "partitionLeaves">;
  /** How long each class is kept. */
  readonly periods: Readonly<Record<string, Retention>>;
  /** After a period became shorter, nothing is dropped for so long. */
  readonly graceMs: number;
  readonly dryRun: boolean;
  readonly seal: (records: readonly ControlRecord[]) => Promise<number>;
  /** Nanoseconds since the epoch. */
  readonly now: () => bigint;
  readonly logger: Logger;
  readonly onExpired?: (table: string, rows: number) => void;
  /** A partition was kept, because its rows are not what was sealed. */
  readonly onRefused?: (table: string, reason: string) => void;
}

/** Control records are kept for ever: what the log says of itself, and of every drop, rests on them. */
const EXPIRING: readonly Table[] = Object.values(TABLES).filter(
  ({ name }) => name !== TABLES.control.name,
);
const NS_PER_MS = 1_000_000n;

/**
 * One look at what is over: partitions whose newest possible row is older than the period of its class, counted from its arrival. Links and findings
 * are about records of any class, and are kept as long as the longest.
 * Cost: nothing while no partition is due; then each of its rows is hashed once.
 */
export async function expire(options: ExpiryOptions): Promise<void> {
  const { drops, store, logger, now } = options;
  if (!(await drops.settled())) {
    logger.warn({}, "nothing expires now: the store does not have all records yet");
    return;
  }
  const history = await drops.history();
  const waitsUntilNs = await sealPeriods(options, history);
  for (const table of EXPIRING) {
    const partitions = await store.partitions(table.name);
    const due = partitions.filter((partition) => isDue(options, table, partition));
    for (const partition of due) {
      const open = history.open.filter((drop) => names(drop, table, partition.id));
      const isHeld = options.dryRun || now() < waitsUntilNs;
      await (
        isHeld
          ? announce(options, table, partition, waitsUntilNs)
          : expirePartition(options, table, partition, open)
      ).catch((error: unknown) => refused(options, table, partition, error));
    }
    // Dropped before a crash, with no record of it.
    const left = history.open.filter(
      ({ named, record }) =>
        named.kind === "expired" &&
        named.table === table.name &&
        !partitions.some(({ id }) => id === record.detail["partition_id"]),
    );
    for (const [id, gone] of Map.groupBy(left, ({ record }) => record.detail["partition_id"]))
      await finish(
        options,
        table,
        id ?? "",
        gone.map(({ leafIndex }) => leafIndex),
      );
  }
}

function names({ named, record }: OpenDrop, table: Table, partitionId: string): boolean {
  return (
    named.kind === "expired" &&
    named.table === table.name &&
    record.detail["partition_id"] === partitionId
  );
}

function isDue(
  { periods, now, logger }: ExpiryOptions,
  table: Table,
  partition: Partition,
): boolean {
  const period = partition.class === null ? longest(periods) : periods[partition.class];
  if (period !== undefined) return expiresAtNs(partition.period, period) <= now();
  logger.warn(
    { table: table.name, class: partition.class },
    "no period is configured for this retention class: its records are kept",
  );
  return false;
}

/** Seals the periods where they are others than those that were sealed last. Returns until when nothing may be dropped. */
async function sealPeriods(options: ExpiryOptions, history: DropHistory): Promise<bigint> {
  const { periods, seal, now, graceMs, logger } = options;
  const graceNs = BigInt(Math.round(graceMs)) * NS_PER_MS;
  const current = Object.fromEntries(
    Object.entries(periods).map(([name, period]) => [`period.${name}`, formatRetention(period)]),
  );
  const before = history.periods === null ? {} : periodsOf(history.periods);
  const keys = new Set([...Object.keys(current), ...Object.keys(before)]);
  const isSame = [...keys].every((key) => current[key] === before[key]);
  const newest = history.shortened === null ? 0n : history.shortened.timestampNs + graceNs;
  if (isSame) return newest;
  const isShorter = Object.entries(periods).some(([name, period]) => {
    const days = Number(history.periods?.detail[`days.${name}`] ?? Infinity);
    return retentionDays(period) < days;
  });
  const days = Object.fromEntries(
    Object.entries(periods).map(([name, period]) => [
      `days.${name}`,
      String(retentionDays(period)),
    ]),
  );
  const was = Object.fromEntries(
    Object.entries(before).map(([key, text]) => [`before.${key.slice("period.".length)}`, text]),
  );
  const timestampNs = now();
  const detail = { ...current, ...days, ...was, shortened: String(isShorter) };
  await seal([{ timestampNs, controlKind: "retention_changed", detail }]);
  logger.info({ periods: current, shortened: isShorter }, "the retention periods changed");
  return isShorter ? timestampNs + graceNs : newest;
}

function periodsOf({ detail }: DropRecord): Record<string, string> {
  return Object.fromEntries(Object.entries(detail).filter(([key]) => key.startsWith("period.")));
}

async function announce(
  { store, dryRun, logger }: ExpiryOptions,
  table: Table,
  partition: Partition,
  waitsUntilNs: bigint,
): Promise<void> {
  const { count } = await store.rows(table.name, partition.id);
  const until = new Date(Number(waitsUntilNs / NS_PER_MS)).toISOString();
  logger.warn(
    { table: table.name, class: partition.class, period: partition.period, rows: count },
    dryRun
      ? "these rows are over; expiry.dry_run keeps them"
      : `these rows are over and will be dropped from ${until} on`,
  );
}

async function expirePartition(
  options: ExpiryOptions,
  table: Table,
  partition: Partition,
  open: readonly OpenDrop[],
): Promise<void> {
  const { drops, store, rows, logger, now, onExpired, periods } = options;
  const found = await store.rows(table.name, partition.id);
  const sealed = open.map(({ leafIndex }) => leafIndex);
  if (found.count === 0) {
    if (sealed.length > 0) await finish(options, table, partition.id, sealed);
    return;
  }
  const plan = (from: number, to: number, isWhole: boolean) =>
    drops.plan({
      table,
      from,
      to,
      isWhole,
      rows: (first, end) => rows.partitionLeaves(table.name, partition.id, first, end),
    });
  let named = 0;
  let from = found.first;
  for (const { leafIndex, named: part } of open) {
    const first = part.runs[0]!.first;
    from = part.runs.at(-1)!.last + 1;
    const { value: there } = await plan(first, from, true).next();
    if (there?.count !== part.count || !there.hash.equals(part.hash))
      throw tampered(table, partition, `record ${leafIndex} names other rows than there are`);
    named += part.count;
  }
  const detail = {
    table: table.name,
    partition: partition.period,
    partition_id: partition.id,
    class: partition.class ?? "",
    period: formatRetention(
      partition.class === null ? longest(periods)! : periods[partition.class]!,
    ),
  };
  const more = await drops.seal("expired", detail, plan(from, found.last + 1, false), now());
  sealed.push(...more.records);
  named += more.count;
  if (!(await drops.mayGo(sealed.at(-1)!, found.last)))
    throw new MeshproofError(
      "UNAVAILABLE",
      `partition ${partition.period} of ${table.name} is over and kept for now: its sealed record is not published and stored yet, or the journal still holds its rows`,
    );
  const { count } = await store.rows(table.name, partition.id);
  if (count !== named)
    throw tampered(table, partition, `${named} rows were sealed as expired, ${count} are there`);
  logger.info(
    { table: table.name, class: partition.class, period: partition.period, rows: count },
    "dropping an expired partition",
  );
  await store.dropPartition(table.name, partition);
  await finish(options, table, partition.id, sealed);
  onExpired?.(table.name, count);
}

async function finish(
  { drops, now }: ExpiryOptions,
  table: Table,
  partitionId: string,
  records: readonly number[],
): Promise<void> {
  const detail = { table: table.name, partition_id: partitionId };
  await drops.finish("expired", detail, records, now());
}

function tampered({ name }: Table, { period }: Partition, what: string): MeshproofError {
  return new MeshproofError("ROW_TAMPERED", `partition ${period} of ${name}: ${what}`);
}

/** One partition that cannot go does not keep the others. */
function refused(
  { logger, onRefused }: ExpiryOptions,
  table: Table,
  { period }: Partition,
  error: unknown,
): void {
  const isTampered = error instanceof MeshproofError && error.code === "ROW_TAMPERED";
  if (!isTampered) throw error;
  logger.error(
    { table: table.name, partition: period, err: error },
    "an expired partition is kept: its rows are not what was sealed. Run meshproof verify",
  );
  onRefused?.(table.name, error.message);
}
