import type { Envelope } from "./decode/envelope.ts";
import { ValueRange, readAnyValue, readKeyValue } from "./decode/any-value.ts";
import { Cursor } from "./core/wire.ts";
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

/**
 * Collects the records of a request as they came in, for the forwarder: what is no secret stays as it is, byte for byte, and what is sealed as redacted leaves
 * as redacted. A structured value in which something is redacted becomes the JSON text that the row has. One collects at a time.
 */
export class Originals {
  readonly #redactor: ValueRedactor;
  readonly #ownKeys: ReadonlySet<string>;
  readonly #list = new AttributeList();
  readonly #value = new ValueRange();
  readonly #cursor = new Cursor();

  /** `ownKeys`: attributes that the forwarder adds. None that a sender wrote passes. */
  constructor(redactor: ValueRedactor, ownKeys: readonly string[]) {
    this.#redactor = redactor;
    this.#ownKeys = new Set(ownKeys);
  }

  /** Where the originals of one request are collected. */
  begin(signal: "logs" | "traces", body: Uint8Array, envelope: Envelope): RequestOriginals {
    return new RequestOriginals(this, RECORDS[signal], body, envelope);
  }

  /** What the message in [start, end) of `from` becomes; a view of it when nothing changes. Throws: WireError. */
  redact(from: Uint8Array, start: number, end: number, message: "resource" | "scope" | Message) {
    const shape = message === "resource" ? RESOURCE : message === "scope" ? SCOPE : message;
    return this.#message(from, start, end, shape) ?? from.subarray(start, end);
  }

  /** A text, such as a schema URL. */
  text(bytes: Uint8Array): Uint8Array {
    return this.#redactor.text(bytes, VALUE_TYPES.string, 0, bytes.length) ?? bytes;
  }

  reset(): void {
    this.#redactor.reset();
    this.#cursor.reset(NOTHING, 0);
  }

  /** What stands for the message, or null when it stays as it is. */
  #message(from: Uint8Array, start: number, end: number, shape: Message): Uint8Array | null {
    const cursor = this.#cursor;
    let pieces: Uint8Array[] | null = null;
    let copied = start;
    cursor.reset(from, start);
    while (cursor.position < end) {
      const at = cursor.position;
      const tag = cursor.varint(end);
      const field = shape.get(tag);
      let replacement: Uint8Array | null = null;
      let behind: number;
      if (field === undefined || field === "plain") {
        cursor.skip(tag, end);
        behind = cursor.position;
        if (field === undefined) replacement = NOTHING;
      } else {
        behind = cursor.delimited(end);
        const content = this.#field(from, cursor.position, behind, field);
        cursor.reset(from, behind);
        if (content !== null)
          replacement = content === NOTHING ? NOTHING : delimitedField(tag, content);
      }
      if (replacement === null) continue;
      (pieces ??= []).push(from.subarray(copied, at), replacement);
      copied = behind;
    }
    if (pieces === null) return null;
    pieces.push(from.subarray(copied, end));
    return Buffer.concat(pieces);
  }

  /** What stands for the content of a field, NOTHING where the field goes, or null. */
  #field(
    from: Uint8Array,
    start: number,
    end: number,
    field: Exclude<Field, "plain">,
  ): Uint8Array | null {
    if (field === "attribute") return this.#attribute(from, end);
    if (field === "value") {
      const value = this.#value;
      readAnyValue(this.#cursor, end, value);
      const text = this.#redactor.text(from, value.type, value.start, value.end);
      return text === null ? null : delimitedField(0x0a, text);
    }
    if (field === "text") return this.#redactor.text(from, VALUE_TYPES.string, start, end);
    return this.#message(from, start, end, field);
  }

  #attribute(from: Uint8Array, end: number): Uint8Array | null {
    const list = this.#list;
    list.count = 0;
    readKeyValue(this.#cursor, end, list, this.#value);
    const keyStart = list.keyStart[0]!;
    const keyEnd = list.keyEnd[0]!;
    if (this.#isOwn(from, keyStart, keyEnd)) return NOTHING;
    const redacted = this.#redactor.attribute(
      from,
      keyStart,
      keyEnd,
      list.valueType[0]!,
      list.valueStart[0]!,
      list.valueEnd[0]!,
    );
    if (redacted === null) return null;
    const value = delimitedField(0x0a, redacted.text);
    return Buffer.concat([delimitedField(0x0a, redacted.key), delimitedField(0x12, value)]);
  }

  #isOwn(from: Uint8Array, start: number, end: number): boolean {
    if (start === end || from[start] !== OWN_PREFIX[0]) return false;
    for (let i = 0; i < OWN_PREFIX.length; i++) if (from[start + i] !== OWN_PREFIX[i]) return false;
    return this.#ownKeys.has(Buffer.from(from.subarray(start, end)).toString("latin1"));
  }
}

/** All keys of ours begin so: others are told apart by a byte or two. */
const OWN_PREFIX = Buffer.from("meshproof.");

/** The originals of one request, in its order. */
export class RequestOriginals {
  readonly #originals: Originals;
  readonly #shape: Message;
  readonly #body: Uint8Array;
  readonly #envelope: Envelope;
  readonly #writer = new OriginalsWriter();
  #scope = -1;
  #resource: Uint8Array | undefined;

  constructor(originals: Originals, shape: Message, body: Uint8Array, envelope: Envelope) {
    this.#originals = originals;
    this.#shape = shape;
    this.#body = body;
    this.#envelope = envelope;
  }

  /** Record `i` of the envelope became row number `row` of its section; `isBehind` when access records of the request come before that section. */
  add(i: number, row: number, isBehind: boolean): void {
    const { recordScope, recordStart, recordEnd } = this.#envelope;
    if (recordScope[i] !== this.#scope) this.#enter(recordScope[i]!);
    const record = this.#originals.redact(this.#body, recordStart[i]!, recordEnd[i]!, this.#shape);
    this.#writer.record(record, row, isBehind);
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
