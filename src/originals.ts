import type { Envelope } from "./decode/envelope.ts";
import { ValueRange, readAnyValue, readKeyValue } from "./decode/any-value.ts";
import { Cursor, WireError } from "./core/wire.ts";
import { delimitedField, OriginalsWriter } from "./core/originals.ts";
import type { ValueRedactor } from "./normalise/redaction/value-redactor.ts";
import { AttributeList, VALUE_TYPES } from "./records/attributes.ts";

/** What a field holds, for who looks through it: nothing that could be a secret, a text, a KeyValue, an AnyValue, or a message. */
type Field = "plain" | "text" | "attribute" | "value" | Message;
/** By tag. A field that is not here was not sealed, and does not leave. */
type Message = ReadonlyMap<number, Field>;

/**
 * Source: opentelemetry-proto 1.11, common/v1/common.proto, resource/v1/resource.proto, logs/v1/logs.proto, trace/v1/trace.proto. The decoder has
 * checked the lengths of IDs, so that none of them can hold anything else.
 */
const ENTITY: Message = new Map([0x0a, 0x12, 0x1a, 0x22].map((tag) => [tag, "text"]));
const RESOURCE: Message = new Map<number, Field>([
  [0x0a, "attribute"],
  [0x10, "plain"],
  [0x1a, ENTITY],
]);
const SCOPE: Message = new Map<number, Field>([
  [0x0a, "text"],
  [0x12, "text"],
  [0x1a, "attribute"],
  [0x20, "plain"],
]);
const LOG: Message = new Map<number, Field>([
  [0x09, "plain"],
  [0x10, "plain"],
  [0x1a, "text"],
  [0x2a, "value"],
  [0x32, "attribute"],
  [0x38, "plain"],
  [0x45, "plain"],
  [0x4a, "plain"],
  [0x52, "plain"],
  [0x59, "plain"],
  [0x62, "text"],
]);
const EVENT: Message = new Map<number, Field>([
  [0x09, "plain"],
  [0x12, "text"],
  [0x1a, "attribute"],
  [0x20, "plain"],
]);
const SPAN_LINK: Message = new Map<number, Field>([
  [0x0a, "plain"],
  [0x12, "plain"],
  [0x1a, "text"],
  [0x22, "attribute"],
  [0x28, "plain"],
  [0x35, "plain"],
]);
const STATUS: Message = new Map<number, Field>([
  [0x12, "text"],
  [0x18, "plain"],
]);
const SPAN: Message = new Map<number, Field>([
  [0x0a, "plain"],
  [0x12, "plain"],
  [0x1a, "text"],
  [0x22, "plain"],
  [0x2a, "text"],
  [0x30, "plain"],
  [0x39, "plain"],
  [0x41, "plain"],
  [0x4a, "attribute"],
  [0x50, "plain"],
  [0x5a, EVENT],
  [0x60, "plain"],
  [0x6a, SPAN_LINK],
  [0x70, "plain"],
  [0x7a, STATUS],
  [0x85, "plain"],
]);
const RECORDS = { logs: LOG, traces: SPAN } as const;

const NOTHING = new Uint8Array(0);
const MIN_SECRET_IN_ATTRIBUTE = 8;
/** AnyValue { string_value }. */
const HIDDEN = delimitedField(0x0a, Buffer.from("[redacted]"));

/** What stands for the bytes [at, behind) of a message. */
interface Change {
  readonly at: number;
  readonly behind: number;
  readonly by: Uint8Array;
}

/**
 * Collects the records of a request as they came in, for the forwarder: what is no secret stays as it is, byte for byte, and what is sealed as redacted leaves
 * as redacted. A structured value in which something is redacted becomes the JSON text that the row has.
 */
export class Originals {
  readonly #redactor: ValueRedactor;
  readonly #ownKeys: ReadonlySet<string>;
  readonly #value = new ValueRange();
  readonly #cursor = new Cursor();
  /** Of the message that is looked through: attributes, texts, and where their fields begin and end. */
  readonly #attributes = new AttributeList();
  readonly #attributeFields: number[] = [];
  readonly #texts = new AttributeList();
  readonly #textFields: number[] = [];

