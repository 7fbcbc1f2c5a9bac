import { setImmediate, setTimeout } from "node:timers/promises";
import { KINDS } from "../core/kinds.ts";
import type { Logger } from "../core/logger.ts";
import { readOriginals } from "../core/originals.ts";
import type { PlacedBatch } from "../core/rows.ts";
import type { OwnAttributes } from "./attributes.ts";
import { Backoff, type BackoffOptions } from "./backoff.ts";
import type { Exporter } from "./exporter.ts";
import { LinkedLeaves } from "./linked-leaves.ts";
import { type Chunk, ForwardQueue, type FrameOriginals } from "./queue.ts";
import { type ExportRequest, RequestBuilder } from "./request.ts";

type Signal = "logs" | "traces";

/** A frame of the journal, as far as it matters here. */
export interface ForwardFrame extends PlacedBatch {
  readonly meta: { readonly signal: string; readonly originals?: Uint8Array };
}

/** Records that will not be passed on. */
export interface LostRecords {
  readonly count: number;
  readonly reason: string;
  /** Leaf indexes of the first of them, as far as they are known. */
  readonly leaves: readonly number[];
}

export interface ForwarderOptions {
  readonly exporter: Exporter;
  readonly attributes: OwnAttributes;
  readonly maxQueueBytes: number;
  /** How long a record waits for its link. */
  readonly linkWaitMs: number;
  /** null: what fails once is given up. */
  readonly retry: (BackoffOptions & { readonly maxElapsedMs: number }) | null;
  /** The journal's frames from an index on. */
  readonly frames: (fromIndex: number) => AsyncIterable<ForwardFrame>;
  readonly onSent: (signal: Signal, records: number) => void;
  /** `isFull`: they never got as far as the next backend, for want of room. */
  readonly onLost: (signal: Signal, lost: LostRecords, isFull: boolean) => void;
  /** All rows below this index are dealt with. */
  readonly onPassed: (index: number) => void;
  readonly logger: Logger;
  readonly clock?: () => number;
}

/** A request to the next backend is about so large: what waits is cut there between records. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
const MAX_MEMORY_BYTES = 32 * 1024 * 1024;
/** Frames that come within so long are passed on together. */
const GATHER_MS = 100;
/** How long a finding may take to be sealed: a ledger's interval and what belongs to it. Until then the journal keeps what it is about. */
const FINDING_MS = 65_000;

