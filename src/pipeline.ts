import { setImmediate } from "node:timers/promises";
import type { ExportResult, OtlpConsumer, OtlpRequest, Signal } from "./core/consumer.ts";
import { countRows, type RowSection } from "./core/rows.ts";
import { noteIdentityConflicts } from "./correlate/identity-conflicts.ts";
import type { FindingLedger } from "./correlate/ledger.ts";
import { noteRequest } from "./correlation.ts";
import { transcodeLogs, transcodeTraces } from "./decode/json.ts";
import { MAX_SLICE_MS, type RequestEncoder } from "./encoder.ts";
import { batchKey } from "./journal/batch-key.ts";
import type { DeduplicationWindow } from "./journal/deduplication.ts";
import { internalMeta } from "./journal/frame.ts";
import type { Journal } from "./journal/journal.ts";

/** What the pipeline reports of each request, for metrics. */
export interface PipelineObserver {
  /** A body was turned into rows. */
  decoded(signal: Signal, seconds: number): void;
  /** Its rows are durable. `dialects` counts the access records among them. */
  accepted(
    signal: Signal,
    records: number,
    rejected: number,
    dialects: ReadonlyMap<string, number>,
  ): void;
  /** It had come before. */
  deduplicated(signal: Signal): void;
}

export interface PipelineParts {
  readonly encoder: RequestEncoder;
  readonly journal: Journal;
  /** null: every batch is taken as new. */
  readonly deduplication: DeduplicationWindow | null;
  /** Of the keys in it; see journal/batch-key.ts. */
  readonly batchSecret: Uint8Array;
  readonly ledger: FindingLedger;
  readonly observer: PipelineObserver;
}

/** What no rule of `processors.retention` gives another class is of this one. */
export const DEFAULT_RETENTION_CLASS = "default";

/** Envoy's access logger and tracer never send a batch twice, so two equal batches are two batches. */
const NEVER_RESENDS = /^OTel-OTLP-Exporter-Envoy\//;

/**
 * What happens to a request, in the order of the data path: receive → decode → normalise → journal → 200. Sealing, correlation and storing
 * follow from the journal, in the order of the log, once the rows are durable (see server.ts).
 */
export class Pipeline implements OtlpConsumer {
  readonly #parts: PipelineParts;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
  }

  /** Resolves when the request's records are durable, or were so already. Throws: MeshproofError when none of them was taken. */
  async consume(request: OtlpRequest): Promise<ExportResult> {
    const { deduplication, batchSecret, observer } = this.#parts;
    if (deduplication === null || NEVER_RESENDS.test(request.userAgent))
      return this.#take(request, null);
    const key = batchKey(batchSecret, request);
    const claim = deduplication.claim(key);
    if (claim.state !== "new") {
      observer.deduplicated(request.signal);
      return claim.state === "done" ? claim.answer : claim.result;
    }
    try {
      const result = await this.#take(request, key);
      deduplication.settle(key, result);
      return result;
    } catch (error) {
      deduplication.abandon(key, error as Error);
      throw error;
    }
  }

  async #take(request: OtlpRequest, key: Uint8Array | null): Promise<ExportResult> {
    const { encoder, journal, ledger, observer } = this.#parts;
    const { signal, sender, receivedAtNs } = request;
    const started = performance.now();
    const encoded = await encoder.encode(signal, await toProtobuf(request), {
      receivedAtNs,
      sender: sender.name,
      senderAuth: sender.auth,
      retentionClass: DEFAULT_RETENTION_CLASS,
    });
    const { sections, rejected, message, cut, conflicts, dialects, originals } = encoded;
    observer.decoded(signal, (performance.now() - started) / 1000);
    // Also without a row: what was rejected must not be forgotten by a crash before its finding is sealed.
    if (sections.length > 0 || rejected > 0) {
      const meta = { signal, key, receivedAtNs, rejected, message, sender: sender.name, cut };
      const { placed, durable } = journal.append(
        { sections },
        originals === undefined ? meta : { ...meta, originals },
      );
      await durable;
      noteRequest(ledger, { ...placed, meta });
      noteIdentityConflicts(ledger, conflicts, { firstIndex: placed.firstIndex, receivedAtNs });
    }
    observer.accepted(signal, countRows({ sections }), rejected, dialects);
    return { rejected, message };
  }

  /** Seals rows of our own: control records, findings, links. They may use the journal's reserve. */
  async seal(sections: readonly RowSection[], nowNs: bigint): Promise<void> {
    await this.#parts.journal.append({ sections }, internalMeta(nowNs), { reserve: true }).durable;
  }
}

async function toProtobuf({ encoding, signal, body }: OtlpRequest): Promise<Uint8Array> {
  if (encoding === "protobuf") return body;
  const transcoding = signal === "logs" ? transcodeLogs(body) : transcodeTraces(body);
  for (let sliceStart = performance.now(); ;) {
    const step = transcoding.next();
    if (step.done === true) return step.value;
    if (performance.now() - sliceStart <= MAX_SLICE_MS) continue;
    await setImmediate();
    sliceStart = performance.now();
  }
}
