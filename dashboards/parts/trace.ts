import { TRACE } from "./variables.ts";

/** A map of attributes as Grafana's trace view wants it: a list of keys and values. */
function fields(map: string): string {
  return `arrayMap((k, v) -> map('key', k, 'value', v), mapKeys(${map}), mapValues(${map}))`;
}

/** What an access record says of the span that it is linked to, as attributes of that span. */
const ACCESS = `map(
    'meshproof.record', Record, 'meshproof.actor', Actor, 'meshproof.actor.assurance', ActorAssurance, 'meshproof.decision', Decision,
    'meshproof.decision.engine', DecisionEngine, 'meshproof.policy', Policy, 'meshproof.decision.reason', DecisionReason)`;

/** The first and last second of the trace, from the table that is kept for that. */
const TIMES = `(SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = ${TRACE})`;
const TIMES_END = `(SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = ${TRACE})`;

/** Spans of a trace: where it is in time is looked up first, so that no other day is read. */
export const SPANS_OF_TRACE = `TraceId = ${TRACE} AND Timestamp >= ${TIMES} AND Timestamp <= ${TIMES_END}`;

/**
 * What the linked access records of a trace say of its spans. The trace ID is the order of the table of links. Where several records are linked to one span, one speaks.
 */
const DECISIONS = `
  SELECT SpanLog, SpanLeaf, any(said) AS attributes
  FROM (
    SELECT SpanLog, SpanLeaf, mapFilter((k, v) -> v != '', ${ACCESS}) AS said
    FROM (
      SELECT SpanLog, SpanLeaf, AccessLog, AccessLeaf FROM trace_links
      WHERE TraceId = ${TRACE} AND Rule NOT IN ('peer', 'decision')
    ) AS link
    INNER JOIN (
      SELECT LogId, LeafIndex, concat(LogId, ':', toString(LeafIndex)) AS Record, Actor, ActorAssurance, Decision, DecisionEngine, Policy, DecisionReason
      FROM access_records WHERE TraceId = ${TRACE}
    ) AS access ON access.LogId = link.AccessLog AND access.LeafIndex = link.AccessLeaf
  )
  GROUP BY SpanLog, SpanLeaf`;

/** Most spans that the trace view is given: a browser draws no more. */
export const MAX_SPANS = 5_000;

/** The spans of a trace in the columns of Grafana's trace view, with what the proxies' access records say among their attributes. */
export const TRACE_VIEW = `
SELECT TraceId AS traceID, SpanId AS spanID, ParentSpanId AS parentSpanID, ServiceName AS serviceName, SpanName AS operationName,
  toUnixTimestamp64Nano(Timestamp) * 0.000001 AS startTime, Duration * 0.000001 AS duration,
  ${fields("mapConcat(SpanAttributes, decisions.attributes)")} AS tags,
  ${fields("ResourceAttributes")} AS serviceTags,
  arrayMap((name, at, attributes) -> (name, toString(toUnixTimestamp64Milli(at)), ${fields("attributes")})::Tuple(name String, timestamp String, fields Array(Map(String, String))),
    Events.Name, Events.Timestamp, Events.Attributes) AS logs,
  arrayMap((trace, linked, attributes) -> (trace, linked, ${fields("attributes")})::Tuple(traceID String, spanID String, tags Array(Map(String, String))),
    Links.TraceId, Links.SpanId, Links.Attributes) AS references,
  if(StatusCode = 'Error', 2, 0) AS statusCode, StatusMessage AS statusMessage, lower(SpanKind) AS kind, TraceState AS traceState
FROM otel_traces AS span
LEFT JOIN (${DECISIONS}
) AS decisions ON decisions.SpanLog = span.LogId AND decisions.SpanLeaf = span.LeafIndex
WHERE ${SPANS_OF_TRACE}
ORDER BY startTime
LIMIT ${MAX_SPANS}`;
