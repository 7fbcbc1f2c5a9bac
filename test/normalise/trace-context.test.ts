import fc from "fast-check";
import t from "tap";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { attributes, normalise } from "../support/normalise.ts";

const normaliser = new Normaliser({ redact: { queryParameters: [], headers: [] } });
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

/** TraceSource, TraceId, SpanId, TraceFlags, SampledHint of a record with these attributes. */
function trace(values: Record<string, string | bigint>, record: object = {}): unknown[] {
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

t.test(
  "a traceparent that came twice is none, as joined header, list or two attributes",
  async (t) => {
    const one = `00-${TRACE}-${SPAN}-01`;
    const other = `00-${"1".repeat(32)}-${SPAN}-01`;
    t.strictSame(trace({ traceparent: `${one}, ${other}` }), NONE);
    const key = "http.request.header.traceparent";
    const values = [one, other].map((stringValue) => ({ stringValue }));
    const base = attributes({
      method: "GET",
      path: "/",
      response_code: "200",
      response_flags: "-",
    });
    for (const twice of [
      [{ key, value: { arrayValue: { values } } }],
      values.map((value) => ({ key, value })),
    ]) {
      const columns = normalise(normaliser, { record: { attributes: [...base, ...twice] } })!;
      t.equal(columns["TraceSource"], "none");
      const kept = columns["LogAttributes"] as [string, string][];
      t.equal(kept.filter(([name]) => name === key).length, twice.length, "both are kept");
    }
    const same = attributes({ [key]: one });
    const columns = normalise(normaliser, { record: { attributes: [...base, ...same, ...same] } })!;
    t.equal(columns["TraceId"], TRACE, "the same one twice says one thing");
  },
);

t.test("the record's own IDs outrank traceparent, that an attribute, and that B3", async (t) => {
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
    "attribute",
    values.trace_id,
    undefined,
    0,
    1,
  ]);
  t.strictSame(trace({ b3: values.b3 }), ["b3", "3".repeat(32), "4".repeat(16), 1, 1]);
  t.strictSame(
    trace(values, { traceId: "0".repeat(32), spanId: "0".repeat(16) })[0],
    "traceparent",
    "an all-zero ID is absent",
  );
});

t.test("a trace ID alone gets its span ID from what else has that trace ID", async (t) => {
  const other = "1".repeat(32);
  const headers: Record<string, string>[] = [
    { traceparent: `00-${TRACE}-${SPAN}-01` },
    { trace_id: TRACE.toUpperCase(), span_id: SPAN },
    { b3: `${TRACE}-${SPAN}-1` },
    { "x-b3-traceid": TRACE, "x-b3-spanid": SPAN },
  ];
  for (const header of headers) {
    const name = JSON.stringify(header);
    t.strictSame(trace(header, { traceId: TRACE }).slice(0, 3), ["field", TRACE, SPAN], name);
    t.strictSame(trace(header, { traceId: other }).slice(0, 3), ["field", other, undefined], name);
  }
  t.strictSame(trace({ trace_id: TRACE, ...headers[2] }).slice(0, 3), ["attribute", TRACE, SPAN]);
});

t.test("B3 is read in one header and in several, with short IDs filled up", async (t) => {
  const long = TRACE.slice(16).padStart(32, "0");
  t.strictSame(trace({ b3: `${TRACE}-${SPAN}` }), ["b3", TRACE, SPAN, 0, -1]);
  t.strictSame(trace({ b3: `${TRACE.slice(16)}-${SPAN}-d` }), ["b3", long, SPAN, 1, 1]);
  t.strictSame(trace({ b3: "0" }), ["none", undefined, undefined, 0, 0]);
  t.strictSame(trace({ b3: `${TRACE}-${SPAN}-${"1".repeat(16)}` }), ["b3", TRACE, SPAN, 0, -1]);
  for (const [state, sampled] of [
    ["1", 1],
    ["True", 1],
    ["0", 0],
    ["FALSE", 0],
    ["10", -1],
    ["trash", -1],
  ] as const)
    t.equal(trace({ "x-b3-sampled": state })[4], sampled, state);
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
    `${TRACE}-${SPAN}-`,
    `${TRACE}-${SPAN}-x`,
    `${TRACE}-${SPAN}-1-`,
    `${TRACE}-${SPAN}-1-${SPAN.slice(1)}`,
    `${TRACE}-${SPAN}-1-${SPAN}-1`,
    `${TRACE}-${SPAN}-1,${TRACE}-${SPAN}-0`,
    "-",
    "x",
  ]) {
    t.equal(trace({ b3 })[0], "none", b3);
  }
});

