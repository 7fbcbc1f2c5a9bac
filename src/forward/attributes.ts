import { delimitedField, varint } from "../core/originals.ts";

/** What is added to each record that is passed on. docs/forwarding.md has them for readers. */
export const FORWARD_KEYS = {
  logId: "meshproof.log_id",
  leafIndex: "meshproof.leaf_index",
  linkedLeafIndex: "meshproof.linked_leaf_index",
  recordUrl: "meshproof.record_url",
} as const;

/** Tag of the field `attributes`, in LogRecord and Span (opentelemetry-proto 1.11). */
const ATTRIBUTES = { logs: 0x32, traces: 0x4a } as const;
const KEY = 0x0a;
const VALUE = 0x12;
const STRING_VALUE = 0x0a;
const INT_VALUE = 0x18;

/** Writes the attributes of ours, as fields that stand behind all others of a record: protobuf lets a repeated field go on anywhere. */
export class OwnAttributes {
  readonly #logId: string;
  readonly #recordUrl: string;
  readonly #fixed: Readonly<Record<"logs" | "traces", Buffer>>;

  /** `recordUrl`: where the API's records are, to which `<log id>:<index>` is added; empty for no such attribute. */
  constructor(logId: string, recordUrl: string) {
    this.#logId = logId;
    this.#recordUrl = recordUrl;
    const fixed = (tag: number): Buffer => attribute(tag, FORWARD_KEYS.logId, text(logId));
    this.#fixed = { logs: fixed(ATTRIBUTES.logs), traces: fixed(ATTRIBUTES.traces) };
  }

  /** Those of the record with this leaf index, and of the one that it is linked to. */
  of(signal: "logs" | "traces", leafIndex: number, linked: number | undefined): Buffer {
    const tag = ATTRIBUTES[signal];
    const fields = [
      this.#fixed[signal],
      attribute(tag, FORWARD_KEYS.leafIndex, integer(leafIndex)),
    ];
    if (linked !== undefined)
      fields.push(attribute(tag, FORWARD_KEYS.linkedLeafIndex, integer(linked)));
    if (this.#recordUrl !== "")
      fields.push(
        attribute(
          tag,
          FORWARD_KEYS.recordUrl,
          text(`${this.#recordUrl}${this.#logId}:${leafIndex}`),
        ),
      );
    return Buffer.concat(fields);
  }
}

function attribute(tag: number, key: string, value: Buffer): Buffer {
  return delimitedField(
    tag,
    Buffer.concat([delimitedField(KEY, Buffer.from(key)), delimitedField(VALUE, value)]),
  );
}

function text(value: string): Buffer {
  return delimitedField(STRING_VALUE, Buffer.from(value));
}

function integer(value: number): Buffer {
  return Buffer.from([INT_VALUE, ...varint(value)]);
}
