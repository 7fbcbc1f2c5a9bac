import { setImmediate } from "node:timers/promises";
import { MeshproofError } from "./core/errors.ts";
import { KINDS, type Kind } from "./core/kinds.ts";
import type { RowSection } from "./core/rows.ts";
import { Cursor, WireError } from "./core/wire.ts";
import { type FoundConflicts, IdentityConflicts } from "./correlate/identity-conflicts.ts";
import { ValueRange } from "./decode/any-value.ts";
import { type Envelope, indexRequest, readScope } from "./decode/envelope.ts";
import { readLogRecord } from "./decode/logs.ts";
import { readSpan } from "./decode/spans.ts";
import type { Normaliser, ScopeTraits } from "./normalise/normaliser.ts";
import type { RedactedScope } from "./normalise/redaction/row-redactor.ts";
import type { RetentionRules } from "./normalise/retention-rules.ts";
import type { Originals } from "./originals.ts";
import { writeAccessRow } from "./records/access-row.ts";
import { BufferPool } from "./records/buffer-pool.ts";
import { TABLE_OF_KIND } from "./records/columns.ts";
import { cutRow } from "./records/cut.ts";
import { ShapeCache } from "./records/key-shape.ts";
import { writeLogRow } from "./records/log-row.ts";
import { ScopeView } from "./records/resource.ts";
import { encodeScopeColumns, type ScopeColumns } from "./records/scope-columns.ts";
import { type ReceivedFields, RowHead, SectionBuilder } from "./records/section-builder.ts";
import { writeSpanRow } from "./records/span-row.ts";
import { ValueWriter } from "./records/value-text.ts";
import { LogView, SpanView } from "./records/views.ts";

export interface EncoderOptions {
  readonly logId: string;
  readonly normaliser: Normaliser;
  /** Without them all records are of the class of their request. */
  readonly retentionRules?: RetentionRules | null;
  /** A row is at most this long; longer values are cut. */
  readonly maxRecordBytes: number;
  /** The rows of one request take at most this many bytes: a small body can repeat a large resource in every record. */
  readonly maxEncodedBytes: number;
  /** Collects the records as they came in, for a forwarder; without one nothing does. */
  readonly originals?: Originals;
}

/** What became of a request's records. */
export interface EncodedRequest {
  readonly sections: readonly RowSection[];
  /** Records that could not be read, each refused alone. */
  readonly rejected: number;
  /** Why the first of them was rejected; empty when none was. */
  readonly message: string;
  /** Records whose values had to be cut. */
  readonly cut: number;
  /** Access records whose sources contradict each other on who called. */
  readonly conflicts: FoundConflicts;
  /** Access records by dialect. */
  readonly dialects: ReadonlyMap<string, number>;
  /** The records as they came in (core/originals.ts); undefined where nobody collects them or there are none. */
  readonly originals?: Uint8Array;
}

/** Records in one request, at most: an empty record takes two bytes and becomes a row of some 200. */
const MAX_RECORDS = 500_000;
/** The event loop is served at least this often while a large request is decoded. */
export const MAX_SLICE_MS = 4;
/** Memory for rows that is kept while nobody needs it. */
const MAX_IDLE_BYTES = 64 * 1024 * 1024;
/** Records between two looks at the clock. */
const RECORDS_PER_LOOK = 32;

/** Buffers and views that one request uses from its first record to its last. */
class Workspace {
  readonly cursor = new Cursor();
  readonly value = new ValueRange();
  readonly values: ValueWriter;
  readonly conflicts = new IdentityConflicts();
  readonly scope = new ScopeView();
  readonly logs: SectionBuilder;
  readonly access: SectionBuilder;
  readonly spans: SectionBuilder;

  constructor(pool: BufferPool, values: ValueWriter) {
    this.values = values;
    this.logs = new SectionBuilder(KINDS.log, pool);
    this.access = new SectionBuilder(KINDS.access, pool);
    this.spans = new SectionBuilder(KINDS.span, pool);
  }
}

