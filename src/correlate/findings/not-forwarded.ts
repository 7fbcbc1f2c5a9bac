import { counted, defineFinding, wasWere } from "./define.ts";

/** Records that are sealed and stored here and were not passed on. The subject is the backend that should have got them. */
export default defineFinding({
  severity: "warning",
  isGap: false,
  sentence: (count, subject) =>
    `${counted(count, "record")} ${wasWere(count)} not passed on to ${subject}; here nothing is missing.`,
});
