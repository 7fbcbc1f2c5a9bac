import { VALUE_TYPES } from "../../records/attributes.ts";
import { defineDialect } from "../dialect.ts";
import { LINE, LINE_FIELDS } from "../istio-line.ts";

/** Istio's default text line as the body of a log record, alone or with labels as attributes. The line outranks the labels. */
export default defineDialect({
  name: "istio_text",
  source:
    "https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format",
  matches: (_plan, _traits, bodyType) => bodyType === VALUE_TYPES.string,
  map(reading) {
    const { view } = reading;
    const line = reading.istioLine.read(reading, view.bodyStart, view.bodyEnd);
    if (line === LINE.foreign) return false;
    reading.bodyFields = LINE_FIELDS;
    if (line === LINE.partial) reading.partial = true;
    reading.takeAttributes();
    return true;
  },
});