/** The heads of the rows of one kind in a request, by the number of their retention class; each is made when it is first needed. */
class RowHeads {
  readonly #logId: string;
  readonly #kind: Kind;
  readonly #received: ReceivedFields;
  readonly #classes: readonly string[];
  readonly #heads: RowHead[] = [];

  constructor(logId: string, kind: Kind, received: ReceivedFields, rules: RetentionRules | null) {
    this.#logId = logId;
    this.#kind = kind;
    this.#received = received;
    this.#classes = rules?.classes ?? [received.retentionClass];
  }

  of(classNumber: number): RowHead {
    return (this.#heads[classNumber] ??= new RowHead(this.#logId, this.#kind, {
      ...this.#received,
      retentionClass: this.#classes[classNumber]!,
    }));
  }
}

/**
 * Turns the body of an export request into rows: decode → normalise → row. This is the hot path: what it does for a record
 * it does on bytes in place, without strings and without an object for an attribute.
 */
export class RequestEncoder {
  readonly #options: EncoderOptions;
  readonly #pool = new BufferPool(MAX_IDLE_BYTES);
  readonly #idle: Workspace[] = [];
  readonly #log = new LogView();
  readonly #span = new SpanView();
  readonly #logShapes = new ShapeCache();
  readonly #spanShapes = new ShapeCache();

  constructor(options: EncoderOptions) {
    this.#options = options;
    if (options.originals !== undefined) options.normaliser.redactor.keepSecrets();
  }

  /**
   * Rows of an ExportLogsServiceRequest (`signal` logs) or ExportTraceServiceRequest (traces) in protobuf.
   * Throws: BAD_REQUEST when the message cannot be read; BODY_TOO_LARGE when it has too many records or they grow too large.
   */
  async encode(
    signal: "logs" | "traces",
    body: Uint8Array,
    received: ReceivedFields,
  ): Promise<EncodedRequest> {
    const envelope = indexRequest(body, MAX_RECORDS);
    const space = this.#idle.pop() ?? this.#newWorkspace();
    try {
      return await this.#encodeRecords(signal, body, envelope, received, space);
    } finally {
      space.logs.reset();
      space.access.reset();
      space.spans.reset();
      space.conflicts.take();
      this.#idle.push(space);
    }
  }

  #newWorkspace(): Workspace {
    const { redactor } = this.#options.normaliser;
    return new Workspace(this.#pool, new ValueWriter(redactor.hidesSecret));
  }

