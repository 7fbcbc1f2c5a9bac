import { type AttributeList, VALUE_TYPES } from "../records/attributes.ts";
import type { LogView } from "../records/views.ts";
import { ascii, CHAR, equalsText, indexOf, indexOfText, startsWith } from "./ascii.ts";
import { MAX_NAME_BYTES } from "./expansion.ts";
import { isListed } from "./list-members.ts";

/** What attributes hold that is more than a value: lists, JSON text that a name says to be a part of the record, lines of text. */

/**
 * Names under which a proxy logs all that a filter said of a request, or the peer's proxy of itself: with a filter's own name, or one that begins so. Envoy's operators write
 * that as JSON, and an attribute holds the text. Nobody else's JSON is taken apart: a header may hold what looks like a filter's word.
 */
const FILTER = ascii("envoy.filters.");
const METADATA = [
  ascii("dynamic_metadata"),
  ascii("jwt_authn"),
  ascii("rbac"),
  ascii("downstream_peer"),
  ascii("wasm.downstream_peer"),
] as const;
/** Members of records that are objects, whose text stands in an attribute where whoever moved them there knew no lists: Hubble's, and those of OPA's that are asked about. */
const OBJECTS = [ascii("flow"), ascii("input"), ascii("result")] as const;
/**
 * Members of a JSON text, and attributes, that hold a proxy's own line: Docker's json-file driver and Fluent Bit, Kuma's TCP backend, loggers of all kinds; the journal; what was parsed,
 * as OpenTelemetry's semantic conventions, Elastic's schema and the Collector's operators call it; Google's logging.
 */
const LINE_KEYS = [
  "log",
  "message",
  "msg",
  "MESSAGE",
  "log.record.original",
  "log.original",
  "event.original",
  "original",
  "textPayload",
] as const;
/** An attribute that holds a record as JSON text: hubble-otel's, where it encodes flows so (common/common.go, AttributeEventObject). */
const EVENT_KEY = ascii("cilium.event_object");
/** Names of members, and of attributes, that may hold a line or a record. */
export const HOLDERS = [...LINE_KEYS.map(ascii), EVENT_KEY] as const;

/** What `heldBy` finds in the values of attributes. */
export const HELD = {
  /** A list of values, an array of such, or metadata as JSON text: there is more to read than the attributes themselves. */
  members: 1,
  /** A record as JSON text. */
  event: 2,
  /** Perhaps a line. */
  line: 4,
} as const;

/** May an attribute of this name hold a line? */
export function mayHoldLine(key: string): boolean {
  return (LINE_KEYS as readonly string[]).includes(key);
}

/** HELD of what the attributes hold, in one look at the type and the first byte of each. */
export function heldBy({ buffer, attributes }: LogView): number {
  const { count, valueType, valueStart, valueEnd, keyStart, keyEnd } = attributes;
  let held = 0;
  for (let i = 0; i < count; i++) {
    const type = valueType[i]!;
    if (type >= VALUE_TYPES.array) {
      if (isListed(buffer, type, valueStart[i]!, valueEnd[i]!)) held |= HELD.members;
    } else if (isObjectText(buffer, attributes, i)) {
      const key = keyStart[i]!;
      if (isMetadata(buffer, key, keyEnd[i]!)) held |= HELD.members;
      else if (equalsText(buffer, key, keyEnd[i]!, EVENT_KEY)) held |= HELD.event;
    }
  }
  return held;
}

/** Is the attribute's value a text that begins as a JSON object does? */
export function isObjectText(from: Uint8Array, list: AttributeList, i: number): boolean {
  const start = list.valueStart[i]!;
  return (
    from[start] === CHAR.braceOpen &&
    list.valueType[i] === VALUE_TYPES.string &&
    start < list.valueEnd[i]!
  );
}

/** Is JSON text under the key [start, end) metadata, or a record's own member? A name with a colon is one value's, or the token's payload, which is read as it is (claims.ts). */
export function isMetadata(from: Uint8Array, start: number, end: number): boolean {
  return (
    end - start <= MAX_NAME_BYTES &&
    (indexOfText(from, FILTER, start, end) >= 0 ||
      METADATA.some((name) => startsWith(from, start, end, name)) ||
      OBJECTS.some((name) => equalsText(from, start, end, name))) &&
    indexOf(from, CHAR.colon, start, end) < 0
  );
}
