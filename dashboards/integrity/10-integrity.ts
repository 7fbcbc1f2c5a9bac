import { stat } from "../parts/panels.ts";
import { lastVerdict } from "../parts/seal.ts";

export default stat({
  title: "Integrity",
  description:
    "Last verification by the server itself, within a week: is what is stored what was sealed? Whoever has the machine can change this panel too; `meshproof verify` elsewhere is the evidence.",
  noValue: "not yet verified",
  sql: lastVerdict("integrity"),
});
