import { metrics } from "../parts/panels.ts";
import { gauge, rate } from "../parts/promql.ts";

export default metrics({
  title: "CPU and clock",
  description:
    "Cores that the process uses, and by how much the wall clock went otherwise than time did since the start.",
  unit: "short",
  queries: {
    cores: `sum(${rate("otelcol_process_cpu_seconds")})`,
    "clock offset, s": `max(abs(${gauge("meshproof_clock_offset_seconds")}))`,
  },
});
