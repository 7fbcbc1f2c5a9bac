import type { FindingRecord } from "../records/own-rows.ts";
import { FINDINGS, type FindingKind } from "./findings/index.ts";

/** A finding covers so long; it begins at a multiple of it. */
export const FINDING_INTERVAL_MS = 60_000;
/** A request that was received at the end of an interval may be durable a little later. */
export const IN_FLIGHT_MS = 2_000;
/** A finding names at most this many records. */
export const MAX_EVIDENCE = 100;
/** Open findings; what comes beyond is counted under one subject, so that a sender who changes names cannot fill memory. */
const MAX_OPEN = 10_000;
const OTHER_SUBJECTS = "others";
const NS_PER_MS = 1_000_000n;

/** Something that was noticed. */
export interface Notice {
  readonly kind: FindingKind;
  readonly subject: string;
  readonly atNs: bigint;
  /** How often; 1 unless it is said. */
  readonly count?: number;
  /** Kept of the first notice of a finding. */
  readonly reason?: string;
  /** Goes into the finding's Detail; kept of the first notice too. */
  readonly detail?: Readonly<Record<string, string>>;
  /** Leaf indexes of records that show it. */
  readonly evidence?: readonly number[];
  /** The journal tells of it from this index on: it is not to be released below before the finding is sealed. */
  readonly journalIndex?: number;
  /** When nothing more can belong to the finding, on the clock of whoever calls `take`; by default the end of the interval. */
  readonly dueMs?: number;
}

/** Notices of one kind, subject and interval. */
export interface Finding {
  readonly key: string;
  readonly kind: FindingKind;
  readonly subject: string;
  readonly intervalNs: bigint;
  readonly reason: string;
  readonly detail: Readonly<Record<string, string>>;
  readonly firstNs: bigint;
  readonly dueMs: number;
  readonly evidence: number[];
  lastNs: bigint;
  count: number;
  journalIndex: number;
}

/** Counts what is found: one finding for each kind, subject and interval. */
export class FindingLedger {
  readonly #intervalNs: bigint;
  readonly #open = new Map<string, Finding>();
  /** Those that are being sealed. */
  readonly #taken = new Set<Finding>();
  #last: Finding | undefined;

  constructor({ intervalMs = FINDING_INTERVAL_MS }: { readonly intervalMs?: number } = {}) {
    this.#intervalNs = BigInt(Math.round(intervalMs)) * NS_PER_MS;
  }

  note(notice: Notice): void {
    const { atNs, count = 1, evidence = [], journalIndex = Infinity } = notice;
    const finding = this.#find(notice);
    finding.count += count;
    if (atNs > finding.lastNs) finding.lastNs = atNs;
    finding.evidence.push(...evidence.slice(0, MAX_EVIDENCE - finding.evidence.length));
    if (journalIndex < finding.journalIndex) finding.journalIndex = journalIndex;
  }

  /** Takes out the findings that are due; each is given back by `sealed` or `restore`. */
  take(nowMs: number): readonly Finding[] {
    const due = [...this.#open.values()].filter(({ dueMs }) => dueMs <= nowMs);
    for (const finding of due) {
      this.#open.delete(finding.key);
      this.#taken.add(finding);
    }
    this.#last = undefined;
    return due;
  }

  /** They are durable. */
  sealed(findings: readonly Finding[]): void {
    for (const finding of findings) this.#taken.delete(finding);
  }

  /** They could not be sealed: the next `take` has them again. */
  restore(findings: readonly Finding[]): void {
    for (const finding of findings) {
      this.#taken.delete(finding);
      const later = this.#open.get(finding.key);
      this.#open.set(finding.key, finding);
      if (later === undefined) continue;
      const { count, lastNs, evidence, journalIndex } = later;
      finding.count += count;
      finding.lastNs = lastNs;
      finding.evidence.push(...evidence.slice(0, MAX_EVIDENCE - finding.evidence.length));
      finding.journalIndex = Math.min(finding.journalIndex, journalIndex);
    }
    this.#last = undefined;
  }

  /** The log has a row of this finding: what was noted of it so far is in that row. */
  settle(kind: string, subject: string, intervalNs: bigint): void {
    this.#open.delete(keyOf(kind, subject, intervalNs));
    this.#last = undefined;
  }

  /** The lowest index of the journal that an unsealed finding rests on, of those that are due; Infinity when there is none. */
  lowestIndex(nowMs = Infinity): number {
    let lowest = Infinity;
    for (const { journalIndex } of this.#taken) lowest = Math.min(lowest, journalIndex);
    for (const { journalIndex, dueMs } of this.#open.values())
      if (dueMs <= nowMs) lowest = Math.min(lowest, journalIndex);
    return lowest;
  }

  #find({ kind, subject, atNs, reason = "", detail = {}, dueMs }: Notice): Finding {
    const last = this.#last;
    const since = atNs - (last?.intervalNs ?? 0n);
    if (last?.kind === kind && last.subject === subject && since >= 0n && since < this.#intervalNs)
      return last;
    const intervalNs = this.intervalOf(atNs);
    const name =
      this.#open.size < MAX_OPEN || this.#open.has(keyOf(kind, subject, intervalNs))
        ? subject
        : OTHER_SUBJECTS;
    const key = keyOf(kind, name, intervalNs);
    let finding = this.#open.get(key);
    if (finding === undefined) {
      finding = {
        key,
        kind,
        subject: name,
        intervalNs,
        reason,
        detail,
        firstNs: atNs,
        lastNs: atNs,
        dueMs: dueMs ?? Number((intervalNs + this.#intervalNs) / NS_PER_MS) + IN_FLIGHT_MS,
        count: 0,
        evidence: [],
        journalIndex: Infinity,
      };
      this.#open.set(key, finding);
    }
    this.#last = finding;
    return finding;
  }

  /** Start of the interval that a time belongs to. */
  intervalOf(atNs: bigint): bigint {
    return atNs - (atNs % this.#intervalNs);
  }
}

/** What makes two notices one finding. */
export function keyOf(kind: string, subject: string, intervalNs: bigint): string {
  return `${kind} ${intervalNs} ${subject}`;
}

/** The records of findings, to be sealed. */
export function findingRecords(findings: readonly Finding[]): FindingRecord[] {
  return findings.map((finding) => {
    const { severity, sentence } = FINDINGS[finding.kind];
    const detail: Record<string, string> = {
      ...finding.detail,
      count: String(finding.count),
      first: String(finding.firstNs),
      last: String(finding.lastNs),
    };
    if (finding.reason !== "") detail["reason"] = finding.reason;
    return {
      timestampNs: finding.intervalNs,
      findingKind: finding.kind,
      severity,
      state: "open",
      subject: finding.subject,
      traceId: "",
      message: sentence(finding.count, finding.subject),
      evidence: finding.evidence,
      detail,
    };
  });
}
