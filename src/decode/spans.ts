import type { Cursor } from "../core/wire.ts";
import type { ItemList, SpanView } from "../records/views.ts";
import { readKeyValue, type ValueRange } from "./any-value.ts";
import { readId } from "./ids.ts";

/**
 * Reads the Span in [start, end) of the cursor's buffer into `view`, in place.
 * Throws: WireError when it cannot be read, or when an ID has a length that is neither 0 nor right.
 * Source: opentelemetry-proto 1.11, trace/v1/trace.proto.
 */
export function readSpan(
  cursor: Cursor,
  start: number,
  end: number,
  view: SpanView,
  value: ValueRange,
): void {
  view.reset(cursor.buffer);
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    switch (tag) {
      case 0x4a: // attributes
        readKeyValue(cursor, cursor.delimited(end), view.attributes, value);
        break;
      case 0x0a: // trace_id
        view.traceIdOffset = readId(cursor, end, 16, "trace_id");
        break;
      case 0x12: // span_id
        view.spanIdOffset = readId(cursor, end, 8, "span_id");
        break;
      case 0x1a: // trace_state
        view.traceStateEnd = cursor.delimited(end);
        view.traceStateStart = cursor.position;
        cursor.position = view.traceStateEnd;
        break;
      case 0x22: // parent_span_id
        view.parentSpanIdOffset = readId(cursor, end, 8, "parent_span_id");
        break;
      case 0x2a: // name
        view.nameEnd = cursor.delimited(end);
        view.nameStart = cursor.position;
        cursor.position = view.nameEnd;
        break;
      case 0x30: // kind
        view.kind = cursor.uint32(end);
        break;
      case 0x39: // start_time_unix_nano
        view.startOffset = cursor.fixed(8, end);
        break;
      case 0x41: // end_time_unix_nano
        view.endOffset = cursor.fixed(8, end);
        break;
      case 0x50: // dropped_attributes_count
        view.droppedAttributesCount = cursor.uint32(end);
        break;
      case 0x5a: // events
        readEvent(cursor, cursor.delimited(end), view.events, value);
        break;
      case 0x60: // dropped_events_count
        view.droppedEventsCount = cursor.uint32(end);
        break;
      case 0x6a: // links
        readLink(cursor, cursor.delimited(end), view.links, value);
        break;
      case 0x70: // dropped_links_count
        view.droppedLinksCount = cursor.uint32(end);
        break;
      case 0x7a: // status
        readStatus(cursor, cursor.delimited(end), view);
        break;
      case 0x85: // flags: field 16, wire type 5, is the two-byte tag 0x85 0x01, which reads as 133
        view.flags = cursor.fixed32(end);
        break;
      default:
        cursor.skip(tag, end);
    }
  }
}

function readStatus(cursor: Cursor, end: number, view: SpanView): void {
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    if (tag === 0x12) {
      view.statusMessageEnd = cursor.delimited(end);
      view.statusMessageStart = cursor.position;
      cursor.position = view.statusMessageEnd;
    } else if (tag === 0x18) view.statusCode = cursor.uint32(end);
    else cursor.skip(tag, end);
  }
}

function readEvent(cursor: Cursor, end: number, events: ItemList, value: ValueRange): void {
  const i = events.open();
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    switch (tag) {
      case 0x09: // time_unix_nano
        events.firstOffset[i] = cursor.fixed(8, end);
        break;
      case 0x12: // name
        events.textEnd[i] = cursor.delimited(end);
        events.textStart[i] = cursor.position;
        cursor.position = events.textEnd[i]!;
        break;
      case 0x1a: // attributes
        readKeyValue(cursor, cursor.delimited(end), events.attributes, value);
        break;
      case 0x20: // dropped_attributes_count
        events.droppedAttributesCount[i] = cursor.uint32(end);
        break;
      default:
        cursor.skip(tag, end);
    }
  }
  events.attributesEnd[i] = events.attributes.count;
}

function readLink(cursor: Cursor, end: number, links: ItemList, value: ValueRange): void {
  const i = links.open();
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    switch (tag) {
      case 0x0a: // trace_id
        links.firstOffset[i] = readId(cursor, end, 16, "link trace_id");
        break;
      case 0x12: // span_id
        links.secondOffset[i] = readId(cursor, end, 8, "link span_id");
        break;
      case 0x1a: // trace_state
        links.textEnd[i] = cursor.delimited(end);
        links.textStart[i] = cursor.position;
        cursor.position = links.textEnd[i]!;
        break;
      case 0x22: // attributes
        readKeyValue(cursor, cursor.delimited(end), links.attributes, value);
        break;
      case 0x28: // dropped_attributes_count
        links.droppedAttributesCount[i] = cursor.uint32(end);
        break;
      case 0x35: // flags
        links.flags[i] = cursor.fixed32(end);
        break;
      default:
        cursor.skip(tag, end);
    }
  }
  links.attributesEnd[i] = links.attributes.count;
}
