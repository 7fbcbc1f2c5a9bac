import { defineFinding } from "./define.ts";

/** A witness has a checkpoint of this log that the log itself does not have: proof of a rollback or a fork. The subject is the witness. */
export default defineFinding({
  severity: "error",
  isGap: false,
  sentence: (_count, subject) =>
    `Witness ${subject} has a checkpoint that this log's key signed and this log does not have: the log was taken back, forked, or its key is used elsewhere.`,
});
