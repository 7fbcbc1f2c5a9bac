import type { DashboardOptions } from "../parts/dashboard.ts";
import { instance, prometheus } from "../parts/variables.ts";

export default {
  uid: "meshproof-pipeline",
  title: "pipeline",
  description:
    "Does everything that comes in get sealed and stored, how fast, and how full are the buffers? From the metrics port by Prometheus: it sees what the store does not when the store is what fails.",
  variables: [prometheus, instance],
  refresh: "10s",
  hasAnnotations: false,
} satisfies DashboardOptions;
