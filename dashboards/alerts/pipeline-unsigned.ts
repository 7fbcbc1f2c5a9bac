import type { AlertOptions } from "../parts/alerts.ts";

export default {
  title: "Records wait for a signature",
  summary:
    "The oldest record without a signed checkpoint has waited for more than 30 seconds: the signer does not answer, or the disk does not.",
  severity: "critical",
  promql: "max by (instance) (meshproof_unsigned_seconds)",
  above: 30,
  lasting: "1m",
  panel: "pipeline/22-seal",
} satisfies AlertOptions;
