import type { DashboardOptions } from "../parts/dashboard.ts";
import { api, clickhouse, traceId } from "../parts/variables.ts";

export default {
  uid: "meshproof-trace",
  title: "trace to access",
  description:
    "One request whole: its spans, what each proxy recorded and decided, what joins them, and what the applications logged meanwhile.",
  variables: [clickhouse, traceId, api],
  refresh: "",
} satisfies DashboardOptions;
