import { newestRecords, RECORD_UNITS } from "../parts/access.ts";
import { table } from "../parts/panels.ts";
import { TRACE } from "../parts/variables.ts";

export default table({
  title: "Access records of the trace",
  description:
    "What each proxy recorded of the request, also where no span came. Record leads to the proof, Actor and Policy to what else they did.",
  units: RECORD_UNITS,
  sql: newestRecords(`TraceId = ${TRACE}`, 200),
});