/** 2^64 - 1, and the IDs of the other tests in decimal. */
const LARGEST = "18446744073709551615";
const LOW_HALF = TRACE.slice(16);
const decimal = (hex: string): string => String(BigInt(`0x${hex}`));

t.test(
  "Datadog's IDs are decimal, with the high half of the trace ID among the tags",
  async (t) => {
    const low = decimal(LOW_HALF);
    const short = LOW_HALF.padStart(32, "0");
    const cases: [Record<string, string>, unknown[]][] = [
      [{ "x-datadog-trace-id": low }, ["datadog", short, undefined, 0, -1]],
      [
        {
          "x-datadog-trace-id": low,
          "x-datadog-parent-id": decimal(SPAN),
          "x-datadog-sampling-priority": "2",
          "x-datadog-tags": `_dd.p.dm=-1,_dd.p.tid=${TRACE.slice(0, 16)}`,
        },
        ["datadog", TRACE, SPAN, 1, 1],
      ],
      [
        { "x-datadog-trace-id": low, "x-datadog-tags": "_dd.p.tid=0af7" },
        ["datadog", short, undefined, 0, -1],
      ],
      [
        { "x-datadog-trace-id": low, "x-datadog-sampling-priority": "-1" },
        ["datadog", short, undefined, 0, 0],
      ],
      [{ "dd.trace_id": TRACE, "dd.span_id": decimal(SPAN) }, ["datadog", TRACE, SPAN, 0, -1]],
      [{ "dd.trace_id": LOW_HALF }, ["datadog", short, undefined, 0, -1]],
      [{ "dd.trace_id": "1" }, ["datadog", "1".padStart(32, "0"), undefined, 0, -1]],
      [
        { "dd.trace_id": "1234567890123456" },
        ["datadog", "000462d53c8abac0".padStart(32, "0"), undefined, 0, -1],
      ],
      [{ "dd.trace_id": LARGEST }, ["datadog", "f".repeat(16).padStart(32, "0"), undefined, 0, -1]],
      [
        { "dd.trace_id": "1", "dd.span_id": LARGEST },
        ["datadog", "1".padStart(32, "0"), "f".repeat(16), 0, -1],
      ],
    ];
    for (const [values, expected] of cases)
      t.strictSame(trace(values), expected, JSON.stringify(values));
    for (const id of [
      "0",
      "00000000000000000000",
      "18446744073709551616",
      "99999999999999999999",
      "184467440737095516150",
      "-1",
      "1.5",
      "0x1f",
      "abc",
      "0".repeat(32),
    ])
      t.strictSame(trace({ "dd.trace_id": id }), NONE, id);
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), (id) => {
        const hex = id.toString(16).padStart(32, "0");
        return trace({ "x-datadog-trace-id": String(id) })[1] === hex;
      }),
    );
  },
);

