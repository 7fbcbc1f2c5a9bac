import type { FindingRecord } from "../../records/own-rows.ts";

/** A kind of finding: what an operator or auditor must know. Each is one file beside this one and a line in index.ts. */
export interface FindingDefinition {
  readonly severity: FindingRecord["severity"];
  /** Does it say that something is missing? Then `verify` calls the log complete no more. */
  readonly isGap: boolean;
  /** What happened to `subject`, and how often, for people. */
  readonly sentence: (count: number, subject: string) => string;
}

export function defineFinding(definition: FindingDefinition): FindingDefinition {
  return definition;
}

/** "1 record", "2 records". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export function wasWere(count: number): string {
  return count === 1 ? "was" : "were";
}
