import { type Retention, retentionDays } from "../config/values.ts";

const NS_PER_MS = 1_000_000n;

/** When the newest possible row of a partition (yyyymm or yyyymmdd, UTC) has been kept for `retention`: nanoseconds since the epoch. */
export function expiresAtNs(partition: string, { count, unit }: Retention): bigint {
  const year = Number(partition.slice(0, 4));
  const month = Number(partition.slice(4, 6)) - 1;
  const isDay = partition.length === 8;
  const end = isDay
    ? new Date(Date.UTC(year, month, Number(partition.slice(6)) + 1))
    : new Date(Date.UTC(year, month + 1, 1));
  // A month from the 31st on ends within the month after the next: later, never sooner.
  if (unit === "months") end.setUTCMonth(end.getUTCMonth() + count);
  else end.setUTCDate(end.getUTCDate() + count);
  return BigInt(end.getTime()) * NS_PER_MS;
}

/** The longest of the periods; undefined when there is none. */
export function longest(periods: Readonly<Record<string, Retention>>): Retention | undefined {
  return Object.values(periods).toSorted((a, b) => retentionDays(b) - retentionDays(a))[0];
}
