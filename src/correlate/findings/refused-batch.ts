import { counted, defineFinding, wasWere } from "./define.ts";

/** Requests that were refused whole. The subject is the sender. */
export default defineFinding({
  severity: "warning",
  isGap: true,
  sentence: (count, subject) =>
    `${counted(count, "request")} from ${subject} ${wasWere(count)} refused; what the sender did not send again is missing.`,
});