t.test("Datadog's IDs may be integers, which are negative from 2^63 on", async (t) => {
  t.strictSame(
    trace({
      "x-datadog-trace-id": BigInt.asIntN(64, BigInt(`0x${LOW_HALF}`)),
      "x-datadog-parent-id": BigInt.asIntN(64, BigInt(`0x${SPAN}`)),
      "x-datadog-sampling-priority": 2n,
      "x-datadog-tags": `_dd.p.tid=${TRACE.slice(0, 16)}`,
    }),
    ["datadog", TRACE, SPAN, 1, 1],
  );
  const one = "1".padStart(32, "0");
  for (const [priority, sampled] of [
    [-1n, 0],
    [0n, 0],
    [1n, 1],
    [7n, -1],
  ] as const)
    t.strictSame(
      trace({ "dd.trace_id": 1n, "datadog.sampling_priority": priority }),
      ["datadog", one, undefined, Math.max(sampled, 0), sampled],
      String(priority),
    );
  t.strictSame(trace({ "dd.trace_id": 0n }), NONE);
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), (id) => {
      const hex = id.toString(16).padStart(32, "0");
      const span = hex.slice(16);
      const [, traceId, spanId] = trace({
        "dd.trace_id": BigInt.asIntN(64, id),
        "dd.span_id": BigInt.asIntN(64, id),
      });
      return traceId === hex && spanId === span;
    }),
  );
});

t.test(
  "Jaeger's header has hex without zeros in front, and colons in either spelling",
  async (t) => {
    const cases: [string, unknown[]][] = [
      [`${TRACE}:${SPAN}:0:1`, ["jaeger", TRACE, SPAN, 1, 1]],
      [`${TRACE}:${SPAN}:${"1".repeat(16)}:0`, ["jaeger", TRACE, SPAN, 0, 0]],
      [`${TRACE.toUpperCase()}:${SPAN}:0:03`, ["jaeger", TRACE, SPAN, 1, 1]],
      [`abc:d:0:2`, ["jaeger", "abc".padStart(32, "0"), "d".padStart(16, "0"), 0, 0]],
      [`${TRACE}%3A${SPAN}%3a0%3A1`, ["jaeger", TRACE, SPAN, 1, 1]],
    ];
    for (const [header, expected] of cases)
      t.strictSame(trace({ "uber-trace-id": header }), expected, header);
    for (const header of [
      `${TRACE}:${SPAN}:0`,
      `${TRACE}:${SPAN}:0:`,
      `${TRACE}:${SPAN}:0:1:`,
      `${TRACE}:${SPAN}:0:111`,
      `${TRACE}:${SPAN}:0:1,${TRACE}:${SPAN}:0:1`,
      `${TRACE}0:${SPAN}:0:1`,
      `0:${SPAN}:0:1`,
      `${TRACE}:0:0:1`,
      `${TRACE}%3${SPAN}:0:1`,
      ":::",
      "",
    ])
      t.strictSame(trace({ "uber-trace-id": header }), NONE, header);
  },
);

t.test("what Kuma logs in one place is B3's ID by its length, else Datadog's", async (t) => {
  const either = (id: string): unknown[] => trace({ b3_or_datadog_trace_id: id }).slice(0, 2);
  t.strictSame(either(TRACE), ["b3", TRACE]);
  t.strictSame(either(LOW_HALF), ["b3", LOW_HALF.padStart(32, "0")]);
  t.strictSame(either("1234567890123456"), ["b3", "1234567890123456".padStart(32, "0")]);
  t.strictSame(either(decimal(LOW_HALF)), ["datadog", LOW_HALF.padStart(32, "0")]);
  t.strictSame(either("12345"), ["datadog", (12345).toString(16).padStart(32, "0")]);
  for (const id of ["0", "0".repeat(16), "0".repeat(32), "abc", "x"])
    t.strictSame(either(id), ["none", undefined], id);
});