/**
 * Passes on what came in: the third reader of the journal, beside seal and store, with an index of its own. It never makes them wait: it is told of frames that
 * are durable, reads again from the journal what memory had no room for, and lets go of the oldest when more waits than it may hold.
 * At least once: an index is passed when the next backend has answered for all below, and after a crash it is at most some 200 ms old.
 */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #queue: ForwardQueue;
  readonly #linked = new LinkedLeaves();
  readonly #stop = new AbortController();
  /** Whoever waits for company or links waits no longer. */
  readonly #hurry = new AbortController();
  readonly #clock: () => number;
  #endIndex = 0;
  /** Below this index the journal is kept until findings about lost records are sealed. */
  #heldFrom = Infinity;
  #heldUntilMs = 0;
  #failure = "";
  #failingSinceMs = 0;
  #isStopping = false;
  #wake: () => void = () => {};
  #running: Promise<void> | undefined;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    this.#queue = new ForwardQueue({
      maxBytes: options.maxQueueBytes,
      maxMemoryBytes: Math.min(MAX_MEMORY_BYTES, options.maxQueueBytes),
    });
  }

  /** Bytes of records that wait, and their bound. */
  get pendingBytes(): number {
    return this.#queue.bytes;
  }

  get capacityBytes(): number {
    return this.#queue.maxBytes;
  }

  /** The journal may let go of what is below. */
  get passedThrough(): number {
    const waiting = this.#queue.head?.firstIndex ?? this.#endIndex;
    if (this.#heldFrom < waiting && this.#clock() < this.#heldUntilMs) return this.#heldFrom;
    this.#heldFrom = Infinity;
    return waiting;
  }

  /** What the next backend has done wrong since when; null when its last answer was right. */
  get failure(): { readonly reason: string; readonly forMs: number } | null {
    if (this.#failure === "") return null;
    return { reason: this.#failure, forMs: this.#clock() - this.#failingSinceMs };
  }

  /** Begins with what the journal holds from `fromIndex` on; `follow` goes on behind it. */
  async start(fromIndex: number): Promise<void> {
    this.#endIndex = fromIndex;
    for await (const frame of this.#options.frames(fromIndex)) this.#add(frame, false);
    this.#running = this.#run();
  }

  /** Takes notice of a frame that is durable. Never waits and never refuses. */
  follow(frame: ForwardFrame): void {
    this.#add(frame, true);
    this.#wake();
  }

  /** The journal needs room: a share of what waits, the oldest, is not passed on, and nothing is held for the finding about it. */
  shed(share: number): void {
    const { bytes } = this.#queue;
    if (bytes === 0) return;
    this.#lose(this.#queue.drop(bytes * share), "the journal needs the room");
    this.#heldFrom = Infinity;
  }

  /** Passes on what waits, for `graceMs` at most and while the next backend takes it; the journal keeps the rest for the next start. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    this.#hurry.abort();
    this.#wake();
    if (this.#failure !== "") this.#stop.abort();
    const timer = new AbortController();
    const grace = setTimeout(graceMs, undefined, { signal: timer.signal }).catch(() => {});
    await Promise.race([this.#running, grace]);
    timer.abort();
    this.#stop.abort();
    this.#wake();
    await this.#running;
    this.#options.exporter.close();
  }

  /** The findings about records that were lost are sealed: nothing more is held for them. */
  settle(): void {
    this.#heldFrom = Infinity;
    this.#options.onPassed(this.passedThrough);
  }

  #add(frame: ForwardFrame, inMemory: boolean): void {
    const { firstIndex, count, sections } = frame;
    this.#endIndex = firstIndex + count;
    for (const section of sections)
      if (section.kind === KINDS.link) this.#linked.add(section, this.passedThrough);
    const originals = originalsOf(frame);
    if (originals === null) return;
    const dropped = this.#queue.add(originals, this.#endIndex, this.#clock(), inMemory);
    this.#lose(dropped, "the queue is full");
  }

  #lose(chunks: readonly Chunk[], reason: string): void {
    for (const { firstIndex, records } of chunks)
      for (const signal of ["logs", "traces"] as const)
        if (records[signal] > 0)
          this.#lost(
            signal,
            { count: records[signal], reason, leaves: [firstIndex] },
            firstIndex,
            true,
          );
  }

  #lost(signal: Signal, lost: LostRecords, firstIndex: number, isFull: boolean): void {
    this.#heldFrom = Math.min(this.#heldFrom, firstIndex);
    this.#heldUntilMs = this.#clock() + FINDING_MS;
    this.#options.onLost(signal, lost, isFull);
  }

  async #run(): Promise<void> {
    const { onPassed, logger } = this.#options;
    for (;;) {
      const chunk = await this.#next();
      if (chunk === null) break;
      try {
        await this.#pass(chunk);
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        // The journal had to let go of them, or cannot be read.
        logger.error({ err: error }, "records could not be read to be passed on");
        this.#lose([chunk], "the journal does not have them");
      }
      this.#queue.done();
      onPassed(this.passedThrough);
      this.#linked.forgetBelow(this.passedThrough);
    }
    onPassed(this.passedThrough);
  }

  /** The oldest chunk, once it has waited long enough; null when there is nothing more to do. */
  async #next(): Promise<Chunk | null> {
    const { signal } = this.#stop;
    const waitMs = Math.max(GATHER_MS, this.#options.linkWaitMs);
    while (!signal.aborted) {
      const { head } = this.#queue;
      if (head === undefined && this.#isStopping) return null;
      const leftMs = head === undefined ? Infinity : head.sinceMs + waitMs - this.#clock();
      if (leftMs <= 0 || (head !== undefined && this.#isStopping)) return this.#queue.take()!;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      if (leftMs === Infinity) await promise;
      else await pause(leftMs, this.#hurry.signal);
    }
    return null;
  }

  async #pass(chunk: Chunk): Promise<void> {
    const builders = { logs: new RequestBuilder("logs"), traces: new RequestBuilder("traces") };
    for await (const { signal, firstIndex, bytes } of this.#framesOf(chunk)) {
      const builder = builders[signal];
      for (const original of readOriginals(bytes)) {
        const leaf = firstIndex + original.row;
        const attributes = this.#options.attributes.of(signal, leaf, this.#linked.of(leaf));
        builder.add(original, leaf, attributes);
        if (builder.bytes >= MAX_REQUEST_BYTES) await this.#deliver(builder.take()!, chunk);
      }
      await setImmediate();
    }
    for (const builder of [builders.logs, builders.traces]) {
      const request = builder.take();
      if (request !== null) await this.#deliver(request, chunk);
    }
  }

  async *#framesOf(chunk: Chunk): AsyncGenerator<FrameOriginals, void, void> {
    if (chunk.frames !== null) {
      yield* chunk.frames;
      return;
    }
    for await (const frame of this.#options.frames(chunk.firstIndex)) {
      if (frame.firstIndex >= chunk.endIndex) return;
      const originals = originalsOf(frame);
      if (originals !== null) yield originals;
    }
  }

  /** Sends one request until it is answered for good. Rejects when the server stops. */
  async #deliver(request: ExportRequest, chunk: Chunk): Promise<void> {
    const { exporter, retry, onSent } = this.#options;
    const { signal, records, leaves } = request;
    const lose = (count: number, reason: string): void =>
      this.#lost(signal, { count, reason, leaves }, chunk.firstIndex, false);
    const body = await exporter.compress(request);
    const sinceMs = this.#clock();
    const backoff = retry === null ? null : new Backoff(retry);
    for (;;) {
      const outcome = await exporter.send(signal, body, this.#stop.signal);
      if (outcome.kind === "accepted") {
        this.#recover();
        const rejected = Math.min(outcome.rejected, records);
        if (rejected < records) onSent(signal, records - rejected);
        if (rejected > 0) lose(rejected, `rejected: ${outcome.message}`);
        return;
      }
      this.#fail(outcome.reason);
      if (outcome.kind === "refused" || backoff === null) return lose(records, outcome.reason);
      const pauseMs = backoff.next(outcome.afterMs);
      const { maxElapsedMs } = retry!;
      if (maxElapsedMs > 0 && this.#clock() - sinceMs + pauseMs > maxElapsedMs)
        return lose(records, `${outcome.reason}, for ${maxElapsedMs} ms`);
      await setTimeout(pauseMs, undefined, { signal: this.#stop.signal, ref: false });
    }
  }

  #fail(reason: string): void {
    if (this.#failure === "") {
      this.#failingSinceMs = this.#clock();
      const { logger, exporter } = this.#options;
      logger.warn({ to: exporter.destination, reason }, "the next backend does not take records");
    }
    this.#failure = reason;
    if (this.#isStopping) this.#stop.abort();
  }

  #recover(): void {
    if (this.#failure === "") return;
    this.#failure = "";
    const { logger, exporter } = this.#options;
    logger.info({ to: exporter.destination }, "the next backend takes records again");
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal, ref: false }).catch(() => {}); // aborted: the pause is over
}

function originalsOf({ firstIndex, meta }: ForwardFrame): FrameOriginals | null {
  const { signal, originals } = meta;
  if (originals === undefined || (signal !== "logs" && signal !== "traces")) return null;
  return { firstIndex, signal, bytes: originals };
}
