import type { Cursor } from "../core/wire.ts";
import type { LogView } from "../records/views.ts";
import { readAnyValue, readKeyValue, type ValueRange } from "./any-value.ts";
import { readId } from "./ids.ts";

/**
 * Reads the LogRecord in [start, end) of the cursor's buffer into `view`, in place.
 * Throws: WireError when it cannot be read, or when an ID has a length that is neither 0 nor right.
 * Source: opentelemetry-proto 1.11, logs/v1/logs.proto.
 */
export function readLogRecord(
  cursor: Cursor,
  start: number,
  end: number,
  view: LogView,
  value: ValueRange,
): void {
  view.reset(cursor.buffer);
  cursor.position = start;
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    switch (tag) {
      case 0x32: // attributes
        readKeyValue(cursor, cursor.delimited(end), view.attributes, value);
        break;
      case 0x09: // time_unix_nano
        view.timeOffset = cursor.fixed(8, end);
        break;
      case 0x59: // observed_time_unix_nano
        view.observedOffset = cursor.fixed(8, end);
        break;
      case 0x10: // severity_number
        view.severityNumber = cursor.uint32(end);
        break;
      case 0x1a: // severity_text
        view.severityTextEnd = cursor.delimited(end);
        view.severityTextStart = cursor.position;
        cursor.position = view.severityTextEnd;
        break;
      case 0x2a: // body
        readAnyValue(cursor, cursor.delimited(end), value);
        view.bodyType = value.type;
        view.bodyStart = value.start;
        view.bodyEnd = value.end;
        break;
      case 0x38: // dropped_attributes_count
        view.droppedAttributesCount = cursor.uint32(end);
        break;
      case 0x45: // flags
        view.flags = cursor.fixed32(end);
        break;
      case 0x4a: // trace_id
        view.traceIdOffset = readId(cursor, end, 16, "trace_id");
        break;
      case 0x52: // span_id
        view.spanIdOffset = readId(cursor, end, 8, "span_id");
        break;
      case 0x62: // event_name
        view.eventNameEnd = cursor.delimited(end);
        view.eventNameStart = cursor.position;
        cursor.position = view.eventNameEnd;
        break;
      default:
        cursor.skip(tag, end);
    }
  }
}
