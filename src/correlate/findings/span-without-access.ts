import { counted, defineFinding } from "./define.ts";

/** A blind spot: spans of a proxy that logged no access record with their IDs while the window was open. The subject is the workload. */
export default defineFinding({
  severity: "warning",
  isGap: true,
  sentence: (count, subject) =>
    `${counted(count, "request")} through the proxy of ${subject} left a span, and no access record with its trace and span ID came in time.`,
});
