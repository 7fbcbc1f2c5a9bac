import { stat } from "../parts/panels.ts";
import { lastVerdict } from "../parts/seal.ts";

export default stat({
  title: "Integrity",
  description:
    "Result of the last verification that the server made of itself, within a week: is every row what was sealed? An auditor runs `meshproof verify`.",
  noValue: "not yet verified",
  sql: lastVerdict("integrity"),
});
