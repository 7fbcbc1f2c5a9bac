import type { FindingRecord } from "../records/own-rows.ts";

/** What an operator or auditor must know. Each kind has its severity and the sentence that tells how often it happened. */
export const FINDING_KINDS = {
  rejected_record: {
    severity: "error",
    sentence: (count: number, subject: string) =>
      `${count} ${plural(count, "record")} from ${subject} could not be read and ${wasWere(count)} rejected.`,
  },
  refused_batch: {
    severity: "warning",
    sentence: (count: number, subject: string) =>
      `${count} ${plural(count, "request")} from ${subject} ${wasWere(count)} refused; what the sender did not send again is missing.`,
  },
  truncated: {
    severity: "info",
    sentence: (count: number, subject: string) =>
      `${count} ${plural(count, "record")} from ${subject} had values cut to fit max_record_size.`,
  },
  quarantined: {
    severity: "error",
    sentence: (count: number, subject: string) =>
      `${count} ${plural(count, "row")} of ${subject} ${wasWere(count)} refused by ClickHouse and put into quarantine.`,
  },
} as const satisfies Record<
  string,
  { severity: FindingRecord["severity"]; sentence: (count: number, subject: string) => string }
>;

export type FindingKind = keyof typeof FINDING_KINDS;

const MINUTE_NS = 60_000_000_000n;
/** A finding names at most this many records. */
const MAX_EVIDENCE = 100;
/** Findings of one minute; what comes beyond is counted under one subject, so that a sender who changes names cannot fill memory. */
const MAX_OPEN = 10_000;
const OTHER_SUBJECTS = "other senders";

interface OpenFinding {
  readonly kind: FindingKind;
  readonly subject: string;
  readonly minute: bigint;
  readonly message: string;
  readonly firstNs: bigint;
  lastNs: bigint;
  count: number;
  readonly evidence: number[];
}

/** Counts what is found, one finding for each kind, subject and minute. */
export class FindingLedger {
  readonly #open = new Map<string, OpenFinding>();
  #untaken: FindingRecord[] = [];

  /** Notes that `kind` happened `count` times. `reason` is kept of the first time; `evidence` are leaf indexes. */
  note(
    kind: FindingKind,
    subject: string,
    nowNs: bigint,
    count: number,
    reason = "",
    evidence: readonly number[] = [],
  ): void {
    const minute = nowNs - (nowNs % MINUTE_NS);
    const name = this.#open.size < MAX_OPEN ? subject : OTHER_SUBJECTS;
    const key = JSON.stringify([kind, name, minute.toString()]);
    let finding = this.#open.get(key);
    if (finding === undefined) {
      finding = {
        kind,
        subject: name,
        minute,
        message: reason,
        firstNs: nowNs,
        lastNs: nowNs,
        count: 0,
        evidence: [],
      };
      this.#open.set(key, finding);
    }
    finding.count += count;
    finding.lastNs = nowNs;
    finding.evidence.push(...evidence.slice(0, MAX_EVIDENCE - finding.evidence.length));
  }

  /** Takes out the findings of minutes that ended before `nowNs`; of all minutes when it is undefined. */
  take(nowNs: bigint | undefined): FindingRecord[] {
    const taken = [...this.#open].filter(
      ([, { minute }]) => nowNs === undefined || minute + MINUTE_NS <= nowNs,
    );
    for (const [key] of taken) this.#open.delete(key);
    const records = this.#untaken;
    this.#untaken = [];
    return [...records, ...taken.map(([, finding]) => toRecord(finding))];
  }

  /** Gives back findings that could not be sealed: the next `take` has them first. */
  restore(records: readonly FindingRecord[]): void {
    this.#untaken.unshift(...records);
  }
}

function toRecord(finding: OpenFinding): FindingRecord {
  const { severity, sentence } = FINDING_KINDS[finding.kind];
  const detail: Record<string, string> = {
    count: String(finding.count),
    first: String(finding.firstNs),
    last: String(finding.lastNs),
  };
  if (finding.message !== "") detail["reason"] = finding.message;
  return {
    timestampNs: finding.minute,
    findingKind: finding.kind,
    severity,
    state: "open",
    subject: finding.subject,
    traceId: "",
    message: sentence(finding.count, finding.subject),
    evidence: finding.evidence,
    detail,
  };
}

function plural(count: number, noun: string): string {
  return count === 1 ? noun : `${noun}s`;
}

function wasWere(count: number): string {
  return count === 1 ? "was" : "were";
}
