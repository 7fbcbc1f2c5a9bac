import { setImmediate } from "node:timers/promises";
import { KINDS } from "./core/kinds.ts";
import type { Logger } from "./core/logger.ts";
import { ROW_PREFIX_LENGTH } from "./core/rows.ts";
import { findingIntervalMs, type Correlator } from "./correlate/correlator.ts";
import { findIdentityConflicts, noteIdentityConflicts } from "./correlate/identity-conflicts.ts";
import type { FindingLedger } from "./correlate/ledger.ts";
import { readFindingRow } from "./correlate/own-rows.ts";
import { SPAN_KEYS } from "./correlate/proxy-spans.ts";
import { WANTED_COLUMNS } from "./correlate/record-view.ts";
import type { Frame, Journal } from "./journal/journal.ts";
import type { StoreClient } from "./store/client.ts";
import { readHistory, type History } from "./store/history.ts";

export interface CorrelationRecovery {
  readonly correlator: Correlator;
  readonly ledger: FindingLedger;
  readonly journal: Journal;
  readonly client: StoreClient;
  readonly logId: string;
  readonly windowMs: number;
  readonly maxRecords: number;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** A store that does not answer must not hold up the start for longer. */
const HISTORY_TIMEOUT_MS = 20_000;
/** Findings are sealed within moments after they are due. */
const SEALING_MS = 10_000;
const NS_PER_MS = 1_000_000;

/**
 * Brings correlation to the end of the log: first what the journal has let go of, from the store, then the journal. What was found
 * before a crash and not sealed is found again. Without an answer of the store no span is accused whose partner may be there.
 * Returns: when the newest request or record of our own in the journal was received; 0 where it has none.
 */
export async function recoverCorrelation(options: CorrelationRecovery): Promise<bigint> {
  const { correlator, ledger, journal } = options;
  const { firstIndex } = journal;
  if (firstIndex > 0) await replayHistory(options, firstIndex);
  let next = firstIndex;
  let newestNs = 0n;
  do {
    // Rows of our own may come while this reads.
    for await (const frame of journal.frames(next, { rowless: next === firstIndex })) {
      replayFrame(ledger, frame);
      correlator.replay(frame);
      if (frame.meta.receivedAtNs > newestNs) newestNs = frame.meta.receivedAtNs;
      next = frame.firstIndex + frame.count;
    }
  } while (next < journal.durableIndex);
  correlator.begin(next);
  return newestNs;
}

/** What a frame says of rejected and cut records and of contradictions in its rows, and what findings of them it holds. */
export function replayFrame(ledger: FindingLedger, frame: Frame): void {
  noteRequest(ledger, frame);
  noteIdentityConflicts(ledger, findIdentityConflicts(frame), {
    firstIndex: frame.firstIndex,
    receivedAtNs: frame.meta.receivedAtNs,
  });
  for (const { kind, count, bytes, offsets } of frame.sections) {
    if (kind !== KINDS.finding) continue;
    for (let i = 0; i < count; i++) {
      const row = bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]);
      const finding = readFindingRow(row);
      ledger.settle(finding.kind, finding.subject, finding.intervalNs);
    }
  }
}

/** Notes the rejected and the cut records of a request that is in the journal. */
export function noteRequest(
  ledger: FindingLedger,
  { meta, firstIndex, count }: Pick<Frame, "meta" | "firstIndex" | "count">,
): void {
  const { sender: subject, receivedAtNs: atNs, rejected, cut, message } = meta;
  // A segment is released when all its rows are below: a frame without rows stays as long as the row before it.
  const journalIndex = count > 0 ? firstIndex : firstIndex - 1;
  if (rejected > 0)
    ledger.note({
      kind: "rejected_record",
      subject,
      atNs,
      count: rejected,
      reason: message,
      journalIndex,
    });
  if (cut > 0) ledger.note({ kind: "truncated", subject, atNs, count: cut, journalIndex });
}

async function replayHistory(options: CorrelationRecovery, before: number): Promise<void> {
  const { correlator, client, logId, windowMs, maxRecords, logger } = options;
  const from = Math.max(0, before - maxRecords);
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(HISTORY_TIMEOUT_MS)]);
  // A finding that is not sealed yet is about spans of its interval, and those can have partners a window older.
  const spanMs = findingIntervalMs(windowMs) + 2 * windowMs + SEALING_MS;
  let history: History | undefined;
  try {
    history = await readHistory({
      client,
      logId,
      from,
      before,
      spanNs: BigInt(spanMs * NS_PER_MS),
      wanted: WANTED_COLUMNS,
      keys: SPAN_KEYS,
      signal,
    });
    if (history.sinceNs !== null) correlator.knownFrom(Number(history.sinceNs) / NS_PER_MS);
    for await (const rows of history.rows) {
      for (const { leafIndex, row } of rows) correlator.replayRow(leafIndex, row);
      await setImmediate();
    }
  } catch (error) {
    options.signal.throwIfAborted();
    correlator.skip();
    logger.warn(
      { err: error },
      "the store did not tell what was received last; access records and spans from before the start are not linked, and no span is accused whose partner may be among them",
    );
  }
}
