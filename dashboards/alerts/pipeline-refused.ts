import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Senders are refused",
  summary:
    "Requests are refused whole. The dashboard says with which error code; what has a persistent queue tries again.",
  severity: "warning",
  promql:
    'sum by (instance, code) (rate({__name__=~"meshproof_receiver_refused_requests(_total)?"}[5m]))',
  above: 0,
  lasting: "5m",
  panel: "pipeline/11-refused",
} satisfies AlertOptions;
