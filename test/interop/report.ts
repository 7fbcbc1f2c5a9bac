/** What became of one lane. */
export interface LaneResult {
  readonly lane: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
  /** Why it was skipped or could not go on. */
  readonly reason?: string;
  readonly failures: readonly ClaimResult[];
  readonly skips: readonly ClaimResult[];
}

/** A claim that did not hold or was not checked, and why. */
export interface ClaimResult {
  readonly claim: string;
  readonly message: string;
}

/** The results as a table, and below it why lanes were skipped and what failed. */
export function renderReport(results: readonly LaneResult[]): string[] {
  const rows = [
    ["lane", "result", "checks passed", "failed", "skipped", "seconds"],
    ...results.map(({ lane, outcome, passed, failed, skips, seconds }) => [
      lane,
      outcome,
      ...(outcome === "skipped" ? ["-", "-", "-"] : [passed, failed, skips.length].map(String)),
      seconds.toFixed(1),
    ]),
  ];
  const widths = rows[0]!.map((_, c) => Math.max(...rows.map((row) => row[c]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, c) => (c < 2 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!)))
      .join("  ")
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => "─".repeat(width)).join("  "));
  for (const { lane, outcome, reason, failures, skips } of results) {
    if (reason !== undefined) lines.push("", `${lane} ${outcome}: ${reason}`);
    for (const { claim, message } of skips)
      lines.push("", `${lane}, not checked: ${claim}`, message);
    for (const { claim, message } of failures) lines.push("", `${lane}, ✗ ${claim}`, message);
  }
  return lines;
}
