import type { Test } from "tap";
import type { OtherPlaces, KeptRow } from "../../src/verify/missing-rows.ts";
import type { Fault, Report } from "../../src/verify/report.ts";
import { verify, type VerifyOptions } from "../../src/verify/verify.ts";
import { MemoryLog, ORIGIN } from "./memory-log.ts";

export function check(log: MemoryLog, options: Partial<VerifyOptions> = {}): Promise<Report> {
  return verify({ log, rows: log.rows, origin: ORIGIN, keys: [log.key], ...options });
}

export type ExpectedFault = Partial<Omit<Fault, "detail">> & { readonly detail?: string | RegExp };

/** `log` has these faults and no other; of each what is named here is compared. */
export async function expectFaults(
  t: Test,
  log: MemoryLog,
  expected: readonly ExpectedFault[],
  options: Partial<VerifyOptions> = {},
): Promise<Report> {
  const report = await check(log, options);
  t.match(report.faults, expected);
  t.equal(report.faults.length, expected.length);
  t.equal(report.faultCount, expected.length);
  t.equal(report.integrity, expected.length === 0 ? "ok" : "broken");
  return report;
}

/** The files of the log of `size` records with another row at `index`, sealed as it ought to be. */
export async function forge(index: number, size: number): Promise<ReadonlyMap<string, Buffer>> {
  const log = new MemoryLog();
  await log.grow(size, { forged: index });
  return log.files;
}

/** Places where rows may be beside the tables. */
export function places({
  quarantine = [],
  journal = [],
  storedThrough = () => 0,
}: {
  quarantine?: readonly KeptRow[];
  journal?: readonly KeptRow[] | ((from: number, to: number) => readonly KeptRow[]);
  storedThrough?: () => number;
}): OtherPlaces {
  return {
    async *quarantine() {
      yield* quarantine;
    },
    async *journal(from, to) {
      yield* typeof journal === "function" ? journal(from, to) : journal;
    },
    storedThrough,
  };
}
