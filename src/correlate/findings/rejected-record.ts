import { counted, defineFinding, wasWere } from "./define.ts";

/** Records that could not be read, each refused alone by partial success. The subject is the sender. */
export default defineFinding({
  severity: "error",
  isGap: true,
  sentence: (count, subject) =>
    `${counted(count, "record")} from ${subject} could not be read and ${wasWere(count)} rejected.`,
});
