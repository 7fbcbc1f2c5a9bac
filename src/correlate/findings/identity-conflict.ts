import { counted, defineFinding } from "./define.ts";

/** Access records whose sources name different peers or users: a misconfigured hop, or somebody who claims to be another. The subject is the workload whose proxy logged them. */
export default defineFinding({
  severity: "warning",
  isGap: false,
  sentence: (count, subject) =>
    `The sources of ${counted(count, "record")} of ${subject} contradict each other on who called; LogAttributes says which.`,
});
