import t from "tap";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { attributes, normalise } from "../support/normalise.ts";

const normaliser = new Normaliser({ redact: { queryParameters: [], headers: [] } });
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

/** TraceSource, TraceId, SpanId, TraceFlags, SampledHint of a record with these attributes. */
function trace(values: Record<string, string>, record: object = {}): unknown[] {
  const columns = normalise(normaliser, {
    record: {
      ...record,
      attributes: attributes({
        method: "GET",
        path: "/",
        response_code: "200",
        response_flags: "-",
        ...values,
      }),
    },
  })!;
  return [
    columns["TraceSource"],
    columns["TraceId"],
    columns["SpanId"],
    columns["TraceFlags"] ?? 0,
    columns["SampledHint"] ?? -1,
  ];
}

const NONE = ["none", undefined, undefined, 0, -1];

t.test("traceparent is read as the W3C suite demands", async (t) => {
  const good: [string, number][] = [
    [`00-${TRACE}-${SPAN}-01`, 1],
    [`00-${TRACE}-${SPAN}-00`, 0],
    [`00-${TRACE}-${SPAN}-03`, 3],
    [`00-${TRACE}-${SPAN}-ff`, 255],
    [` \t00-${TRACE}-${SPAN}-01 \t`, 1],
    [`cc-${TRACE}-${SPAN}-01`, 1],
    [`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, 1],
    [`01-${TRACE}-${SPAN}-01-`, 1],
  ];
  for (const [header, flags] of good)
    t.strictSame(
      trace({ traceparent: header }),
      ["traceparent", TRACE, SPAN, flags, flags & 1],
      header,
    );
  const bad = [
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}-${SPAN}-01-`,
    `00-${TRACE}-${SPAN}-01.`,
    `00-${TRACE}-${SPAN}-01-what`,
    `cc-${TRACE}-${SPAN}-01.what`,
    `cc-${TRACE}-${SPAN}-011`,
    `ff-${TRACE}-${SPAN}-01`,
    `.0-${TRACE}-${SPAN}-01`,
    `0-${TRACE}-${SPAN}-01`,
    `000-${TRACE}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-.${TRACE.slice(1)}-${SPAN}-01`,
    `00-${TRACE.slice(1)}-${SPAN}-01`,
    `00-${TRACE}0-${SPAN}-01`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE}-.${SPAN.slice(1)}-01`,
    `00-${TRACE}-${SPAN.slice(1)}-01`,
    `00-${TRACE}-${SPAN}-.0`,
    `00-${TRACE}-${SPAN}-0.`,
    `00-${TRACE}-${SPAN}-0A`,
    `00_${TRACE}-${SPAN}-01`,
    `00-${TRACE}_${SPAN}-01`,
    `00-${TRACE}-${SPAN}_01`,
    `00-${TRACE}-${SPAN}-01,00-${TRACE}-${SPAN}-01`,
    " ",
    "00",
  ];
  for (const header of bad) t.strictSame(trace({ traceparent: header }), NONE, header);
});

t.test("the record's own IDs outrank traceparent, that B3, and that an attribute", async (t) => {
  const other = "1".repeat(32);
  const record = { traceId: TRACE, spanId: SPAN, flags: 1 };
  const values = {
    traceparent: `00-${other}-${"2".repeat(16)}-00`,
    b3: `${"3".repeat(32)}-${"4".repeat(16)}-1`,
    trace_id: "5".repeat(32),
  };
  t.strictSame(trace(values, record), ["field", TRACE, SPAN, 1, 1]);
  t.strictSame(trace(values), ["traceparent", other, "2".repeat(16), 0, 0]);
  t.strictSame(trace({ ...values, traceparent: "-" }), [
    "b3",
    "3".repeat(32),
    "4".repeat(16),
    1,
    1,
  ]);
  t.strictSame(trace({ trace_id: values.trace_id }), [
    "attribute",
    values.trace_id,
    undefined,
    0,
    -1,
  ]);
  t.strictSame(
    trace(values, { traceId: "0".repeat(32), spanId: "0".repeat(16) })[0],
    "traceparent",
    "an all-zero ID is absent",
  );
});

t.test("B3 is read in one header and in several, with short IDs filled up", async (t) => {
  const long = TRACE.slice(16).padStart(32, "0");
  t.strictSame(trace({ b3: `${TRACE}-${SPAN}` }), ["b3", TRACE, SPAN, 0, -1]);
  t.strictSame(trace({ b3: `${TRACE.slice(16)}-${SPAN}-d` }), ["b3", long, SPAN, 1, 1]);
  t.strictSame(trace({ b3: "0" }), ["none", undefined, undefined, 0, 0]);
  t.strictSame(trace({ "x-b3-traceid": TRACE.slice(16), "x-b3-spanid": SPAN, "x-b3-flags": "1" }), [
    "b3",
    long,
    SPAN,
    1,
    1,
  ]);
  t.strictSame(trace({ "x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "false" }), [
    "b3",
    TRACE,
    SPAN,
    0,
    0,
  ]);
  for (const b3 of [
    `${TRACE}${SPAN}`,
    `${TRACE}-`,
    `${TRACE}-${SPAN.slice(1)}`,
    `${TRACE}-${"0".repeat(16)}`,
    `${"0".repeat(32)}-${SPAN}`,
    `${TRACE}-${SPAN}x1`,
    "-",
    "x",
  ]) {
    t.equal(trace({ b3 })[0], "none", b3);
  }
});

t.test("the digit that Envoy packs into x-request-id hints at sampling", async (t) => {
  const hint = (requestId: string): unknown => trace({ request_id: requestId })[4];
  for (const digit of ["9", "a", "b", "A"])
    t.equal(hint(`785918d6-06b6-${digit}312-8b8a-0123456789ab`), 1);
  for (const digit of ["4", "0", "c"])
    t.equal(hint(`785918d6-06b6-${digit}312-8b8a-0123456789ab`), -1);
  t.equal(hint("785918d6-06b6-9312-8b8a-0123456789a"), -1);
  t.equal(hint("785918d6x06b6x9312x8b8ax0123456789ab"), -1);
});
