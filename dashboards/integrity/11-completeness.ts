import { stat } from "../parts/panels.ts";
import { lastVerdict } from "../parts/seal.ts";

export default stat({
  title: "Completeness",
  description:
    "The same verification's other verdict: is something known to be missing? Gaps are no tampering: the findings say what.",
  noValue: "not yet verified",
  sql: lastVerdict("completeness"),
});
