import { metrics } from "../parts/panels.ts";
import { rate } from "../parts/promql.ts";

export default metrics({
  title: "Refused",
  description:
    "Requests a second that were refused whole, by error code, and records that were rejected alone. UNAVAILABLE is overload or a full buffer; the sender tries again.",
  unit: "cps",
  queries: {
    "requests {{code}}": `sum by (code) (${rate("meshproof_receiver_refused_requests")})`,
    "records alone, {{signal}}": `sum by (signal) (${rate("meshproof_receiver_rejected_records")})`,
    "batches again, {{signal}}": `sum by (signal) (${rate("meshproof_deduplicated_batches")})`,
  },
});
