import { MATCHING, newestRecords, RECORD_UNITS } from "../parts/access.ts";
import { table } from "../parts/panels.ts";

export default table({
  title: "Newest matching records",
  description:
    "The newest first. TraceId leads to the whole trace; Record, to the proof that this record is what was sealed.",
  height: 14,
  units: RECORD_UNITS,
  isFiltered: true,
  sql: newestRecords(MATCHING, 500),
});
