import type { DashboardOptions } from "../parts/dashboard.ts";
import { CHOSEN } from "../parts/access.ts";
import { api, clickhouse, filters, filterValues } from "../parts/variables.ts";

export default {
  uid: "meshproof-access",
  title: "access investigation",
  description:
    "Who did what, when, and what was decided? From a record to its trace, and to the proof that it is what was sealed.",
  variables: [clickhouse, ...CHOSEN, filters, filterValues, api],
  refresh: "",
} satisfies DashboardOptions;
