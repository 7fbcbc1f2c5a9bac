import { defineFinding } from "./define.ts";

/** The machine's clock was set: times of records before and after cannot be compared, their order in the log can. The subject is the log. */
export default defineFinding({
  severity: "warning",
  isGap: false,
  sentence: (count, subject) =>
    `The clock under ${subject} was set${count === 1 ? "" : ` ${count} times`}: times on both sides of it cannot be compared, places in the log can.`,
});
