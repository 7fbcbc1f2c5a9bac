import { MAX_LOGS, otelLogsOfTrace } from "../parts/otel.ts";
import { logs } from "../parts/panels.ts";

export default logs({
  title: "Logs of the trace",
  description: "What applications logged under this trace ID.",
  limit: MAX_LOGS,
  target: otelLogsOfTrace(),
});
