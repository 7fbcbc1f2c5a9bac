import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "meshproof does not answer",
  summary:
    "Prometheus cannot read its metrics. Senders with a persistent queue keep what they have.",
  severity: "critical",
  promql: 'up{job="meshproof"} == bool 0',
  above: 0,
  lasting: "2m",
  panel: "pipeline/10-accepted",
} satisfies AlertOptions;
