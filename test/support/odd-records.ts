import type { Attributes, Batch, LogInput, SpanInput, Value } from "./otlp-writer.ts";
import { digest } from "./traffic.ts";

/** Records whose fields take, over a few dozen of them, every value that is easily got wrong. */

/** Records in a request. */
export const RECORDS = 2000;
const BASE_TIME = 1_790_000_000_123_456_789n;

const VALUES: readonly Value[] = [
  "plain",
  'ünï "quoted" \\ \n \u{1f980}',
  "",
  true,
  false,
  0n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
  0.1,
  -1.5e300,
  Number.NaN,
  digest("bytes", 20),
  null,
  ["a", 1n, [true, null]],
  { a: { b: [1n] }, "c d": 2.5 },
];

/** Log number `i`: over a few of them every field takes its odd values. */
export function oddLog(i: number): LogInput {
  return {
    time:
      i % 11 === 0
        ? 0n
        : i % 13 === 0
          ? 2n ** 63n + BigInt(i)
          : BASE_TIME + BigInt(i) * 1_000_000_007n,
    observed: BASE_TIME + BigInt(i),
    severityNumber: i % 25,
    severityText: ["INFO", "", "Wärn"][i % 3]!,
    body: VALUES[i % VALUES.length]!,
    attributes: oddAttributes(i),
    dropped: i % 5,
    flags: i % 4 === 0 ? 0x101 : 1,
    traceId: i % 7 === 0 ? new Uint8Array(16) : digest(`trace ${i}`, 16),
    spanId: i % 7 === 0 ? new Uint8Array(0) : digest(`span ${i}`, 8),
    eventName: i % 3 === 0 ? `event ${i}` : "",
  };
}

/** Span number `i`, with events and links. */
export function oddSpan(i: number): SpanInput {
  const start = BASE_TIME + BigInt(i) * 1_000_000_007n;
  return {
    traceId: digest(`trace ${i}`, 16),
    spanId: digest(`span ${i}`, 8),
    parentSpanId: i % 3 === 0 ? new Uint8Array(8) : digest(`parent ${i}`, 8),
    traceState: i % 2 === 0 ? "vendor=value,other=1" : "",
    name: `GET /${i % 20}`,
    kind: i % 6,
    start,
    end: i % 17 === 0 ? start - 1n : start + BigInt(i) * 1001n,
    attributes: oddAttributes(i),
    events: Array.from({ length: i % 3 }, (_, e) => ({
      time: start + BigInt(e),
      name: `event ${e}`,
      attributes: oddAttributes(i + e),
      dropped: e,
    })),
    links: Array.from({ length: i % 4 === 0 ? 2 : 0 }, (_, l) => ({
      traceId: digest(`linked ${i} ${l}`, 16),
      spanId: digest(`linked ${i} ${l}`, 8),
      traceState: "a=b",
      attributes: oddAttributes(i + l),
      flags: 0x300,
    })),
    status: { code: i % 3, message: i % 3 === 2 ? "it broke" : "" },
    flags: 0x100 + (i % 2),
    dropped: i % 3,
    droppedEvents: i % 5,
    droppedLinks: i % 7,
  };
}

function oddAttributes(i: number): Attributes {
  return [
    ["text", `value ${i}`],
    ["large", 2n ** 53n + BigInt(2 * i + 1)],
    ["negative", -(2n ** 62n) - BigInt(i)],
    ["ratio", i / 7],
    ["again", "first"],
    ["again", "second"],
    [`odd ${i % VALUES.length}`, VALUES[i % VALUES.length]!],
  ];
}

/** A request of RECORDS records under two resources, one with two scopes; `name` is the service of all. */
export function batchesOf<T>(name: string, record: (i: number) => T): Batch<T>[] {
  const records = Array.from({ length: RECORDS }, (_, i) => record(i));
  const third = Math.floor(RECORDS / 3);
  return [
    {
      resource: [
        ["service.name", name],
        ["process.pid", 4242n],
      ],
      resourceSchemaUrl: "https://opentelemetry.io/schemas/1.30.0",
      scopes: [
        {
          name: "one",
          version: "1.2.3",
          attributes: [["s", true]],
          records: records.slice(0, third),
        },
        { records: records.slice(third, 2 * third) },
      ],
    },
    {
      resource: [
        ["service.name", "not this one"],
        ["service.name", name],
      ],
      scopes: [
        { name: "two", schemaUrl: "https://example.org/schema", records: records.slice(2 * third) },
      ],
    },
  ];
}