t.test("X-Ray's root is a trace ID in three parts, in any order among others", async (t) => {
  const root = `1-${TRACE.slice(0, 8)}-${TRACE.slice(8)}`;
  const cases: [string, unknown[]][] = [
    [`Root=${root}`, ["xray", TRACE, undefined, 0, -1]],
    [`Root=${root};Parent=${SPAN};Sampled=1`, ["xray", TRACE, SPAN, 1, 1]],
    [`Sampled=0;Parent=${SPAN};Root=${root}`, ["xray", TRACE, SPAN, 0, 0]],
    [
      `Self=1-0-0; Root=${root.toUpperCase()}; Lineage=a:1;Sampled=?`,
      ["xray", TRACE, undefined, 0, -1],
    ],
    [`root=${root};SAMPLED=1;`, ["xray", TRACE, undefined, 1, 1]],
    [`Root=${root};Parent=${"0".repeat(16)}`, ["xray", TRACE, undefined, 0, -1]],
    [root, ["xray", TRACE, undefined, 0, -1]],
  ];
  for (const [header, expected] of cases)
    t.strictSame(trace({ "x-amzn-trace-id": header }), expected, header);
  for (const header of [
    `Parent=${SPAN};Sampled=1`,
    `Self=${root}`,
    `Root=2${root.slice(1)}`,
    `Root=${root}0`,
    `Root=${root.slice(0, -1)}`,
    `Root=${root.replace("-", "_")}`,
    `Root=${root.slice(0, -1)}g`,
    `Root=1-${"0".repeat(8)}-${"0".repeat(24)}`,
    "Root=",
    ";;=;",
    TRACE,
  ])
    t.strictSame(trace({ "x-amzn-trace-id": header }), NONE, header);
});

t.test("Google's header has the span in decimal", async (t) => {
  const cases: [string, unknown[]][] = [
    [TRACE, ["cloud_trace", TRACE, undefined, 0, -1]],
    [`${TRACE}/${decimal(SPAN)}`, ["cloud_trace", TRACE, SPAN, 0, -1]],
    [`${TRACE}/1;o=1`, ["cloud_trace", TRACE, "1".padStart(16, "0"), 1, 1]],
    [`${TRACE}/0;o=0`, ["cloud_trace", TRACE, undefined, 0, 0]],
    [`${TRACE.toUpperCase()};o=1`, ["cloud_trace", TRACE, undefined, 1, 1]],
    [`${TRACE}/${SPAN};o=`, ["cloud_trace", TRACE, undefined, 0, -1]],
    [`${TRACE}/${LARGEST}0;o=2`, ["cloud_trace", TRACE, undefined, 0, -1]],
  ];
  for (const [header, expected] of cases)
    t.strictSame(trace({ "x-cloud-trace-context": header }), expected, header);
  for (const header of [
    LOW_HALF,
    `${TRACE}0/1`,
    "0".repeat(32),
    `${"0".repeat(32)}/1;o=1`,
    "/1;o=1",
    ";",
  ])
    t.strictSame(trace({ "x-cloud-trace-context": header }), NONE, header);
});

t.test("SkyWalking's ID is a trace ID when it is a UUID", async (t) => {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const uuid = TRACE.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  const sw8 = (id: string, sample = "1"): unknown[] =>
    trace({ sw8: `${sample}-${base64(id)}-${base64("segment")}-3-${base64("web")}-a-b-c` });
  t.strictSame(sw8(uuid), ["sw8", TRACE, undefined, 1, 1]);
  t.strictSame(sw8(TRACE.toUpperCase(), "0"), ["sw8", TRACE, undefined, 0, 0]);
  for (const id of [
    `${TRACE}.61.16000000000000001`,
    "a",
    "",
    "0".repeat(32),
    `${uuid}0`,
    uuid.replaceAll("-", "_"),
  ])
    t.strictSame(sw8(id), NONE, id);
  for (const header of [
    "1",
    "1-",
    `1-${base64(uuid)}`,
    `1-${base64(uuid)}=-x`,
    `11-${base64(uuid)}-x`,
    "1-!!!!-x",
  ])
    t.strictSame(trace({ sw8: header }), NONE, header);
});

