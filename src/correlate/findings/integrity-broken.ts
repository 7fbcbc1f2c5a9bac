import { counted, defineFinding, wasWere } from "./define.ts";

/** A scheduled verification found that something is not what was sealed. The subject is the log. */
export default defineFinding({
  severity: "error",
  isGap: false,
  sentence: (count, subject) =>
    `${counted(count, "fault")} ${wasWere(count)} found when ${subject} was verified: something is not what was sealed. Run meshproof verify.`,
});
