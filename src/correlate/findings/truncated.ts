import { counted, defineFinding } from "./define.ts";

/** Records with values that were cut. The subject is the sender. */
export default defineFinding({
  severity: "info",
  isGap: false,
  sentence: (count, subject) =>
    `${counted(count, "record")} from ${subject} had values cut to fit max_record_size.`,
});
