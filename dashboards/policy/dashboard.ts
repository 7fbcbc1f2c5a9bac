import type { DashboardOptions } from "../parts/dashboard.ts";
import { api, clickhouse, identity, namespace, policy, workload } from "../parts/variables.ts";

export default {
  uid: "meshproof-policy",
  title: "policy decisions",
  description:
    "Which policies refuse whom, and what would a policy break that runs in shadow mode (dry run)?",
  variables: [clickhouse, namespace, workload, policy, identity, api],
  from: "now-6h",
} satisfies DashboardOptions;
