import { clickHouse } from "../parts/datasource.ts";
import { traces } from "../parts/panels.ts";
import { MAX_SPANS, TRACE_VIEW } from "../parts/trace.ts";

export default traces({
  title: "Trace",
  description:
    "The spans of the trace. Those of proxies carry what the linked access record says as attributes meshproof.*, meshproof.record among them.",
  limit: MAX_SPANS,
  target: clickHouse(TRACE_VIEW, "traces"),
});
