import { counted, defineFinding, wasWere } from "./define.ts";

/** Rows that ClickHouse did not take. The subject is the table. */
export default defineFinding({
  severity: "error",
  isGap: true,
  sentence: (count, subject) =>
    `${counted(count, "row")} of ${subject} ${wasWere(count)} refused by ClickHouse and put into quarantine.`,
});
