import { counted, defineFinding } from "./define.ts";

/** Spans of proxies of which nobody can say whether an access record came: nothing is known to be missing. The subject is the option that is too small. */
export default defineFinding({
  severity: "warning",
  isGap: false,
  sentence: (count, subject) =>
    `The correlation window was too small: ${counted(count, "span")} of proxies could not be judged. Raise ${subject} or shorten the window.`,
});