t.test("each source outranks those behind it", async (t) => {
  const ranked: [string, Record<string, string>][] = [
    ["traceparent", { traceparent: `00-${"1".repeat(32)}-${SPAN}-01` }],
    ["attribute", { trace_id: "2".repeat(32) }],
    ["b3", { b3: `${"3".repeat(32)}-${SPAN}-1` }],
    ["b3", { "x-b3-traceid": "4".repeat(32), "x-b3-spanid": SPAN }],
    ["datadog", { "x-datadog-trace-id": "5" }],
    ["datadog", { b3_or_datadog_trace_id: "6" }],
    ["jaeger", { "uber-trace-id": `${"7".repeat(32)}:1:0:1` }],
    ["xray", { "x-amzn-trace-id": `Root=1-${"8".repeat(8)}-${"8".repeat(24)}` }],
    ["cloud_trace", { "x-cloud-trace-context": "9".repeat(32) }],
    ["sw8", { sw8: `1-${Buffer.from("a".repeat(32)).toString("base64")}-x` }],
    ["none", { request_id: "b".repeat(32) }],
  ];
  for (let i = 0; i < ranked.length; i++) {
    const values = Object.assign({}, ...ranked.slice(i).map(([, one]) => one)) as Record<
      string,
      string
    >;
    const id = (i + 1).toString(16);
    const [source, traceId] = trace(values);
    t.equal(source, ranked[i]![0], `number ${id}`);
    if (source !== "none") t.match(traceId, new RegExp(`^0*${id}+$`), `number ${id}`);
  }
});

t.test("flags beside an attribute's ID are the trace's", async (t) => {
  t.strictSame(trace({ trace_id: TRACE, trace_flags: "01" }), [
    "attribute",
    TRACE,
    undefined,
    1,
    1,
  ]);
  t.strictSame(trace({ traceId: TRACE, traceFlags: "00" }), ["attribute", TRACE, undefined, 0, 0]);
  t.strictSame(trace({ trace_id: TRACE, trace_flags: "1" }), [
    "attribute",
    TRACE,
    undefined,
    0,
    -1,
  ]);
  t.strictSame(trace({ trace_flags: "01" }), NONE);
});

t.test(
  "an ID of the record and its headers in any bytes: valid or none, and never another's",
  async () => {
    const keys = [
      "traceparent",
      "b3",
      "x-b3-traceid",
      "x-b3-spanid",
      "trace_id",
      "span_id",
      "trace_flags",
      "x-datadog-trace-id",
      "x-datadog-parent-id",
      "x-datadog-tags",
      "x-datadog-sampling-priority",
      "b3_or_datadog_trace_id",
      "x-amzn-trace-id",
      "x-cloud-trace-context",
      "sw8",
    ];
    const piece = fc.oneof(
      fc.constantFrom(
        "-",
        "/",
        ";",
        "=",
        "Root=",
        "1-",
        "00-",
        ";o=1",
        "_dd.p.tid=",
        TRACE,
        SPAN,
        "0".repeat(16),
        "9".repeat(20),
        "MDAw",
        "====",
      ),
      fc.string({ unit: "binary", maxLength: 4 }),
    );
    const value = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), value), (values) => {
        const [source, traceId, spanId] = trace(values);
        return (
          (traceId === undefined) === (source === "none") &&
          (traceId === undefined || /^(?!0{32})[0-9a-f]{32}$/.test(String(traceId))) &&
          (spanId === undefined || /^(?!0{16})[0-9a-f]{16}$/.test(String(spanId)))
        );
      }),
      { numRuns: 3000 },
    );
  },
);

t.test("the digit that Envoy packs into x-request-id hints at sampling", async (t) => {
  const hint = (requestId: string): unknown => trace({ request_id: requestId })[4];
  for (const digit of ["9", "a", "b", "A"])
    t.equal(hint(`785918d6-06b6-${digit}312-8b8a-0123456789ab`), 1);
  for (const digit of ["4", "0", "c"])
    t.equal(hint(`785918d6-06b6-${digit}312-8b8a-0123456789ab`), -1);
  t.equal(hint("785918d6-06b6-9312-8b8a-0123456789a"), -1);
  t.equal(hint("785918d6x06b6x9312x8b8ax0123456789ab"), -1);
});
