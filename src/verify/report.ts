import type { Timeline } from "../core/verification.ts";
import { formatTime } from "../records/row-json.ts";

/** What verification can find wrong. */
export const FAULTS = [
  "row_changed",
  "row_missing",
  "row_added",
  "row_duplicated",
  "entry_changed",
  "tile_changed",
  "tile_missing",
  "checkpoint_invalid",
  "checkpoint_rolled_back",
  "expired_not_sealed",
] as const;

export type FaultKind = (typeof FAULTS)[number];

export interface Fault {
  readonly fault: FaultKind;
  /** The record, where it is about one. */
  readonly leafIndex: number | null;
  readonly table: string | null;
  /** A sentence: what was expected, what is there. */
  readonly detail: string;
}

/** Two verdicts that never mix: nothing was changed; and what is known to be missing. */
export interface Report {
  readonly integrity: "ok" | "broken";
  readonly completeness: "ok" | "gaps";
  readonly treeSize: number;
  /** The signed checkpoint that all was checked against; null when the log has none that holds. */
  readonly checkpoint: string | null;
  readonly checked: {
    readonly records: number;
    readonly tiles: number;
    readonly checkpoints: number;
  };
  /** Rows that are gone because their period was over, and because somebody had them erased, each named by a sealed record. */
  readonly expired: number;
  readonly erased: number;
  /** The first MAX_FAULTS faults, in the order in which they were found. */
  readonly faults: readonly Fault[];
  /** All faults, listed or not. */
  readonly faultCount: number;
  /** Open findings by kind. */
  readonly findings: Readonly<Record<string, number>>;
  /** Stretches in which the server ran, by its records, and sealed not even a heartbeat; 100 are listed, all are counted. */
  readonly silences: readonly Silence[];
  readonly silenceCount: number;
  /** Times that the server ended without a record of it: killed, or cut off from its disk. */
  readonly uncleanStops: number;
  /** When the newest record was received or made; null where rows are not looked at. */
  readonly newestRecordAt: string | null;
}

/** Between two records; times are RFC 3339. */
export interface Silence {
  readonly from: string;
  readonly to: string;
  readonly seconds: number;
}

/** A server that runs seals a heartbeat each minute, and a finding a minute late: a longer stretch without a record is a gap. */
export const SILENCE_MS = 5 * 60_000;
const NS_PER_SECOND = 1e9;

/** A changed table can have a fault for every row: so many are listed, all are counted. */
export const MAX_FAULTS = 1000;

/** Findings that say that something is missing. The others tell of something that was noticed and kept. */
const GAP_FINDINGS = new Set([
  "rejected_record",
  "refused_batch",
  "quarantined",
  "span_without_access",
  "access_without_span",
  "source_silent",
  "source_never_seen",
]);

/** Collects faults and counts while verification goes on. */
export class ReportBuilder {
  treeSize = 0;
  checkpoint: string | null = null;
  records = 0;
  tiles = 0;
  checkpoints = 0;
  /** Rows that are sealed and lie in quarantine alone: nobody finds them who asks the tables, whether or not a finding says so. */
  quarantined = 0;
  expired = 0;
  erased = 0;
  findings: Readonly<Record<string, number>> = {};
  timeline: Timeline = { newestNs: null, silences: [], silenceCount: 0, uncleanStops: 0 };
  readonly #faults: Fault[] = [];
  /** The faults that are listed: a part of a log that is read twice, because the log has grown, has each fault once. */
  readonly #listed = new Set<string>();
  #faultCount = 0;

  /** Returns the number of the fault in the list; -1 when it is there already, or the list is full. */
  add(
    fault: FaultKind,
    detail: string,
    leafIndex: number | null = null,
    table: string | null = null,
  ): number {
    let number = -1;
    if (this.#faults.length < MAX_FAULTS) {
      const key = JSON.stringify([fault, leafIndex, table, detail]);
      if (this.#listed.has(key)) return -1;
      this.#listed.add(key);
      number = this.#faults.push({ fault, leafIndex, table, detail }) - 1;
    }
    this.#faultCount++;
    return number;
  }

  /** Says more exactly what a listed fault is. */
  amend(number: number, detail: string): void {
    const fault = this.#faults[number];
    if (fault !== undefined) this.#faults[number] = { ...fault, detail };
  }

  build(): Report {
    const { newestNs, silences, silenceCount, uncleanStops } = this.timeline;
    const hasGaps =
      silenceCount > 0 ||
      this.quarantined > 0 ||
      Object.keys(this.findings).some((kind) => GAP_FINDINGS.has(kind));
    return {
      integrity: this.#faultCount === 0 ? "ok" : "broken",
      completeness: hasGaps ? "gaps" : "ok",
      treeSize: this.treeSize,
      checkpoint: this.checkpoint,
      checked: { records: this.records, tiles: this.tiles, checkpoints: this.checkpoints },
      expired: this.expired,
      erased: this.erased,
      faults: this.#faults,
      faultCount: this.#faultCount,
      findings: this.findings,
      silences: silences.map(({ fromNs, toNs }) => ({
        from: formatTime(fromNs),
        to: formatTime(toNs),
        seconds: Math.round(Number(toNs - fromNs) / NS_PER_SECOND),
      })),
      silenceCount,
      uncleanStops,
      newestRecordAt: newestNs === null ? null : formatTime(newestNs),
    };
  }
}

/** A fault as a line for people. */
export function describeFault({ fault, leafIndex, table, detail }: Fault): string {
  const where = [
    ...(leafIndex === null ? [] : [`record ${leafIndex}`]),
    ...(table === null ? [] : [`in ${table}`]),
  ].join(" ");
  return `${fault}${where === "" ? "" : `  ${where}`}: ${detail}`;
}
