import type { Rule } from "./rule.ts";

/** Same trace ID and same span ID: a proxy logs the IDs of the span that it made of the request. */
export const spanRule: Rule = {
  name: "span",
  confidence: 1,
  keyOf({ hasTraceId, hasSpanId, ids }, key) {
    if (!hasTraceId || !hasSpanId) return false;
    for (let i = 0; i < ids.length; i++) key[i] = ids[i]!;
    return true;
  },
};
