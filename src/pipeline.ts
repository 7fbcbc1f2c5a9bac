import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { ExportResult, OtlpConsumer, OtlpRequest, Signal } from "./core/consumer.ts";
import { countRows, type RowSection } from "./core/rows.ts";
import type { FindingLedger } from "./correlate/findings.ts";
import { transcodeLogs, transcodeTraces } from "./decode/json.ts";
import type { RequestEncoder } from "./encoder.ts";
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
  readonly ledger: FindingLedger;
  readonly observer: PipelineObserver;
}

/** Rows of configured retention classes come later; until a rule says otherwise a record is of this class. */
export const DEFAULT_RETENTION_CLASS = "default";

/** Envoy's access logger and tracer never send a batch twice, so two equal batches are two batches. */
const NEVER_RESENDS = /^OTel-OTLP-Exporter-Envoy\//;
/** A body is hashed in pieces of this size, and the event loop served in between: about 2 ms each. */
const HASH_SLICE_BYTES = 2 * 1024 * 1024;

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
    const { deduplication, observer } = this.#parts;
    if (deduplication === null || NEVER_RESENDS.test(request.userAgent))
      return this.#take(request, null);
    const key = await deduplicationKey(request);
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
    const encoded = await encoder.encode(signal, toProtobuf(request), {
      receivedAtNs,
      sender: sender.name,
      senderAuth: sender.auth,
      retentionClass: DEFAULT_RETENTION_CLASS,
    });
    const { sections, rejected, message, cut, dialects } = encoded;
    observer.decoded(signal, (performance.now() - started) / 1000);
    if (sections.length > 0) {
      const meta = { signal, key, receivedAtNs, rejected, message };
      await journal.append({ sections }, meta).durable;
    }
    observer.accepted(signal, countRows({ sections }), rejected, dialects);
    if (rejected > 0) ledger.note("rejected_record", sender.name, receivedAtNs, rejected, message);
    if (cut > 0) ledger.note("truncated", sender.name, receivedAtNs, cut);
    return { rejected, message };
  }

  /** Seals rows of our own: control records, findings, links. They may use the journal's reserve. */
  async seal(sections: readonly RowSection[], nowNs: bigint): Promise<void> {
    await this.#parts.journal.append({ sections }, internalMeta(nowNs), { reserve: true }).durable;
  }
}

function toProtobuf({ encoding, signal, body }: OtlpRequest): Uint8Array {
  if (encoding === "protobuf") return body;
  return signal === "logs" ? transcodeLogs(body) : transcodeTraces(body);
}

/** SHA-256 of signal, sender and inflated body. */
async function deduplicationKey({ signal, sender, body }: OtlpRequest): Promise<Uint8Array> {
  const hash = createHash("sha256").update(`${signal}\0${sender.auth}\0${sender.name}\0`);
  for (let at = 0; at < body.length; at += HASH_SLICE_BYTES) {
    if (at > 0) await setImmediate();
    hash.update(body.subarray(at, at + HASH_SLICE_BYTES));
  }
  return hash.digest();
}
