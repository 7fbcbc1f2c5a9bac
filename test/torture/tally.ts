/** What was acknowledged, and what the store has of it. */
export interface Tally {
  readonly acknowledged: number;
  readonly found: number;
  /** Acknowledged and not in the store. */
  readonly lost: number;
  /** Rows of records that are there already. */
  readonly doubled: number;
}

export const NO_TALLY: Tally = { acknowledged: 0, found: 0, lost: 0, doubled: 0 };

/** Holds the numbers of acknowledged records against those of stored rows. What was never acknowledged may be there, but once. */
export function tallyOf(acknowledged: Iterable<number>, stored: Iterable<number>): Tally {
  const rows = new Map<number, number>();
  let doubled = 0;
  for (const number of stored) {
    const count = rows.get(number) ?? 0;
    if (count > 0) doubled++;
    rows.set(number, count + 1);
  }
  let [total, found] = [0, 0];
  for (const number of acknowledged) {
    total++;
    if (rows.has(number)) found++;
  }
  return { acknowledged: total, found, lost: total - found, doubled };
}

export function addTallies(tallies: readonly Tally[]): Tally {
  return tallies.reduce(
    (sum, tally) => ({
      acknowledged: sum.acknowledged + tally.acknowledged,
      found: sum.found + tally.found,
      lost: sum.lost + tally.lost,
      doubled: sum.doubled + tally.doubled,
    }),
    NO_TALLY,
  );
}
