import { strict as assert } from "node:assert";
import { KINDS } from "../core/kinds.ts";
import type { Logger } from "../core/logger.ts";
import { ROW_PREFIX_LENGTH, type PlacedBatch, type RowSection } from "../core/rows.ts";
import { nowNanos } from "../core/time.ts";
import type { LinkRecord } from "../records/link-row.ts";
import type { FindingKind } from "./findings/index.ts";
import { FINDING_INTERVAL_MS, FindingLedger, IN_FLIGHT_MS, keyOf } from "./ledger.ts";
import { LogClock } from "./log-clock.ts";
import { Matcher, type OnPair } from "./matcher.ts";
import { Outbox } from "./outbox.ts";
import { isStart, readFindingRow, readLinkRow } from "./own-rows.ts";
import { receivedMs, RecordView } from "./record-view.ts";
import { RULES } from "./rules/index.ts";
import type { Rule } from "./rules/rule.ts";
import { Subjects } from "./subjects.ts";
import { KEY_WORDS, SIDES, type Entry, type Side, type Window } from "./window.ts";

export interface CorrelatorOptions {
  readonly logId: string;
  /** How far apart two records of one request may be received. */
  readonly windowMs: number;
  /** Records in the window, and links that are not durable yet, at most. */
  readonly maxRecords: number;
  /** Seals rows of our own; resolves when they are durable. */
  readonly seal: (sections: readonly RowSection[], nowNs: bigint) => Promise<void>;
  readonly onLinks?: (rule: string, count: number) => void;
  /** Records that left the window early, or links that were not made, for want of room. */
  readonly onOverflow?: (count: number) => void;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  readonly rules?: readonly Rule[];
}

const TICK_MS = 1_000;
/** The option that findings about an overflow name. */
const OVERFLOW_SUBJECT = "processors.correlate.max_records";

/**
 * Links access records and spans of the same request, and finds spans of proxies that left no access record.
 *
 * It sees every durable record once, in the order of the log, and decides by the log alone: after a crash it is given the last part of
 * the log again (`replay…`, then `begin`), comes to the same links and findings, and seals those that the log does not have.
 * docs/design/correlation.md says why it is as it is.
 */
