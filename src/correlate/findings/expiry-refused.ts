import { counted, defineFinding } from "./define.ts";

/** Rows whose period is over and that are not what was sealed: they are kept, since they show that somebody changed the store. The subject is the table. */
export default defineFinding({
  severity: "error",
  isGap: false,
  sentence: (count, subject) =>
    `${counted(count, "partition")} of ${subject} did not expire, because rows there are not what was sealed.`,
});