  /** `ownKeys`: attributes that the forwarder adds. None that a sender wrote passes. */
  constructor(redactor: ValueRedactor, ownKeys: readonly string[]) {
    this.#redactor = redactor;
    this.#ownKeys = new Set(ownKeys);
  }

  /** Where the originals of one request are collected. */
  begin(signal: "logs" | "traces", body: Uint8Array, envelope: Envelope): RequestOriginals {
    return new RequestOriginals(this, RECORDS[signal], body, envelope);
  }

  /** What the message in [start, end) of `from` becomes; a view of it when nothing changes. With `isClean` it is known to hold no secret. */
  redact(
    from: Uint8Array,
    start: number,
    end: number,
    message: "resource" | "scope" | Message,
    isClean = false,
  ): Uint8Array {
    const shape = message === "resource" ? RESOURCE : message === "scope" ? SCOPE : message;
    if (isClean && this.#isPlain(from, start, end, shape)) return from.subarray(start, end);
    return this.#readable(from, start, end, shape) ?? from.subarray(start, end);
  }

  /**
   * The LogRecord `record`, made of `before`, without any of the secrets: a line does not always tell what its format does. A body in which one still stands, or
   * may stand in a spelling that cannot be found, goes as a whole, and so does an attribute; in these a short one is a word like others, and has been looked at under its key.
   */
  withoutSecrets(before: Buffer, record: Uint8Array, secrets: readonly Buffer[]): Uint8Array {
    const bytes = Buffer.from(record.buffer, record.byteOffset, record.length);
    const isUnseen = secrets.some((secret) => !before.includes(secret));
    if (!isUnseen && !secrets.some((secret) => bytes.includes(secret))) return record;
    const long = secrets.filter(({ length }) => length >= MIN_SECRET_IN_ATTRIBUTE);
    const changes: Change[] = [];
    const cursor = this.#cursor;
    cursor.reset(record, 0);
    while (cursor.position < record.length) {
      const at = cursor.position;
      const tag = cursor.varint(record.length);
      cursor.skip(tag, record.length);
      const behind = cursor.position;
      const field = LOG.get(tag);
      const content = bytes.subarray(at, behind);
      if (field === "value" && (isUnseen || secrets.some((secret) => content.includes(secret))))
        changes.push({ at, behind, by: delimitedField(tag, HIDDEN) });
      else if (field === "attribute" && long.some((secret) => content.includes(secret)))
        changes.push({ at, behind, by: NOTHING });
    }
    return changes.length === 0 ? record : changed(record, 0, record.length, changes);
  }

  /** A text, such as a schema URL. */
  text(bytes: Uint8Array): Uint8Array {
    this.#attributes.count = this.#texts.count = 0;
    this.#texts.push(0, 0, VALUE_TYPES.string, 0, bytes.length);
    const isFound = this.#redactor.look(bytes, 0, bytes.length, this.#attributes, this.#texts);
    return (isFound ? this.#redactor.text(0) : null) ?? bytes;
  }

  reset(): void {
    this.#redactor.reset();
    this.#cursor.reset(NOTHING, 0);
  }

  /** As `#message`; one that cannot be read, where the row needed nothing of it, becomes empty. */
  #readable(from: Uint8Array, start: number, end: number, shape: Message): Uint8Array | null {
    try {
      return this.#message(from, start, end, shape);
    } catch (error) {
      if (error instanceof WireError) return NOTHING;
      throw error;
    }
  }

  /** Has the message known fields alone, each text once (of two the row has the last), and no attribute of ours? */
  #isPlain(from: Uint8Array, start: number, end: number, shape: Message): boolean {
    const cursor = this.#cursor;
    const attributes = this.#attributes;
    let seen = 0;
    cursor.reset(from, start);
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      const field = shape.get(tag);
      if (field === undefined) return false;
      if (field === "attribute") {
        const fieldEnd = cursor.delimited(end);
        attributes.count = 0;
        readKeyValue(cursor, fieldEnd, attributes, this.#value);
        if (this.#isOwn(from, attributes)) return false;
        continue;
      }
      // Events and links of a span may be many; each has its texts in the row, as often as they come.
      const bit = field === "text" || field === "value" ? 1 << (tag >>> 3) : 0;
      if ((seen & bit) !== 0) return false;
      seen |= bit;
      cursor.skip(tag, end);
    }
    return true;
  }

  /** What stands for the message, or null when it stays as it is. */
  #message(from: Uint8Array, start: number, end: number, shape: Message): Uint8Array | null {
    const changes: Change[] = [];
    const children: { at: number; tag: number; start: number; end: number; shape: Message }[] = [];
    const cursor = this.#cursor;
    const attributes = this.#attributes;
    const texts = this.#texts;
    attributes.count = texts.count = 0;
    this.#attributeFields.length = this.#textFields.length = 0;
    cursor.reset(from, start);
    while (cursor.position < end) {
      const at = cursor.position;
      const tag = cursor.varint(end);
      const field = shape.get(tag);
      if (field === "plain" || field === undefined) {
        cursor.skip(tag, end);
        if (field === undefined) changes.push({ at, behind: cursor.position, by: NOTHING });
        continue;
      }
      const fieldEnd = cursor.delimited(end);
      const contentStart = cursor.position;
      if (field === "attribute") {
        readKeyValue(cursor, fieldEnd, attributes, this.#value);
        if (this.#isOwn(from, attributes)) {
          attributes.count--;
          changes.push({ at, behind: fieldEnd, by: NOTHING });
        } else this.#attributeFields.push(at, tag, fieldEnd);
      } else if (field === "text") {
        texts.push(0, 0, VALUE_TYPES.string, contentStart, fieldEnd);
        this.#textFields.push(at, tag, fieldEnd);
      } else if (field === "value") {
        readAnyValue(cursor, fieldEnd, this.#value);
        texts.push(0, 0, this.#value.type, this.#value.start, this.#value.end);
        this.#textFields.push(at, tag, fieldEnd);
      } else children.push({ at, tag, start: contentStart, end: fieldEnd, shape: field });
      cursor.position = fieldEnd;
    }
    if (this.#redactor.look(from, start, end, attributes, texts)) this.#change(shape, changes);
    for (const child of children) {
      const by = this.#readable(from, child.start, child.end, child.shape);
      if (by !== null)
        changes.push({ at: child.at, behind: child.end, by: delimitedField(child.tag, by) });
    }
    return changes.length === 0 ? null : changed(from, start, end, changes);
  }

  /** Notes what the redactor makes of the attributes and texts that it has looked at. */
  #change(shape: Message, changes: Change[]): void {
    const fields = this.#attributeFields;
    for (let i = 0; i < this.#attributes.count; i++) {
      const redacted = this.#redactor.attribute(i);
      if (redacted === null) continue;
      const value = delimitedField(0x12, delimitedField(0x0a, redacted.text));
      const content = Buffer.concat([delimitedField(0x0a, redacted.key), value]);
      const by = delimitedField(fields[3 * i + 1]!, content);
      changes.push({ at: fields[3 * i]!, behind: fields[3 * i + 2]!, by });
    }
    const textFields = this.#textFields;
    for (let i = 0; i < this.#texts.count; i++) {
      const text = this.#redactor.text(i);
      if (text === null) continue;
      const tag = textFields[3 * i + 1]!;
      const content = shape.get(tag) === "value" ? delimitedField(0x0a, text) : text;
      const by = delimitedField(tag, content);
      changes.push({ at: textFields[3 * i]!, behind: textFields[3 * i + 2]!, by });
    }
  }

  /** Is the attribute read last one of ours? */
  #isOwn(from: Uint8Array, { count, keyStart, keyEnd }: AttributeList): boolean {
    const start = keyStart[count - 1]!;
    const end = keyEnd[count - 1]!;
    for (let i = 0; i < OWN_PREFIX.length; i++)
      if (start + i >= end || from[start + i] !== OWN_PREFIX[i]) return false;
    return this.#ownKeys.has(Buffer.from(from.subarray(start, end)).toString("latin1"));
  }
}

/** [start, end) of `from` with its changes. */
function changed(from: Uint8Array, start: number, end: number, changes: Change[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  let copied = start;
  for (const { at, behind, by } of changes.sort((a, b) => a.at - b.at)) {
    pieces.push(from.subarray(copied, at), by);
    copied = behind;
  }
  pieces.push(from.subarray(copied, end));
  return Buffer.concat(pieces);
}

/** All keys of ours begin so: others are told apart by a byte or two. */
const OWN_PREFIX = Buffer.from("meshproof.");

/** The originals of one request, in its order. */
export class RequestOriginals {
  readonly #originals: Originals;
  readonly #shape: Message;
  readonly #body: Uint8Array;
  readonly #envelope: Envelope;
  readonly #writer: OriginalsWriter;
  #scope = -1;
  #resource: Uint8Array | undefined;

  constructor(originals: Originals, shape: Message, body: Uint8Array, envelope: Envelope) {
    this.#originals = originals;
    this.#shape = shape;
    this.#body = body;
    this.#envelope = envelope;
    this.#writer = new OriginalsWriter(body.length, envelope.count);
  }

  /**
   * Record `i` of the envelope became row number `row` of its section; `isBehind` when access records of the request come before that section, `isClean` when the
   * row holds all texts of the record, and none of them was redacted.
   */
  add(i: number, row: number, isBehind: boolean, isClean: boolean): void {
    this.#writer.record(this.#redacted(i, isClean), row, isBehind);
  }

  /** The same for one that became an access record; `secrets` are what was redacted in its row. */
  addAccess(i: number, row: number, secrets: readonly Buffer[]): void {
    const record = this.#redacted(i, false);
    if (secrets.length === 0) return this.#writer.record(record, row, false);
    const { recordStart, recordEnd } = this.#envelope;
    const { buffer, byteOffset } = this.#body;
    const start = recordStart[i]!;
    const before = Buffer.from(buffer, byteOffset + start, recordEnd[i]! - start);
    this.#writer.record(this.#originals.withoutSecrets(before, record, secrets), row, false);
  }

  #redacted(i: number, isClean: boolean): Uint8Array {
    const { recordScope, recordStart, recordEnd } = this.#envelope;
    if (recordScope[i] !== this.#scope) this.#enter(recordScope[i]!);
    const start = recordStart[i]!;
    return this.#originals.redact(this.#body, start, recordEnd[i]!, this.#shape, isClean);
  }

  /** All of them, when `accessRows` of them became access records; null when there is none. */
  finish(accessRows: number): Uint8Array | null {
    this.#originals.reset();
    return this.#writer.finish(accessRows);
  }

  #enter(scope: number): void {
    this.#scope = scope;
    const range = this.#envelope.scopes[scope]!;
    const originals = this.#originals;
    const schema = (url: Uint8Array): Uint8Array =>
      url.length === 0 ? NOTHING : delimitedField(0x1a, originals.text(url));
    const around = (message: Uint8Array, kind: "resource" | "scope", url: Uint8Array): Uint8Array =>
      Buffer.concat([
        delimitedField(0x0a, originals.redact(message, 0, message.length, kind)),
        schema(url),
      ]);
    // The scopes of one resource share its bytes.
    const isSame = range.resource === this.#resource && range.resource.length > 0;
    this.#resource = range.resource;
    this.#writer.scope(
      isSame ? null : around(range.resource, "resource", range.resourceSchemaUrl),
      around(range.scope, "scope", range.scopeSchemaUrl),
    );
  }
}