export class Correlator {
  readonly #options: CorrelatorOptions;
  readonly #now: () => number;
  readonly #matchers: readonly Matcher[];
  readonly #intervalMs: number;
  readonly #ledger: FindingLedger;
  readonly #outbox: Outbox;
  readonly #clock = new LogClock();
  readonly #subjects = new Subjects();
  readonly #view = new RecordView();
  readonly #traceId = Buffer.alloc(16);
  /** The record in hand. */
  readonly #entry: Entry = {
    side: SIDES.access,
    key: new Uint32Array(KEY_WORDS),
    ids: this.#view.ids,
    leafIndex: 0,
    arrivedMs: 0,
    receivedMs: 0,
    startLow: 0,
    startHigh: 0,
    isExpected: false,
    subject: 0,
    links: 0,
  };

  #phase: "recovering" | "running" | "stopped" = "recovering";
  /** While recovering: links by their pair of which no row of the log was seen yet. */
  readonly #owed = new Map<string, { readonly matcher: Matcher; readonly link: LinkRecord }>();
  /** Findings that the log was seen to have, with the time of the log at that place. */
  readonly #settled = new Map<string, number>();
  /** What was received before is not known, and so neither are the partners of what came up to a window later. */
  #knownFromMs = -Infinity;
  /** The same, because access records left the window for want of room. */
  #overflowedMs = -Infinity;
  /** Rows are missing before the next one. */
  #isSkipping = false;
  /** Index behind the last record that was seen. */
  #nextIndex = 0;
  /** Time of the links that are made now. */
  #madeAtNs = 0n;
  #overflow = 0;
  /** The start record was seen, and time goes on. */
  #isTicking = false;
  #ticker: NodeJS.Timeout | undefined;

  constructor(options: CorrelatorOptions) {
    const { logId, windowMs, maxRecords, seal, logger, rules = RULES } = options;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#matchers = rules.map((rule) => new Matcher(rule, maxRecords));
    this.#intervalMs = findingIntervalMs(windowMs);
    this.#ledger = new FindingLedger({ intervalMs: this.#intervalMs });
    const nowMs = (): number => this.#clock.nowMs;
    const ledger = this.#ledger;
    this.#outbox = new Outbox({ logId, maxLinks: maxRecords, ledger, nowMs, seal, logger });
  }

  /** Records in the window. */
  get size(): number {
    return this.#matchers.reduce((size, { window }) => size + window.size, 0);
  }

  /** Links that are not durable yet. */
  get pendingLinks(): number {
    return this.#outbox.pendingLinks;
  }

  /** Below this index the journal is not needed for what was found: its links, and the findings that are due, are durable. */
  get releasableThrough(): number {
    if (this.#phase === "recovering") return 0;
    return Math.min(this.#nextIndex, this.#outbox.lowestIndex);
  }

  /** While recovering, before all else: nothing is known of what was received before `ms`, and no span is accused whose partner may be there. */
  knownFrom(ms: number): void {
    this.#knownFromMs = ms;
  }

  /** While recovering: rows are missing here. */
  skip(): void {
    this.#isSkipping = true;
  }

  /** While recovering: a row of the log that the journal holds no more. It may end behind the last column that is wanted of it. */
  replayRow(leafIndex: number, row: Uint8Array): void {
    assert.equal(this.#phase, "recovering", "rows are replayed before begin");
    const kind = row[1]!;
    if (kind !== KINDS.access && kind !== KINDS.span) return this.#takeOwn(kind, row);
    this.#observe(row, 0);
    this.#takeRecord(sideOf(kind), leafIndex, row, 0);
  }

  /** While recovering: a batch of the journal. */
  replay(batch: PlacedBatch): void {
    assert.equal(this.#phase, "recovering", "batches are replayed before begin");
    this.#take(batch);
  }

  /**
   * Ends the recovery: what the log still lacks is sealed, and `follow` goes on with the record at `nextIndex`.
   * The clock stands until the start record of this run is seen.
   */
  begin(nextIndex: number): void {
    assert.equal(this.#phase, "recovering", "begin is called once");
    this.#phase = "running";
    this.#nextIndex = nextIndex;
    const madeAtNs = nowNanos();
    for (const { matcher, link } of this.#owed.values()) this.#send(matcher, { ...link, madeAtNs });
    this.#owed.clear();
    this.#ticker = setInterval(() => void this.tick(), Math.min(TICK_MS, this.#options.windowMs));
    this.#ticker.unref();
    this.#report();
  }

  /** Takes a batch that is durable, before anyone frees its rows. Nothing of it is kept. What comes while recovering is in the journal, and replayed. */
  follow(batch: PlacedBatch): void {
    if (this.#phase !== "running") return;
    assert.equal(batch.firstIndex, this.#nextIndex, "batches come in order, without a gap");
    this.#madeAtNs = nowNanos();
    this.#take(batch);
    this.#report();
  }

  /** Called each second: lets time go on where no record does it, and seals what is due. Resolves when that is durable or has failed. */
  tick(): Promise<void> {
    if (this.#isTicking) {
      this.#clock.advance(this.#now() - IN_FLIGHT_MS);
      this.#expire();
    }
    for (const [key, atMs] of this.#settled)
      if (atMs < this.#clock.nowMs - this.#options.windowMs) this.#settled.delete(key);
    return this.#outbox.flush();
  }

  /** Seals what waits. Spans whose time is not over are left to the next start. */
  async stop(): Promise<void> {
    this.#phase = "stopped";
    clearInterval(this.#ticker);
    await this.#outbox.close();
  }

  #take({ firstIndex, count, sections }: PlacedBatch): void {
    let leafIndex = firstIndex;
    for (const { kind, count: rows, bytes, offsets } of sections) {
      if (kind === KINDS.access || kind === KINDS.span) {
        const side = sideOf(kind);
        // All records of a request were received at once.
        if (rows > 0) this.#observe(bytes, offsets[0]! + ROW_PREFIX_LENGTH);
        for (let i = 0; i < rows; i++)
          this.#takeRecord(side, leafIndex + i, bytes, offsets[i]! + ROW_PREFIX_LENGTH);
      } else if (kind !== KINDS.log) {
        for (let i = 0; i < rows; i++)
          this.#takeOwn(kind, bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]));
      }
      leafIndex += rows;
    }
    this.#nextIndex = firstIndex + count;
  }

  #observe(bytes: Uint8Array, start: number): void {
    const ms = receivedMs(bytes, start);
    this.#clock.observe(ms);
    if (this.#isSkipping) this.#knownFromMs = this.#clock.nowMs;
    this.#isSkipping = false;
    this.#expire();
    this.#entry.receivedMs = ms;
    this.#entry.arrivedMs = this.#clock.nowMs;
  }

  #takeRecord(side: Side, leafIndex: number, bytes: Uint8Array, start: number): void {
    const view = this.#view;
    const entry = this.#entry;
    if (side === SIDES.access) view.readAccess(bytes, start);
    else view.readSpan(bytes, start);
    entry.side = side;
    entry.leafIndex = leafIndex;
    entry.startLow = view.startLow;
    entry.startHigh = view.startHigh;
    entry.isExpected = view.isExpected;
    let isLinked = false;
    for (const matcher of this.#matchers) {
      if (isLinked && matcher.joinsSpans) continue;
      if (!matcher.match(view, entry, this.#onPair)) continue;
      if (matcher.isOpen) this.#enter(matcher, bytes);
      if (!matcher.joinsSpans) continue;
      isLinked = entry.links > 0;
      entry.isExpected = false; // it is judged once, by the window of the first rule
    }
  }

  /** The record that was there is in the window, the one in hand in the view. */
  readonly #onPair: OnPair = (matcher, accessLeaf, spanLeaf, slot) => {
    const { startLow, startHigh } = this.#view;
    const { name, confidence } = matcher.rule;
    const startNs = (BigInt(startHigh) << 32n) | BigInt(startLow);
    const otherNs = matcher.window.startNs(slot);
    let ids: Uint32Array = this.#view.ids;
    if (matcher.joinsSpans) this.#markLinked(spanLeaf, matcher);
    else if (!this.#view.hasTraceId) ids = matcher.window.traceId(slot);
    for (let i = 0; i < 4; i++) this.#traceId.writeUInt32BE(ids[i]!, 4 * i);
    const link = {
      madeAtNs: this.#madeAtNs,
      traceId: this.#traceId,
      rule: name,
      confidence,
      accessLeaf,
      spanLeaf,
      clockDifferenceNs: this.#entry.side === SIDES.span ? startNs - otherNs : otherNs - startNs,
    };
    if (this.#phase !== "recovering") this.#send(matcher, link);
    else if (this.#owed.size === this.#options.maxRecords) this.#overflow++;
    else {
      const traceId = Buffer.from(this.#traceId);
      this.#owed.set(pairOf(accessLeaf, spanLeaf), { matcher, link: { ...link, traceId } });
    }
  };

  /** In the windows of all rules that know spans, but for the one that has marked it. */
  #markLinked(spanLeaf: number, by?: Matcher): void {
    for (const matcher of this.#matchers) {
      const slot = matcher === by || !matcher.joinsSpans ? -1 : matcher.window.slotOf(spanLeaf);
      if (slot >= 0) matcher.window.countLink(slot);
    }
  }

  #send(matcher: Matcher, link: LinkRecord): void {
    if (this.#outbox.addLink(link)) matcher.links++;
    else this.#overflow++;
  }

  #enter(matcher: Matcher, bytes: Uint8Array): void {
    const { window } = matcher;
    const entry = this.#entry;
    if (window.size === window.maxRecords) this.#leaveEarly(matcher);
    if (entry.isExpected) {
      const { subjectStart, subjectEnd } = this.#view;
      entry.subject = this.#subjects.use(bytes, subjectStart, subjectEnd);
    }
    window.add(entry);
  }

  #leaveEarly({ window, joinsSpans }: Matcher): void {
    const slot = window.oldest;
    this.#overflow++;
    if (window.isBlind(slot)) this.#note("correlation_overflow", OVERFLOW_SUBJECT, window, slot);
    if (joinsSpans && window.side(slot) === SIDES.access)
      this.#overflowedMs = window.arrivedMs(slot);
    this.#leave(window, slot);
  }

  /** Lets go of everything whose time is over, and judges it. */
  #expire(): void {
    const beforeMs = this.#clock.nowMs - this.#options.windowMs;
    for (const { window } of this.#matchers) {
      let slot = window.oldest;
      for (; slot >= 0 && window.arrivedMs(slot) < beforeMs; slot = window.oldest) {
        if (window.isBlind(slot)) this.#judge(window, slot);
        this.#leave(window, slot);
      }
    }
  }

  #leave(window: Window, slot: number): void {
    if (window.isExpected(slot)) this.#subjects.release(window.subject(slot));
    window.removeOldest();
  }

  #judge(window: Window, slot: number): void {
    const sinceMs = window.arrivedMs(slot) - this.#options.windowMs;
    if (sinceMs <= this.#overflowedMs)
      this.#note("correlation_overflow", OVERFLOW_SUBJECT, window, slot);
    else if (sinceMs >= this.#knownFromMs)
      this.#note("span_without_access", this.#subjects.name(window.subject(slot)), window, slot);
  }

  #note(kind: FindingKind, subject: string, window: Window, slot: number): void {
    const ms = Math.trunc(window.receivedMs(slot));
    const atNs = BigInt(ms) * 1_000_000n;
    const interval = this.#ledger.intervalOf(atNs);
    if (this.#settled.size > 0 && this.#settled.has(keyOf(kind, subject, interval))) return;
    const leafIndex = window.leafIndex(slot);
    const restMs = this.#intervalMs - (ms % this.#intervalMs);
    // Whatever else is received in this interval has arrived by then, and has had its time.
    const dueMs = window.arrivedMs(slot) + restMs + this.#options.windowMs;
    const evidence = [leafIndex];
    this.#ledger.note({ kind, subject, atNs, evidence, journalIndex: leafIndex, dueMs });
  }

  /** A row of our own: a start of the server; while recovering, also what was linked and found. */
  #takeOwn(kind: number, row: Uint8Array): void {
    if (kind === KINDS.control && isStart(row)) {
      this.#clock.goOn(receivedMs(row, 0));
      this.#isTicking = this.#phase === "running";
    }
    if (this.#phase !== "recovering") return;
    if (kind === KINDS.link) {
      const { rule, accessLeaf, spanLeaf } = readLinkRow(row);
      this.#owed.delete(pairOf(accessLeaf, spanLeaf));
      // Perhaps with an access record that is no longer known.
      if (this.#joinsSpans(rule)) this.#markLinked(spanLeaf);
    } else if (kind === KINDS.finding) {
      const { kind: name, subject, intervalNs } = readFindingRow(row);
      this.#ledger.settle(name, subject, intervalNs);
      this.#settled.set(keyOf(name, subject, intervalNs), this.#clock.nowMs);
    }
  }

  #joinsSpans(ruleName: string): boolean {
    return this.#matchers.find(({ rule }) => rule.name === ruleName)?.joinsSpans !== false;
  }

  #report(): void {
    const { onLinks, onOverflow } = this.#options;
    for (const matcher of this.#matchers) {
      if (matcher.links > 0) onLinks?.(matcher.rule.name, matcher.links);
      matcher.links = 0;
    }
    if (this.#overflow > 0) onOverflow?.(this.#overflow);
    this.#overflow = 0;
    this.#outbox.schedule();
  }
}

/** A finding covers a minute, or two windows where that is less, so that a short window gives its findings soon. */
export function findingIntervalMs(windowMs: number): number {
  return Math.min(FINDING_INTERVAL_MS, 2 * windowMs);
}

function sideOf(kind: number): Side {
  return kind === KINDS.access ? SIDES.access : SIDES.span;
}

function pairOf(accessLeaf: number, spanLeaf: number): string {
  return `${accessLeaf} ${spanLeaf}`;
}
