import type { DashboardOptions } from "../parts/dashboard.ts";
import { api, clickhouse, history, identity, namespace, workload } from "../parts/variables.ts";

export default {
  uid: "meshproof-identity",
  title: "identity",
  description:
    "Who reaches what, what is new in that, and who is it that nobody has authenticated?",
  variables: [clickhouse, namespace, workload, identity, history, api],
  from: "now-6h",
} satisfies DashboardOptions;
