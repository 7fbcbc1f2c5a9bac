import { metrics } from "../parts/panels.ts";
import { gauge } from "../parts/promql.ts";

export default metrics({
  title: "Memory",
  description:
    "Resident memory and JavaScript heap of the process, without the embedded ClickHouse, which is a process of its own.",
  unit: "bytes",
  queries: {
    resident: `sum(${gauge("otelcol_process_memory_rss")})`,
    heap: `sum(${gauge("otelcol_process_runtime_heap_alloc_bytes")})`,
  },
});
