import { otelLogsOfTrace } from "../parts/otel.ts";
import { logs } from "../parts/panels.ts";

export default logs({
  title: "Logs of the trace",
  description: "What applications logged under this trace ID.",
  target: otelLogsOfTrace("trace_id"),
});
