import { AttributeList, grown, VALUE_TYPES } from "./attributes.ts";

/**
 * One LogRecord as positions in the request body (`buffer`). The decoder fills the same view for record after record.
 * A range [start, end) that is empty means that the field is absent or empty. Field numbers: opentelemetry-proto 1.11, logs.proto.
 */
export class LogView {
  buffer: Uint8Array = new Uint8Array(0);
  /** Offset of the eight bytes of time_unix_nano, or -1. */
  timeOffset = -1;
  /** Offset of the eight bytes of observed_time_unix_nano, or -1. */
  observedOffset = -1;
  severityNumber = 0;
  severityTextStart = 0;
  severityTextEnd = 0;
  /** One of VALUE_TYPES, with the range as in AttributeList. */
  bodyType: number = VALUE_TYPES.none;
  bodyStart = 0;
  bodyEnd = 0;
  droppedAttributesCount = 0;
  flags = 0;
  /** 16 bytes from here, or -1. An all-zero ID is absent. */
  traceIdOffset = -1;
  /** 8 bytes from here, or -1. An all-zero ID is absent. */
  spanIdOffset = -1;
  eventNameStart = 0;
  eventNameEnd = 0;
  readonly attributes = new AttributeList();

  reset(buffer: Uint8Array): void {
    this.buffer = buffer;
    this.timeOffset = -1;
    this.observedOffset = -1;
    this.severityNumber = 0;
    this.severityTextStart = this.severityTextEnd = 0;
    this.bodyType = VALUE_TYPES.none;
    this.bodyStart = this.bodyEnd = 0;
    this.droppedAttributesCount = 0;
    this.flags = 0;
    this.traceIdOffset = -1;
    this.spanIdOffset = -1;
    this.eventNameStart = this.eventNameEnd = 0;
    this.attributes.count = 0;
  }
}

/** One Span as positions in the request body. Field numbers: opentelemetry-proto 1.11, trace.proto. */
export class SpanView {
  buffer: Uint8Array = new Uint8Array(0);
  traceIdOffset = -1;
  spanIdOffset = -1;
  parentSpanIdOffset = -1;
  traceStateStart = 0;
  traceStateEnd = 0;
  nameStart = 0;
  nameEnd = 0;
  kind = 0;
  startOffset = -1;
  endOffset = -1;
  statusCode = 0;
  statusMessageStart = 0;
  statusMessageEnd = 0;
  flags = 0;
  droppedAttributesCount = 0;
  droppedEventsCount = 0;
  droppedLinksCount = 0;
  readonly attributes = new AttributeList();
  readonly events = new ItemList();
  readonly links = new ItemList();

  reset(buffer: Uint8Array): void {
    this.buffer = buffer;
    this.traceIdOffset = this.spanIdOffset = this.parentSpanIdOffset = -1;
    this.traceStateStart = this.traceStateEnd = 0;
    this.nameStart = this.nameEnd = 0;
    this.kind = 0;
    this.startOffset = this.endOffset = -1;
    this.statusCode = 0;
    this.statusMessageStart = this.statusMessageEnd = 0;
    this.flags = 0;
    this.droppedAttributesCount = this.droppedEventsCount = this.droppedLinksCount = 0;
    this.attributes.count = 0;
    this.events.reset();
    this.links.reset();
  }
}

/**
 * Events of a span, or its links, in flat arrays: nothing is allocated for each.
 * The attributes of item i are those of `attributes` from `attributesEnd[i - 1]` (0 for the first) to `attributesEnd[i]`.
 */
export class ItemList {
  count = 0;
  /** Events: offset of time_unix_nano, or -1. Links: offset of trace_id, or -1. */
  firstOffset = new Int32Array(8);
  /** Links: offset of span_id, or -1. */
  secondOffset = new Int32Array(8);
  /** Events: the name. Links: the trace state. */
  textStart = new Int32Array(8);
  textEnd = new Int32Array(8);
  flags = new Uint32Array(8);
  droppedAttributesCount = new Uint32Array(8);
  attributesEnd = new Int32Array(8);
  readonly attributes = new AttributeList();

  reset(): void {
    this.count = 0;
    this.attributes.count = 0;
  }

  /** Opens an empty item and returns its number. `attributesEnd` is to be set when its attributes are in. */
  open(): number {
    const i = this.count;
    if (i === this.firstOffset.length) this.#grow(i * 2);
    this.firstOffset[i] = this.secondOffset[i] = -1;
    this.textStart[i] = this.textEnd[i] = 0;
    this.flags[i] = this.droppedAttributesCount[i] = 0;
    this.attributesEnd[i] = this.attributes.count;
    this.count = i + 1;
    return i;
  }

  #grow(size: number): void {
    this.firstOffset = grown(this.firstOffset, size);
    this.secondOffset = grown(this.secondOffset, size);
    this.textStart = grown(this.textStart, size);
    this.textEnd = grown(this.textEnd, size);
    this.attributesEnd = grown(this.attributesEnd, size);
    const flags = new Uint32Array(size);
    flags.set(this.flags);
    this.flags = flags;
    const dropped = new Uint32Array(size);
    dropped.set(this.droppedAttributesCount);
    this.droppedAttributesCount = dropped;
  }
}
