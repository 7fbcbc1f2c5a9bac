import { ACCESS } from "../records/access-draft.ts";
import { CHAR, hexValue, isHex } from "./ascii.ts";
import { readB3, readB3Span, sampledByB3 } from "./b3.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import { holdsId, setBinaryId, setId, SPAN_ID, TRACE_ID } from "./trace-ids.ts";
import {
  isTraceparent,
  readTraceparent,
  readTraceparentSpan,
  takeRepeatedTraceparent,
  traceparentFlags,
} from "./traceparent.ts";
import { NOT_THERE, readVendorTrace } from "./vendor-traces.ts";
import { WORD } from "./words.ts";

const SAMPLED = 1;
const UNKNOWN = -1;

/**
 * TraceId, SpanId, ParentSpanId, TraceFlags, TraceSource and SampledHint. The first of these that holds a valid trace ID gives it, and the span ID with it; where
 * it has none, the next of the first four that has the same trace ID does:
 *
 *   field        the record's own trace ID
 *   traceparent  W3C Trace Context
 *   attribute    an attribute that holds an ID (trace_id, traceId, …)
 *   b3           Zipkin's headers, the single one before the several
 *   datadog, jaeger, xray, cloud_trace, sw8   headers of vendors; a load balancer adds xray and cloud_trace whatever the mesh traces with
 *
 * Trace IDs of 64 bits are filled with zeros from the left; an ID of zeros alone is none. A request ID is never a trace ID, however long.
 * IDs stand on unsampled requests too; SampledHint says what is known of that.
 */
export function mapTrace(reading: Reading): void {
  const { draft, view } = reading;
  let sampled = UNKNOWN;
  const hasTrace = setBinaryId(draft, ACCESS.TraceId, view.buffer, view.traceIdOffset, TRACE_ID);
  const hasSpan = setBinaryId(draft, ACCESS.SpanId, view.buffer, view.spanIdOffset, SPAN_ID);
  if (hasTrace) {
    reading.say(ACCESS.TraceSource, WORD.field);
    draft.low[ACCESS.TraceFlags] = view.flags & 0xff;
    // Zero may mean that nobody set the flags.
    if ((view.flags & SAMPLED) !== 0) sampled = 1;
  } else if (!readTraceparent(reading, hasSpan)) {
    sampled = readIds(reading, hasSpan);
    if (sampled === NOT_THERE)
      sampled = readB3(reading, hasSpan) ? UNKNOWN : readVendorTrace(reading, hasSpan);
    if (sampled === NOT_THERE) {
      reading.say(ACCESS.TraceSource, WORD.none);
      sampled = UNKNOWN;
    }
  }
  if (draft.isEmpty(ACCESS.SpanId) && !draft.isEmpty(ACCESS.TraceId)) completeSpan(reading);
  if (isTraceparent(reading)) {
    sampled = Math.max(sampled, traceparentFlags(reading) & SAMPLED);
    takeRepeatedTraceparent(reading);
  } else if (sampled === UNKNOWN) sampled = sampledByB3(reading);
  if (sampled === UNKNOWN) sampled = sampledByRequestId(reading);
  draft.low[ACCESS.SampledHint] = sampled;
  if (hasTrace) takeRepeatedIds(reading);
}

/** IDs that stand in attributes as well as in the record's own fields are not kept twice. */
function takeRepeatedIds(reading: Reading): void {
  takeRepeated(reading, FIELD.trace_id, ACCESS.TraceId);
  takeRepeated(reading, FIELD.span_id, ACCESS.SpanId);
  setId(reading, ACCESS.ParentSpanId, FIELD.parent_span_id, SPAN_ID);
}

/** Envoy wrote the trace ID alone into the record's fields before version 1.31. */
function completeSpan(reading: Reading): void {
  if (readTraceparentSpan(reading)) return;
  if (
    repeats(reading, FIELD.trace_id, ACCESS.TraceId) &&
    setId(reading, ACCESS.SpanId, FIELD.span_id, SPAN_ID)
  )
    return;
  readB3Span(reading);
}

function takeRepeated(reading: Reading, field: number, column: number): void {
  if (repeats(reading, field, column)) reading.take(field);
}

function repeats(reading: Reading, field: number, column: number): boolean {
  const { draft, buffer, start, end } = reading;
  return (
    reading.has(field) && holdsId(draft, column, buffer, start[field]!, end[field]! - start[field]!)
  );
}

/** IDs in attributes. Returns whether the trace is sampled, as far as the flags beside them say, or NOT_THERE. */
function readIds(reading: Reading, hasSpan: boolean): number {
  if (!setId(reading, ACCESS.TraceId, FIELD.trace_id, TRACE_ID)) return NOT_THERE;
  if (!hasSpan) setId(reading, ACCESS.SpanId, FIELD.span_id, SPAN_ID);
  setId(reading, ACCESS.ParentSpanId, FIELD.parent_span_id, SPAN_ID);
  reading.say(ACCESS.TraceSource, WORD.attribute);
  const flags = readFlags(reading);
  if (flags === UNKNOWN) return UNKNOWN;
  reading.draft.low[ACCESS.TraceFlags] = flags;
  reading.take(FIELD.trace_flags);
  return flags & SAMPLED;
}

/** Two hex digits. Source: OpenTelemetry, "Trace Context in non-OTLP Log Formats". */
function readFlags(reading: Reading): number {
  const { buffer } = reading;
  if (!reading.has(FIELD.trace_flags)) return UNKNOWN;
  const start = reading.start[FIELD.trace_flags]!;
  const end = reading.end[FIELD.trace_flags]!;
  if (end - start !== 2 || !isHex(buffer, start, end)) return UNKNOWN;
  return hexValue(buffer[start]!) * 16 + hexValue(buffer[start + 1]!);
}

/** Length of a UUID, and the position of the digit in which Envoy packs why a request is traced: 9 sampled, a forced by the server, b by the client. */
const UUID = 36;
const TRACE_REASON = 14;

/** Source: Envoy, extensions/request_id/uuid/v3/uuid.proto, pack_trace_reason. Any other digit says nothing: packing may be off. */
function sampledByRequestId(reading: Reading): number {
  if (!reading.has(FIELD.request_id)) return UNKNOWN;
  const { buffer } = reading;
  const start = reading.start[FIELD.request_id]!;
  if (reading.end[FIELD.request_id]! - start !== UUID) return UNKNOWN;
  if (
    buffer[start + 8] !== CHAR.minus ||
    buffer[start + 13] !== CHAR.minus ||
    buffer[start + 18] !== CHAR.minus ||
    buffer[start + 23] !== CHAR.minus
  )
    return UNKNOWN;
  const reason = buffer[start + TRACE_REASON]! | 0x20;
  return reason === CHAR.nine || reason === 0x61 || reason === 0x62 ? 1 : UNKNOWN;
}
