import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "A buffer is nearly full",
  summary:
    "The journal, or the queue for ClickHouse, is above 80 %. When the journal is full senders are refused with 503. The store is down or too slow.",
  severity: "critical",
  promql:
    "max by (instance) (meshproof_journal_bytes / meshproof_journal_capacity_bytes or otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)",
  above: 0.8,
  lasting: "2m",
  panel: "pipeline/20-buffers",
} satisfies AlertOptions;
