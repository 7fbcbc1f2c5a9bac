import { performance } from "node:perf_hooks";

/** CPU microseconds (user and system, all threads) and wall time of one run. */
export interface Run {
  readonly cpuUs: number;
  readonly wallMs: number;
}

/** Runs `act` `runs` times after a warm-up, and gives the median run by CPU. */
export async function measure(
  act: () => unknown,
  { warmUps = 3, runs = 7 }: { warmUps?: number; runs?: number } = {},
): Promise<Run> {
  for (let i = 0; i < warmUps; i++) await act();
  const taken: Run[] = [];
  for (let i = 0; i < runs; i++) {
    const cpu = process.cpuUsage();
    const wall = performance.now();
    await act();
    const { user, system } = process.cpuUsage(cpu);
    taken.push({ cpuUs: user + system, wallMs: performance.now() - wall });
  }
  taken.sort((a, b) => a.cpuUs - b.cpuUs);
  return taken[Math.floor(taken.length / 2)]!;
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function percentile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Prints rows under a header, columns aligned; the first column to the left, the others to the right. */
export function printTable(
  title: string,
  header: readonly string[],
  rows: readonly (readonly string[])[],
  print: (line: string) => void = console.log,
): void {
  const all = [header, ...rows];
  const widths = header.map((_, c) => Math.max(...all.map((row) => row[c]?.length ?? 0)));
  print(`\n${title}\n`);
  for (const [i, row] of all.entries()) {
    print(
      `| ${row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join(" | ")} |`,
    );
    if (i === 0)
      print(
        `|${widths.map((width, c) => (c === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`,
      );
  }
}
