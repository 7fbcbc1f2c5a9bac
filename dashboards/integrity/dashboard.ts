import type { DashboardOptions } from "../parts/dashboard.ts";
import { api, clickhouse } from "../parts/variables.ts";

export default {
  uid: "meshproof-integrity",
  title: "integrity and completeness",
  description:
    "Two verdicts: was anything changed that was sealed, and what is known to be missing? With what they rest on: checkpoints, witnesses, findings, verifications.",
  variables: [clickhouse, api],
  from: "now-6h",
} satisfies DashboardOptions;
