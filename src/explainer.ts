import type { Config } from "./config/options.ts";
import { KINDS } from "./core/kinds.ts";
import { nowNanos } from "./core/time.ts";
import { Cursor, WireError } from "./core/wire.ts";
import { ValueRange } from "./decode/any-value.ts";
import { Envelope, indexRequest, readScope } from "./decode/envelope.ts";
import { transcodeLogs } from "./decode/json.ts";
import { readLogRecord } from "./decode/logs.ts";
import { compileFormats, createNormaliser } from "./formats.ts";
import type { Dialect } from "./normalise/dialect.ts";
import { DIALECTS } from "./normalise/load-dialects.ts";
import { findNearest, type Near } from "./normalise/nearest.ts";
import type { Normaliser } from "./normalise/normaliser.ts";
import { findOrigins, type Origin } from "./normalise/provenance.ts";
import type { AccessColumn } from "./records/access-draft.ts";
import { writeAccessRow } from "./records/access-row.ts";
import { TABLES } from "./records/columns.ts";
import { cutRow } from "./records/cut.ts";
import { ShapeCache } from "./records/key-shape.ts";
import { ScopeView } from "./records/resource.ts";
import { type RecordJson, rowToJson } from "./records/row-json.ts";
import { encodeScopeColumns } from "./records/scope-columns.ts";
import { RowHead, SectionBuilder } from "./records/section-builder.ts";
import { ValueWriter } from "./records/value-text.ts";
import { LogView } from "./records/views.ts";

export type { Near } from "./normalise/nearest.ts";
export type { Origin, Source } from "./normalise/provenance.ts";

/** What would become of a log record. */
export type Explained =
  | {
      /** The dialect that claims it: it becomes an access record. */
      readonly dialect: string;
      /** The columns of access_records, as they would be sealed but for who sent it, and when. */
      readonly record: RecordJson;
      readonly origins: ReadonlyMap<AccessColumn, Origin>;
    }
  | {
      /** No dialect claims it: it becomes a log. */
      readonly dialect: null;
      readonly near: Near;
    }
  | {
      /** It cannot be read, and would be rejected alone. */
      readonly dialect: undefined;
      readonly reason: string;
    };

/** Text attributes that something between the proxy and meshproof would add, such as a Collector. */
export interface Added {
  readonly resource: Readonly<Record<string, string>>;
  readonly record: Readonly<Record<string, string>>;
}

const NOTHING_ADDED: Added = { resource: {}, record: {} };
/** As in a request to the server. */
const MAX_RECORDS = 500_000;
/** A log of its own, since nothing is sealed. */
const LOG_ID = "0".repeat(16);

/** Says what meshproof would make of log records under a configuration, and why. Nothing is kept, no server is needed. */
export class Explainer {
  readonly #normaliser: Normaliser;
  readonly #dialects: readonly Dialect[];
  readonly #maxRecordBytes: number;
  readonly #shapes = new ShapeCache();
  readonly #section = new SectionBuilder(KINDS.access);
  readonly #values: ValueWriter;
  readonly #now: () => bigint;

  /** `now` is the time at which records arrive. Throws: CONFIG_INVALID. */
  constructor(config: Config, now: () => bigint = nowNanos) {
    this.#now = now;
    this.#dialects = [...compileFormats(config), ...DIALECTS];
    this.#maxRecordBytes = config.processors.normalise.max_record_size;
    this.#normaliser = createNormaliser(config);
    this.#values = new ValueWriter(this.#normaliser.redactor.hidesSecret);
  }

  /**
   * The records of an ExportLogsServiceRequest in OTLP/JSON, one after the other.
   * Throws: BAD_REQUEST when it is none; BODY_TOO_LARGE when it has more than MAX_RECORDS.
   */
  *explain(request: Uint8Array, added: Added = NOTHING_ADDED): Generator<Explained> {
    const { body, envelope } = readRequest(request);
    const more = readRequest(requestOf(added));
    const scopes = withResource(envelope, more.envelope);
    const moreOfRecord = recordIn(more, 0);
    for (let i = 0; i < envelope.count; i++) {
      const scope = new ScopeView();
      readScope(scopes, envelope.recordScope[i]!, scope);
      try {
        yield this.#explain(Buffer.concat([recordIn({ body, envelope }, i), moreOfRecord]), scope);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        yield { dialect: undefined, reason: error.message };
      }
    }
  }

  #explain(bytes: Uint8Array, scope: ScopeView): Explained {
    const normaliser = this.#normaliser;
    const view = new LogView();
    const cursor = new Cursor();
    cursor.reset(bytes, 0);
    readLogRecord(cursor, 0, bytes.length, view, new ValueRange());
    const traits = normaliser.scope(scope);
    if (!normaliser.recognise(view, this.#shapes.find(bytes, view.attributes), traits))
      return {
        dialect: null,
        near: findNearest(view, traits, this.#dialects, normaliser.redactor),
      };
    return {
      dialect: normaliser.dialectName!,
      record: this.#recordOf(scope),
      origins: findOrigins(normaliser, view, scope),
    };
  }

  /** The row of the record that was recognised last, redacted and read back. */
  #recordOf(scope: ScopeView): RecordJson {
    const section = this.#section;
    const { draft, view, shape, redactor } = this.#normaliser;
    const columns = redactor.redactScope(encodeScopeColumns(scope, this.#values));
    const receivedAtNs = this.#now();
    const received = { receivedAtNs, sender: "", senderAuth: "none", retentionClass: "default" };
    section.reset();
    writeAccessRow(
      section,
      new RowHead(LOG_ID, KINDS.access, received),
      draft,
      view,
      shape,
      columns,
      receivedAtNs,
      this.#values,
    );
    redactor.redactRow(section, columns, shape);
    if (section.rowLength > this.#maxRecordBytes)
      section.replaceRow(cutRow(TABLES.access, section.row, this.#maxRecordBytes));
    return rowToJson(KINDS.access, section.row);
  }
}

interface Request {
  readonly body: Uint8Array;
  readonly envelope: Envelope;
}

function readRequest(json: Uint8Array): Request {
  const steps = transcodeLogs(json);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return { body: step.value, envelope: indexRequest(step.value, MAX_RECORDS) };
}

function recordIn({ body, envelope }: Request, i: number): Uint8Array {
  return body.subarray(envelope.recordStart[i], envelope.recordEnd[i]);
}

/** A request of one record that has nothing but what is to be added. */
function requestOf({ resource, record }: Added): Uint8Array {
  const listOf = (texts: Readonly<Record<string, string>>): object[] =>
    Object.entries(texts).map(([key, stringValue]) => ({ key, value: { stringValue } }));
  const scopeLogs = [{ logRecords: [{ attributes: listOf(record) }] }];
  const resourceLogs = [{ resource: { attributes: listOf(resource) }, scopeLogs }];
  return Buffer.from(JSON.stringify({ resourceLogs }));
}

/**
 * The scopes of `envelope`, their resources with that of `more` behind. A message of protobuf behind another is the merge of both, lists appended
 * (protobuf encoding, "Last One Wins"); records are merged likewise.
 */
function withResource(envelope: Envelope, more: Envelope): Envelope {
  const merged = new Envelope();
  const added = more.scopes[0]!.resource;
  for (const scope of envelope.scopes)
    merged.scopes.push({ ...scope, resource: Buffer.concat([scope.resource, added]) });
  return merged;
}