  async #encodeRecords(
    signal: "logs" | "traces",
    body: Uint8Array,
    envelope: Envelope,
    received: ReceivedFields,
    space: Workspace,
  ): Promise<EncodedRequest> {
    const { logId, normaliser, maxRecordBytes, maxEncodedBytes } = this.#options;
    const { retentionRules = null } = this.#options;
    const isLogs = signal === "logs";
    const heads = new RowHeads(logId, isLogs ? KINDS.log : KINDS.span, received, retentionRules);
    const accessHeads = isLogs
      ? new RowHeads(logId, KINDS.access, received, retentionRules)
      : heads;
    let mainHead = heads.of(0);
    let accessHead = accessHeads.of(0);
    const { cursor, value, values, scope, logs, access, spans } = space;
    const { redactor } = normaliser;
    let columns: RedactedScope | undefined;
    let traits: ScopeTraits | undefined;
    let scopeNumber = -1;
    let rejected = 0;
    let message = "";
    let cut = 0;
    const dialects = new Map<string, number>();
    let dialect: string | undefined;
    let dialectCount = 0;
    let sliceStart = performance.now();
    const originals = this.#options.originals?.begin(signal, body, envelope);
    cursor.reset(body, 0);
    for (let i = 0; i < envelope.count; i++) {
      if (i % RECORDS_PER_LOOK === 0 && performance.now() - sliceStart > MAX_SLICE_MS) {
        await setImmediate();
        sliceStart = performance.now();
      }
      if (envelope.recordScope[i] !== scopeNumber) {
        scopeNumber = envelope.recordScope[i]!;
        readScope(envelope, scopeNumber, scope);
        columns = redactor.redactScope(encodeScope(scope, scopeNumber, values));
        if (isLogs) traits = normaliser.scope(scope);
        if (retentionRules !== null) mainHead = heads.of(retentionRules.ofScope(scope));
      }
      const start = envelope.recordStart[i]!;
      const end = envelope.recordEnd[i]!;
      let section = isLogs ? logs : spans;
      let isClean = false;
      try {
        if (isLogs) {
          const log = this.#log;
          readLogRecord(cursor, start, end, log, value);
          const shape = this.#logShapes.find(body, log.attributes);
          if (normaliser.recognise(log, shape, traits!)) {
            section = access;
            if (normaliser.dialectName !== dialect) {
              addCount(dialects, dialect, dialectCount);
              dialect = normaliser.dialectName;
              dialectCount = 0;
            }
            if (retentionRules !== null)
              accessHead = accessHeads.of(retentionRules.ofAccess(normaliser.draft));
            writeAccessRow(
              section,
              accessHead,
              normaliser.draft,
              normaliser.view,
              normaliser.shape,
              columns!,
              received.receivedAtNs,
              values,
            );
            redactor.redactRow(section, columns!, normaliser.shape);
          } else {
            writeLogRow(section, mainHead, log, shape, columns!, received.receivedAtNs, values);
            isClean = redactor.redactRow(section, columns!, shape);
          }
        } else {
          const span = this.#span;
          readSpan(cursor, start, end, span, value);
          const shape = this.#spanShapes.find(body, span.attributes);
          writeSpanRow(section, mainHead, span, shape, columns!, received.receivedAtNs, values);
          isClean = redactor.redactRow(section, columns!, shape);
        }
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        section.abort();
        if (rejected++ === 0) message = `${isLogs ? "log record" : "span"} ${i}: ${error.message}`;
        continue;
      }
      if (section.rowLength > maxRecordBytes) {
        section.replaceRow(cutRow(TABLE_OF_KIND.get(section.kind)!, section.row, maxRecordBytes));
        cut++;
      }
      // Access records come first among the rows of a request, so that their places are those in their section.
      if (section === access && normaliser.draft.mayHaveConflict)
        space.conflicts.look(access.row, access.count);
      section.close();
      // The row of a log or a span holds all of the record. That of an access record may not; what it took from a line may be a secret that the line alone does not tell.
      if (section === access) originals?.addAccess(i, section.count - 1, redactor.secrets);
      else originals?.add(i, section.count - 1, section === logs, isClean);
      if (section === access) dialectCount++;
      if (logs.byteCount + access.byteCount + spans.byteCount > maxEncodedBytes) {
        throw new MeshproofError(
          "BODY_TOO_LARGE",
          `expected the records of a request to take at most ${maxEncodedBytes} bytes as rows, got more after ${i + 1} of ${envelope.count} records`,
        );
      }
    }
    const kept = originals?.finish(access.count) ?? null;
    const sections = [access, logs, spans]
      .filter((builder) => builder.count > 0)
      .map((builder) => builder.take());
    addCount(dialects, dialect, dialectCount);
    return {
      sections,
      rejected,
      message,
      cut,
      conflicts: space.conflicts.take(),
      dialects,
      ...(kept === null ? {} : { originals: kept }),
    };
  }
}

function addCount(counts: Map<string, number>, name: string | undefined, count: number): void {
  if (name !== undefined && count > 0) counts.set(name, (counts.get(name) ?? 0) + count);
}

/** A nested value of a resource or scope that cannot be read spoils all its records, and so the request. */
function encodeScope(scope: ScopeView, scopeNumber: number, values: ValueWriter): ScopeColumns {
  try {
    return encodeScopeColumns(scope, values);
  } catch (error) {
    if (error instanceof WireError)
      throw new MeshproofError(
        "BAD_REQUEST",
        `expected resource and scope number ${scopeNumber} to be protobuf: ${error.message}`,
      );
    throw error;
  }
}
