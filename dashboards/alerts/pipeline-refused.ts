import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Senders are refused",
  summary:
    "Requests are refused whole. The dashboard says with which error code; what has a persistent queue tries again.",
  severity: "warning",
  promql: "sum by (instance, code) (rate(meshproof_receiver_refused_requests[5m]))",
  above: 0,
  lasting: "5m",
  dashboard: "meshproof-pipeline",
} satisfies AlertOptions;
