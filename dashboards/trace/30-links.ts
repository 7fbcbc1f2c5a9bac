import { table } from "../parts/panels.ts";
import { SPANS_OF_TRACE } from "../parts/trace.ts";
import { TRACE } from "../parts/variables.ts";

export default table({
  title: "Links",
  description:
    "Which access record and which span describe the same request, by which rule, and how far their clocks are apart. Record is the access record's.",
  width: 14,
  units: { ClockDifference: "ns", Confidence: "percentunit" },
  sql: `
SELECT link.Rule AS Rule, link.Confidence AS Confidence, link.ClockDifferenceNs AS ClockDifference,
  concat(link.AccessLog, ':', toString(link.AccessLeaf)) AS Record, span.SpanId AS SpanId, span.ServiceName AS SpanService, span.SpanName AS SpanName
FROM trace_links AS link
LEFT JOIN (SELECT LogId, LeafIndex, SpanId, ServiceName, SpanName FROM otel_traces WHERE ${SPANS_OF_TRACE}) AS span
  ON span.LogId = link.SpanLog AND span.LeafIndex = link.SpanLeaf
WHERE link.TraceId = ${TRACE}
ORDER BY link.AccessLeaf
LIMIT 500`,
});
