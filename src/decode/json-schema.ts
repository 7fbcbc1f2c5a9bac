/**
 * The OTLP messages as tables: what each key of OTLP/JSON is called, which protobuf field it becomes and how its value is written.
 * Source: opentelemetry-proto 1.11, common.proto, resource.proto, logs.proto, trace.proto and the two collector services.
 * Not here, and so ignored as unknown keys: what only the profiles signal uses (stringValueStrindex, keyStrindex).
 */

// The kinds of fields: how a value is written in JSON and in protobuf.
export const MESSAGE = 0;
export const TEXT = 1;
/** Base64 in JSON (ProtoJSON), bytes in protobuf. */
export const BASE64 = 2;
/** Hex in JSON (OTLP specification, "JSON Protobuf Encoding"), 16 bytes in protobuf. */
export const TRACE_ID = 3;
/** Hex in JSON, 8 bytes in protobuf. */
export const SPAN_ID = 4;
export const BOOL = 5;
export const DOUBLE = 6;
/** The int64 of an AnyValue, a varint; a number that is too large for it becomes its double. */
export const INT64 = 7;
/** uint32, a varint. */
export const UINT32 = 8;
/** An open enum: an int32, a varint. */
export const ENUM = 9;
export const FIXED32 = 10;
export const FIXED64 = 11;

/** Protobuf wire type of each kind: 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes. */
const WIRE_TYPES = [2, 2, 2, 2, 2, 0, 1, 0, 0, 0, 5, 1] as const;

/** One field of a message. */
export interface Field {
  readonly kind: number;
  /** Field number and wire type, as they stand in front of the value in protobuf. */
  readonly tag: number;
  readonly repeated: boolean;
  /** The field's own fields; null unless `kind` is MESSAGE. */
  readonly message: Message | null;
}

/** A key as it stands in JSON, and what it means. */
interface Key {
  /** The name and the quote behind it. */
  readonly bytes: Uint8Array;
  readonly field: Field;
}

/** Keys are looked up by their first four bytes, which tell apart all but a few keys of one message. */
const BUCKETS = 64;

function bucketOf(bytes: Uint8Array, start: number): number {
  return (
    (bytes[start]! + bytes[start + 1]! * 3 + bytes[start + 2]! * 5 + bytes[start + 3]! * 7) &
    (BUCKETS - 1)
  );
}

/** A message type: its fields by key, lowerCamelCase as the specification says and snake_case as the Collector accepts too. */
export class Message {
  /** Bytes kept free for the length in front of the message: what most messages of this type need. */
  readonly lengthBytes: number;
  /** How much deeper the nesting of AnyValue is inside this message: 1 for AnyValue, 0 for all others. */
  readonly nesting: number;
  /** The field with the records, or with what groups them; null for a record and what is in it. */
  held: Field | null = null;
  readonly #buckets: readonly Key[][] = Array.from({ length: BUCKETS }, () => []);

  constructor(options: { lengthBytes: number; nesting?: number }) {
    this.lengthBytes = options.lengthBytes;
    this.nesting = options.nesting ?? 0;
  }

  /** Adds the field `key` (lowerCamelCase) with its protobuf number. */
  field(
    key: string,
    number: number,
    type: number | Message,
    label: "optional" | "repeated" = "optional",
  ): this {
    const kind = typeof type === "number" ? type : MESSAGE;
    const message = typeof type === "number" ? null : type;
    const field: Field = {
      kind,
      tag: number * 8 + WIRE_TYPES[kind]!,
      repeated: label === "repeated",
      message,
    };
    const snake = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    for (const spelling of new Set([key, snake])) {
      const bytes = new TextEncoder().encode(`${spelling}"`);
      this.#buckets[bucketOf(bytes, 0)]!.push({ bytes, field });
    }
    return this;
  }

  /** As `field`, for the one with the records or with what groups them. */
  holds(key: string, number: number, message: Message): this {
    this.field(key, number, message, "repeated");
    this.held = this.find(new TextEncoder().encode(`${key}"`), 0)!.field;
    return this;
  }

  /** The key that starts at `json[start]`, its closing quote included; undefined when it is none of this message's. */
  find(json: Uint8Array, start: number): Key | undefined {
    const keys = this.#buckets[bucketOf(json, start)]!;
    for (let k = 0; k < keys.length; k++) {
      const { bytes } = keys[k]!;
      let i = 0;
      while (i < bytes.length && bytes[i] === json[start + i]) i++;
      if (i === bytes.length) return keys[k];
    }
    return undefined;
  }
}

// A length below 128 takes one byte, below 16,384 two, below 2,097,152 three.

/** The value of an attribute or the body of a log record; a oneof. */
export const ANY_VALUE = new Message({ lengthBytes: 1, nesting: 1 });
/** An attribute. */
export const KEY_VALUE = new Message({ lengthBytes: 1 })
  .field("key", 1, TEXT)
  .field("value", 2, ANY_VALUE);
