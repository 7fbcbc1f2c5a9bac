import { metrics } from "../parts/panels.ts";
import { gauge } from "../parts/promql.ts";

const share = (name: string, bound: string): string => `max(${gauge(name)} / ${gauge(bound)})`;

export default metrics({
  title: "How full the buffers are",
  description:
    "At 100 % of the journal or the requests in flight senders get 503. A full queue for ClickHouse lets the journal grow; a full correlation window makes blind spots unknowable.",
  unit: "percentunit",
  max: 1,
  queries: {
    journal: share("meshproof_journal_bytes", "meshproof_journal_capacity_bytes"),
    "queue for ClickHouse": share("otelcol_exporter_queue_size", "otelcol_exporter_queue_capacity"),
    "requests in flight": share(
      "meshproof_receiver_in_flight_bytes",
      "meshproof_receiver_in_flight_capacity_bytes",
    ),
    "correlation window": share(
      "meshproof_correlation_window_records",
      "meshproof_correlation_window_capacity_records",
    ),
  },
});
