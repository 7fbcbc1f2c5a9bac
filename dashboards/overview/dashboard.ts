import type { DashboardOptions } from "../parts/dashboard.ts";
import { api, clickhouse, namespace, workload } from "../parts/variables.ts";

export default {
  uid: "meshproof-overview",
  title: "overview",
  description:
    "How much traffic, how much of it was refused, how fast, how much of it is linked to spans, and is the log whole?",
  variables: [clickhouse, namespace, workload, api],
  refresh: "10s",
} satisfies DashboardOptions;