const ARRAY_VALUE = new Message({ lengthBytes: 1 }).field("values", 1, ANY_VALUE, "repeated");
const KEY_VALUE_LIST = new Message({ lengthBytes: 1 }).field("values", 1, KEY_VALUE, "repeated");
const DOUBLE_VALUE = 4;
/** As it stands in protobuf in front of an AnyValue's double. */
export const DOUBLE_VALUE_TAG = DOUBLE_VALUE * 8 + WIRE_TYPES[DOUBLE];
ANY_VALUE.field("stringValue", 1, TEXT)
  .field("boolValue", 2, BOOL)
  .field("intValue", 3, INT64)
  .field("doubleValue", DOUBLE_VALUE, DOUBLE)
  .field("arrayValue", 5, ARRAY_VALUE)
  .field("kvlistValue", 6, KEY_VALUE_LIST)
  .field("bytesValue", 7, BASE64);

const SCOPE = new Message({ lengthBytes: 1 })
  .field("name", 1, TEXT)
  .field("version", 2, TEXT)
  .field("attributes", 3, KEY_VALUE, "repeated")
  .field("droppedAttributesCount", 4, UINT32);

const ENTITY_REF = new Message({ lengthBytes: 1 })
  .field("schemaUrl", 1, TEXT)
  .field("type", 2, TEXT)
  .field("idKeys", 3, TEXT, "repeated")
  .field("descriptionKeys", 4, TEXT, "repeated");

const RESOURCE = new Message({ lengthBytes: 2 })
  .field("attributes", 1, KEY_VALUE, "repeated")
  .field("droppedAttributesCount", 2, UINT32)
  .field("entityRefs", 3, ENTITY_REF, "repeated");

const LOG_RECORD = new Message({ lengthBytes: 2 })
  .field("timeUnixNano", 1, FIXED64)
  .field("severityNumber", 2, ENUM)
  .field("severityText", 3, TEXT)
  .field("body", 5, ANY_VALUE)
  .field("attributes", 6, KEY_VALUE, "repeated")
  .field("droppedAttributesCount", 7, UINT32)
  .field("flags", 8, FIXED32)
  .field("traceId", 9, TRACE_ID)
  .field("spanId", 10, SPAN_ID)
  .field("observedTimeUnixNano", 11, FIXED64)
  .field("eventName", 12, TEXT);

const SCOPE_LOGS = new Message({ lengthBytes: 3 })
  .field("scope", 1, SCOPE)
  .holds("logRecords", 2, LOG_RECORD)
  .field("schemaUrl", 3, TEXT);

const RESOURCE_LOGS = new Message({ lengthBytes: 3 })
  .field("resource", 1, RESOURCE)
  .holds("scopeLogs", 2, SCOPE_LOGS)
  .field("schemaUrl", 3, TEXT);

/** ExportLogsServiceRequest. */
export const LOGS_REQUEST = new Message({ lengthBytes: 0 }).holds("resourceLogs", 1, RESOURCE_LOGS);

const EVENT = new Message({ lengthBytes: 1 })
  .field("timeUnixNano", 1, FIXED64)
  .field("name", 2, TEXT)
  .field("attributes", 3, KEY_VALUE, "repeated")
  .field("droppedAttributesCount", 4, UINT32);

const LINK = new Message({ lengthBytes: 1 })
  .field("traceId", 1, TRACE_ID)
  .field("spanId", 2, SPAN_ID)
  .field("traceState", 3, TEXT)
  .field("attributes", 4, KEY_VALUE, "repeated")
  .field("droppedAttributesCount", 5, UINT32)
  .field("flags", 6, FIXED32);

const STATUS = new Message({ lengthBytes: 1 }).field("message", 2, TEXT).field("code", 3, ENUM);

const SPAN = new Message({ lengthBytes: 2 })
  .field("traceId", 1, TRACE_ID)
  .field("spanId", 2, SPAN_ID)
  .field("traceState", 3, TEXT)
  .field("parentSpanId", 4, SPAN_ID)
  .field("name", 5, TEXT)
  .field("kind", 6, ENUM)
  .field("startTimeUnixNano", 7, FIXED64)
  .field("endTimeUnixNano", 8, FIXED64)
  .field("attributes", 9, KEY_VALUE, "repeated")
  .field("droppedAttributesCount", 10, UINT32)
  .field("events", 11, EVENT, "repeated")
  .field("droppedEventsCount", 12, UINT32)
  .field("links", 13, LINK, "repeated")
  .field("droppedLinksCount", 14, UINT32)
  .field("status", 15, STATUS)
  .field("flags", 16, FIXED32);

const SCOPE_SPANS = new Message({ lengthBytes: 3 })
  .field("scope", 1, SCOPE)
  .holds("spans", 2, SPAN)
  .field("schemaUrl", 3, TEXT);

const RESOURCE_SPANS = new Message({ lengthBytes: 3 })
  .field("resource", 1, RESOURCE)
  .holds("scopeSpans", 2, SCOPE_SPANS)
  .field("schemaUrl", 3, TEXT);

/** ExportTraceServiceRequest. */
export const TRACES_REQUEST = new Message({ lengthBytes: 0 }).holds(
  "resourceSpans",
  1,
  RESOURCE_SPANS,
);
