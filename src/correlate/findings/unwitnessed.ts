import { defineFinding } from "./define.ts";

/** Checkpoints were published without the quorum of witnesses that the policy asks for. The subject is the log. */
export default defineFinding({
  severity: "warning",
  isGap: false,
  sentence: (_count, subject) =>
    `Checkpoints of ${subject} are published without the quorum of witnesses: until it is back, only the log's own signature stands against a second history.`,
});
