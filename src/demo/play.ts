import { setTimeout } from "node:timers/promises";
import { nowNanos } from "../core/time.ts";
import type { Senders } from "./exporters.ts";
import type { Plan } from "./plan.ts";

/** How far a play is: records handed to the exporters, and records that the receiver has acknowledged. */
export interface PlayProgress {
  readonly planned: number;
  readonly sent: number;
  readonly acknowledged: number;
}

/** As the SDK's batch processors do: so many records in a request. */
const BATCH_RECORDS = 512;
const TICK_MS = 100;
/** So much of the play is sent and acknowledged before more is, so that on a slow machine the span and the access record of a request still arrive together. */
const SLICE_NS = 250_000_000n;

/**
 * Sends all of a plan, each record when it has ended, as proxies and applications would.
 * Returns: how many records were acknowledged, which is all of them.
 * Throws: UNAVAILABLE when a batch was not taken; the abort reason of `signal`.
 */
export async function play(
  plan: Plan,
  senders: Senders,
  signal: AbortSignal,
  onProgress: (progress: PlayProgress) => void,
): Promise<PlayProgress> {
  const planned = plan.access.length + plan.spans.length + plan.logs.length;
  let sent = 0;
  let acknowledged = 0;
  const progress = (): PlayProgress => ({ planned, sent, acknowledged });
  const channels = [
    channel(plan.spans, senders.sendSpans),
    channel(plan.access, senders.sendAccess),
    channel(plan.logs, senders.sendLogs),
  ];
  const isOver = (): boolean => acknowledged === planned;
  let untilNs = nowNanos();
  while (!isOver()) {
    signal.throwIfAborted();
    const nowNs = nowNanos();
    const isBehind = untilNs + SLICE_NS < nowNs;
    untilNs = isBehind ? untilNs + SLICE_NS : nowNs;
    const batches = channels.flatMap((take) => take(untilNs));
    for (const { count } of batches) sent += count;
    onProgress(progress());
    await Promise.all(
      batches.map(async ({ count, send }) => {
        await send();
        acknowledged += count;
      }),
    );
    onProgress(progress());
    if (!isBehind && !isOver()) await setTimeout(TICK_MS, undefined, { signal });
  }
  return progress();
}

interface Batch {
  readonly count: number;
  readonly send: () => Promise<void>;
}

/** Takes out, batch by batch, what has ended by a time. */
function channel<T extends { readonly endNs: bigint }>(
  records: readonly T[],
  send: (batch: readonly T[]) => Promise<void>,
): (nowNs: bigint) => Batch[] {
  let from = 0;
  return (nowNs) => {
    const batches: Batch[] = [];
    let to = from;
    while (to < records.length && records[to]!.endNs <= nowNs) to++;
    while (from < to) {
      const batch = records.slice(from, Math.min(to, from + BATCH_RECORDS));
      batches.push({ count: batch.length, send: () => send(batch) });
      from += batch.length;
    }
    return batches;
  };
}
