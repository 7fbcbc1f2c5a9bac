import { type KeyShape, sortedOrder } from "./key-shape.ts";
import { type ScopeColumns, writeSortedMap } from "./scope-columns.ts";
import type { RowBuffer } from "./row-buffer.ts";
import type { RowHead, SectionBuilder } from "./section-builder.ts";
import { isBeyondMax, lowAt, writeClamped, writeTimeAt } from "./timestamps.ts";
import type { ValueWriter } from "./value-text.ts";
import type { ItemList, SpanView } from "./views.ts";

/** Room for the columns of a span that are not copied from it or its scope: lengths, numbers, hex IDs. */
const FIXED_ROOM = 512;

/** Names of SpanKind and StatusCode as the OpenTelemetry ClickHouse exporter writes them; numbers beyond are written as the first. */
const KIND_NAMES = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"].map(
  (name) => Buffer.from(name),
);
const STATUS_NAMES = ["Unset", "Ok", "Error"].map((name) => Buffer.from(name));

/**
 * Writes a span as a row of otel_traces; the columns are TABLES.span, in that order. The row is left open.
 * Throws: WireError when a nested value cannot be read.
 */
export function writeSpanRow(
  section: SectionBuilder,
  head: RowHead,
  span: SpanView,
  shape: KeyShape,
  scope: ScopeColumns,
  receivedAtNs: bigint,
  values: ValueWriter,
): void {
  const { out } = section;
  const { buffer, events, links } = span;
  const { spanScope, spanSchema } = scope;
  section.open(
    head,
    FIXED_ROOM +
      spanScope.length +
      (span.traceStateEnd - span.traceStateStart) +
      (span.nameEnd - span.nameStart),
  );
  out.writeByte(0); // Truncations
  out.writeByte(0); // Redactions
  let startLow = Number(receivedAtNs & 0xffff_ffffn);
  let startHigh = Number(receivedAtNs >> 32n);
  let hasStart = false;
  if (span.startOffset >= 0) {
    const low = lowAt(buffer, span.startOffset);
    const high = lowAt(buffer, span.startOffset + 4);
    if (low !== 0 || high !== 0) {
      hasStart = true;
      startLow = low;
      startHigh = high;
    }
  }
  const endLow = span.endOffset < 0 ? 0 : lowAt(buffer, span.endOffset);
  const endHigh = span.endOffset < 0 ? 0 : lowAt(buffer, span.endOffset + 4);
  const ordered =
    hasStart && (endHigh > startHigh || (endHigh === startHigh && endLow >= startLow));
  const borrow = endLow < startLow ? 1 : 0;
  const durationLow = ordered ? endLow - startLow + borrow * 0x1_0000_0000 : 0;
  const durationHigh = ordered ? endHigh - startHigh - borrow : 0;

  writeClamped(out, startLow, startHigh);
  out.writeHexText(buffer, span.traceIdOffset, 16);
  out.writeHexText(buffer, span.spanIdOffset, 8);
  out.writeHexText(buffer, span.parentSpanIdOffset, 8);
  out.writeText(buffer, span.traceStateStart, span.traceStateEnd);
  out.writeText(buffer, span.nameStart, span.nameEnd);
  writeName(out, KIND_NAMES, span.kind);
  out.writeBytes(spanScope, 0, spanScope.length);
  writeSortedMap(out, buffer, span.attributes, shape.order, values);
  out.ensure(FIXED_ROOM + spanSchema.length + (span.statusMessageEnd - span.statusMessageStart));
  out.writeEight(durationLow, durationHigh);
  writeName(out, STATUS_NAMES, span.statusCode);
  out.writeText(buffer, span.statusMessageStart, span.statusMessageEnd);
  writeEvents(out, buffer, events, values);
  writeLinks(out, buffer, links, values);
  out.ensure(FIXED_ROOM + spanSchema.length + (events.count + links.count * 2) * 4);
  if (isBeyondMax(startLow, startHigh)) out.writeEight(startLow, startHigh);
  else out.writeEight(0, 0); // TimestampRaw
  if (ordered && !isBeyondMax(startLow, startHigh)) out.writeEight(0, 0);
  else out.writeEight(endLow, endHigh); // EndTimestampRaw
  out.writeUint32(span.flags);
  out.writeBytes(spanSchema, 0, spanSchema.length);
  out.writeUint32(span.droppedAttributesCount);
  out.writeUint32(span.droppedEventsCount);
  out.writeUint32(span.droppedLinksCount);
  writeNumbers(out, events.droppedAttributesCount, events.count);
  writeNumbers(out, links.droppedAttributesCount, links.count);
  writeNumbers(out, links.flags, links.count);
}

function writeName(out: RowBuffer, names: readonly Buffer[], number: number): void {
  const name = names[number] ?? names[0]!;
  out.writeText(name, 0, name.length);
}

function writeNumbers(out: RowBuffer, numbers: Uint32Array, count: number): void {
  out.writeVarint(count);
  for (let i = 0; i < count; i++) out.writeUint32(numbers[i]!);
}

/** Events.Timestamp, Events.Name, Events.Attributes: three arrays, one behind the other. */
function writeEvents(
  out: RowBuffer,
  buffer: Uint8Array,
  events: ItemList,
  values: ValueWriter,
): void {
  const { count } = events;
  out.ensure(count * 8 + 16);
  out.writeVarint(count);
  for (let i = 0; i < count; i++) writeTimeAt(out, buffer, events.firstOffset[i]!);
  writeItemTexts(out, buffer, events);
  writeItemAttributes(out, buffer, events, values);
}

/** Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes. */
function writeLinks(
  out: RowBuffer,
  buffer: Uint8Array,
  links: ItemList,
  values: ValueWriter,
): void {
  const { count } = links;
  out.ensure(count * 50 + 16);
  out.writeVarint(count);
  for (let i = 0; i < count; i++) out.writeHexText(buffer, links.firstOffset[i]!, 16);
  out.writeVarint(count);
  for (let i = 0; i < count; i++) out.writeHexText(buffer, links.secondOffset[i]!, 8);
  writeItemTexts(out, buffer, links);
  writeItemAttributes(out, buffer, links, values);
}

function writeItemTexts(out: RowBuffer, buffer: Uint8Array, items: ItemList): void {
  out.ensure(5);
  out.writeVarint(items.count);
  for (let i = 0; i < items.count; i++) {
    const start = items.textStart[i]!;
    const end = items.textEnd[i]!;
    out.ensure(end - start + 5);
    out.writeText(buffer, start, end);
  }
}

function writeItemAttributes(
  out: RowBuffer,
  buffer: Uint8Array,
  items: ItemList,
  values: ValueWriter,
): void {
  out.ensure(5);
  out.writeVarint(items.count);
  let from = 0;
  for (let i = 0; i < items.count; i++) {
    const to = items.attributesEnd[i]!;
    writeSortedMap(
      out,
      buffer,
      items.attributes,
      sortedOrder(buffer, items.attributes, from, to),
      values,
    );
    from = to;
  }
}
