import { createHash } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { MeshproofError } from "../src/core/errors.ts";
import { ROW_PREFIX_LENGTH } from "../src/core/rows.ts";
import { RequestEncoder } from "../src/encoder.ts";
import { Normaliser } from "../src/normalise/normaliser.ts";
import {
  actualRows,
  type Expected,
  expectedLog,
  expectedRows,
  expectedSpan,
} from "./support/expected-rows.ts";
import {
  type Attributes,
  type Batch,
  type LogInput,
  oneScope,
  type SpanInput,
  type Value,
  writeLogs,
  writeTraces,
} from "./support/otlp-writer.ts";
import { applicationBody, spanBody } from "./support/traffic.ts";
import { transcodeLogs } from "./support/transcoding.ts";

const RECEIVED_AT = 1_795_000_000_123_456_789n;
const RECEIVED = {
  receivedAtNs: RECEIVED_AT,
  sender: "127.0.0.1",
  senderAuth: "none",
  retentionClass: "default",
};
const MIB = 1024 * 1024;

function createEncoder(
  limits: { maxRecordBytes?: number; maxEncodedBytes?: number } = {},
): RequestEncoder {
  return new RequestEncoder({
    logId: "0123456789abcdef",
    normaliser: new Normaliser({
      // Arbitrary texts may look like addresses, numbers like cards.
      redact: { detect: { email: false, card: false, userinfo: false } },
    }),
    maxRecordBytes: limits.maxRecordBytes ?? MIB,
    maxEncodedBytes: limits.maxEncodedBytes ?? 64 * MIB,
  });
}

const encoder = createEncoder();

/** Where the first record of a small request begins: behind request, empty resource, scope logs, empty scope and the record's own length. */
const RECORD_OFFSET = 10;

/** Only the columns that `expected` speaks of. */
function pick(actual: Expected, expected: Expected): Expected {
  return Object.fromEntries(Object.keys(expected).map((name) => [name, actual[name]]));
}

// Texts that need one, two, three and four bytes a character, and lengths on both sides of one-byte lengths.
const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.constantFrom(
    "",
    "-",
    "\n",
    "\u0000",
    "é".repeat(64),
    "x".repeat(127),
    "x".repeat(128),
    "x".repeat(300),
    'quote " back \\ tab \t \b \f',
  ),
);
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(
    0n,
    1n,
    -1n,
    9n,
    10n,
    99n,
    100n,
    127n,
    128n,
    2n ** 31n,
    2n ** 32n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    -(2n ** 53n) - 1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
  ),
);
const scalar: fc.Arbitrary<Value> = fc.oneof(
  text,
  fc.boolean(),
  int64,
  fc.double(),
  fc.uint8Array({ maxLength: 200 }),
  fc.constant(null),
);
const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      text.filter((key) => !/^(\d+|__proto__)$/.test(key)),
      tie("value"),
      { maxKeys: 4 },
    ),
  ),
})).value;
const attributes: fc.Arbitrary<Attributes> = fc.array(fc.tuple(text, value), { maxLength: 8 });
const id = (bytes: number): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    fc.uint8Array({ minLength: bytes, maxLength: bytes }),
    fc.constantFrom(new Uint8Array(bytes), new Uint8Array(0)),
  );
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const time = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(
    0n,
    1n,
    1_790_000_000_123_456_789n,
    4_291_747_199_999_999_999n,
    4_291_747_200_000_000_000n,
    2n ** 63n,
    2n ** 64n - 1n,
  ),
);
const log: fc.Arbitrary<LogInput> = fc.record(
  {
    time,
    observed: time,
    severityNumber: fc.integer({ min: 0, max: 24 }),
    severityText: text,
    body: value,
    attributes,
    dropped: uint32,
    flags: uint32,
    traceId: id(16),
    spanId: id(8),
    eventName: text,
  },
  { requiredKeys: [] },
);
const span: fc.Arbitrary<SpanInput> = fc.record(
  {
    traceId: id(16),
    spanId: id(8),
    parentSpanId: id(8),
    traceState: text,
    name: text,
    kind: fc.integer({ min: 0, max: 6 }),
    start: time,
    end: time,
    attributes,
    events: fc.array(
      fc.record({ time, name: text, attributes, dropped: uint32 }, { requiredKeys: [] }),
      { maxLength: 3 },
    ),
    links: fc.array(
      fc.record(
        {
          traceId: id(16),
          spanId: id(8),
          traceState: text,
          attributes,
          dropped: uint32,
          flags: uint32,
        },
        { requiredKeys: [] },
      ),
      { maxLength: 3 },
    ),
    status: fc.record(
      { code: fc.integer({ min: 0, max: 3 }), message: text },
      { requiredKeys: [] },
    ),
    flags: uint32,
    dropped: uint32,
    droppedEvents: uint32,
    droppedLinks: uint32,
  },
  { requiredKeys: [] },
);
function batches<T>(record: fc.Arbitrary<T>): fc.Arbitrary<Batch<T>[]> {
  const scope = fc.record({
    name: text,
    version: text,
    attributes,
    schemaUrl: text,
    records: fc.array(record, { minLength: 1, maxLength: 4 }),
  });
  return fc.array(
    fc.record({
      resource: attributes,
      resourceSchemaUrl: text,
      scopes: fc.array(scope, { maxLength: 2 }),
    }),
    { maxLength: 3 },
  );
}

t.test("every field of every log comes out as it went in", async (t) => {
  await fc.assert(
    fc.asyncProperty(batches(log), async (input) => {
      const { sections, rejected } = await encoder.encode("logs", writeLogs(input), RECEIVED);
      t.equal(rejected, 0);
      const expected = expectedRows(input, (batch, scope, record) =>
        expectedLog(batch, scope, record, RECEIVED_AT),
      );
      const actual = actualRows(sections[0]);
      t.same(
        actual.map((row, i) => pick(row, expected[i]!)),
        expected,
      );
    }),
    { numRuns: 300 },
  );
});

t.test("every field of every span, event and link comes out as it went in", async (t) => {
  await fc.assert(
    fc.asyncProperty(batches(span), async (input) => {
      const { sections, rejected } = await encoder.encode("traces", writeTraces(input), RECEIVED);
      t.equal(rejected, 0);
      const expected = expectedRows(input, (batch, scope, record) =>
        expectedSpan(batch, scope, record, RECEIVED_AT),
      );
      const actual = actualRows(sections[0]);
      t.same(
        actual.map((row, i) => pick(row, expected[i]!)),
        expected,
      );
    }),
    { numRuns: 300 },
  );
});

t.test(
  "a row says who sent it and when, has a salt of its own, and its hash is that of its bytes",
  async (t) => {
    const { sections } = await encoder.encode("logs", applicationBody(50), RECEIVED);
    const section = sections[0]!;
    const rows = actualRows(section);
    t.equal(rows.length, 50);
    t.equal(new Set(rows.map((row) => row["Salt"])).size, 50);
    for (const [i, row] of rows.entries()) {
      t.match(row, {
        LeafVersion: 1,
        Kind: 3,
        ReceivedTimestamp: RECEIVED_AT,
        Sender: "127.0.0.1",
        SenderAuth: "none",
        RetentionClass: "default",
        Truncations: [],
        Redactions: [],
      });
      const start = section.offsets[i]!;
      t.equal(
        Buffer.from(section.bytes.subarray(start, start + 17)).toString("latin1"),
        "\x100123456789abcdef",
      );
      const digest = createHash("sha256")
        .update(section.bytes.subarray(start + ROW_PREFIX_LENGTH, section.offsets[i + 1]))
        .digest();
      t.equal(Buffer.compare(digest, section.hashes.subarray(i * 32, i * 32 + 32)), 0);
    }
  },
);

t.test("one bad record is rejected alone, and the message says which and why", async (t) => {
  const good = { time: 1n, body: "good" };
  const input = oneScope<LogInput>([
    good,
    { traceId: new Uint8Array(15).fill(1) },
    good,
    { spanId: new Uint8Array(9).fill(1) },
  ]);
  const result = await encoder.encode("logs", writeLogs(input), RECEIVED);
  t.equal(result.rejected, 2);
  t.match(result.message, /^log record 1: trace_id: expected 16 bytes, got 15/);
  t.same(
    actualRows(result.sections[0]).map((row) => row["Body"]),
    ["good", "good"],
  );
  const spans = await encoder.encode(
    "traces",
    writeTraces(oneScope<SpanInput>([{ name: "a" }, { parentSpanId: new Uint8Array(1) }])),
    RECEIVED,
  );
  t.equal(spans.rejected, 1);
  t.match(spans.message, /^span 1: parent_span_id: expected 8 bytes, got 1/);
});

t.test("a value nested too deep rejects its record alone", async (t) => {
  const nest = (depth: number): Value => (depth === 0 ? 1n : [nest(depth - 1)]);
  const input = oneScope<LogInput>([
    { body: nest(100) },
    { body: nest(101) },
    { attributes: [["a", nest(3000)]] },
  ]);
  const { rejected, sections } = await encoder.encode("logs", writeLogs(input), RECEIVED);
  t.equal(rejected, 2);
  t.equal(sections[0]!.count, 1);
});

t.test("a value nested too deep in JSON rejects its record alone, at the same depth", async (t) => {
  const nest = (depth: number): string =>
    `${'{"arrayValue":{"values":['.repeat(depth)}{"intValue":1}${"]}}".repeat(depth)}`;
  const records = [100, 101, 150, 1000, 0].map((depth) => `{"body":${nest(depth)}}`).join(",");
  const json = Buffer.from(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[${records}]}]}]}`);
  const { rejected, message, sections } = await encoder.encode(
    "logs",
    transcodeLogs(json),
    RECEIVED,
  );
  t.equal(rejected, 3);
  t.match(message, /^log record 1: expected values nested at most 100 deep/);
  t.equal(sections[0]!.count, 2);
});

t.test("a request cut off anywhere is refused, or what is left of it is whole", async (t) => {
  for (const [signal, body] of [
    [
      "logs",
      writeLogs(
        oneScope([
          {
            time: 5n,
            body: { a: [1n, "x"] },
            attributes: [["k", "v"]],
            traceId: new Uint8Array(16).fill(7),
          },
        ]),
      ),
    ],
    [
      "traces",
      writeTraces(
        oneScope([
          {
            name: "n",
            start: 1n,
            end: 2n,
            events: [{ name: "e", attributes: [["a", 1n]] }],
            links: [{ traceId: new Uint8Array(16).fill(7) }],
            status: { code: 2, message: "m" },
          },
        ]),
      ),
    ],
  ] as const) {
    for (let length = 1; length < body.length; length++) {
      await t.rejects(
        encoder.encode(signal, body.subarray(0, length), RECEIVED),
        { code: "BAD_REQUEST" },
        `${signal} cut to ${length} bytes`,
      );
    }
  }
});

t.test("a record cut off inside its own length is rejected alone, at every offset", async (t) => {
  const record = writeLogs([
    {
      scopes: [
        {
          records: [
            {
              time: 5n,
              body: { a: [1n, "x"] },
              attributes: [["k", "v"]],
              traceId: new Uint8Array(16).fill(7),
              flags: 1,
              eventName: "e",
            },
          ],
        },
      ],
    },
  ]).subarray(RECORD_OFFSET);
  // resource_logs { scope_logs { log_records { the first `length` bytes of a record } } }
  const wrap = (bytes: Uint8Array, tag: number): Buffer =>
    Buffer.concat([Buffer.from([tag, bytes.length]), bytes]);
  let whole = 0;
  for (let length = 0; length < record.length; length++) {
    const body = wrap(wrap(wrap(record.subarray(0, length), 0x12), 0x12), 0x0a);
    const { rejected, sections } = await encoder.encode("logs", body, RECEIVED);
    t.equal(rejected + (sections[0]?.count ?? 0), 1);
    whole += 1 - rejected;
  }
  t.ok(
    whole >= 5 && whole < record.length / 2,
    `${whole} of ${record.length} prefixes end between two fields`,
  );
});

t.test(
  "any bytes give rows, rejections or BAD_REQUEST, and nothing outside the request is read",
  async (t) => {
    const bodies = [
      writeLogs(
        oneScope([
          {
            time: 5n,
            body: { a: [1n, "x", { b: 2.5 }] },
            attributes: [
              ["k", "v"],
              ["n", 12n],
            ],
          },
        ]),
      ),
      applicationBody(3),
      spanBody(3),
    ];
    const outcome = async (signal: "logs" | "traces", body: Uint8Array): Promise<unknown> => {
      try {
        const { sections, rejected, message } = await encoder.encode(signal, body, RECEIVED);
        return {
          rejected,
          message,
          rows: sections.flatMap((section) =>
            actualRows(section).map((row) => ({ ...row, Salt: "" })),
          ),
        };
      } catch (error) {
        if (!(error instanceof MeshproofError) || error.code !== "BAD_REQUEST") throw error;
        return error.message;
      }
    };
    const mutation = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...bodies),
        fc.constantFrom("logs" as const, "traces" as const),
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        async (source, signal, mutations) => {
          const body = Buffer.from(source);
          for (const { at, byte } of mutations) body[at % body.length] = byte;
          const alone = await outcome(signal, new Uint8Array(body));
          const surrounded = Buffer.concat([
            Buffer.alloc(64, 0xa5),
            body,
            Buffer.alloc(64, 0x5a),
          ]).subarray(64, 64 + body.length);
          t.same(await outcome(signal, surrounded), alone);
        },
      ),
      { numRuns: 1500 },
    );
  },
);

t.test(
  "unknown fields, wrong wire types and groups are skipped; an unfinished group is refused",
  async (t) => {
    const known = Buffer.from(writeLogs([{ scopes: [{ records: [{ body: "here" }] }] }])).subarray(
      RECORD_OFFSET,
    );
    const record = (extra: number[]): Buffer => {
      const inner = Buffer.concat([Buffer.from(extra), known]);
      const scope = Buffer.concat([Buffer.from([0x12, inner.length]), inner]);
      const resource = Buffer.concat([Buffer.from([0x12, scope.length]), scope]);
      return Buffer.concat([Buffer.from([0x0a, resource.length]), resource]);
    };
    for (const [name, extra] of Object.entries({
      "an unknown varint": [0xf8, 0x06, 0x96, 0x01],
      "an unknown string": [0xfa, 0x06, 2, 65, 66],
      "a group in a group": [0xfb, 0x06, 0x0b, 0x08, 1, 0x0c, 0xfc, 0x06],
      "time as a varint": [0x08, 5],
      "flags as a string": [0x42, 1, 65],
      "body as fixed32": [0x2d, 1, 2, 3, 4],
    })) {
      const { sections, rejected } = await encoder.encode("logs", record(extra), RECEIVED);
      t.equal(rejected, 0, name);
      t.equal(actualRows(sections[0])[0]!["Body"], "here", name);
    }
    for (const [name, extra] of Object.entries({
      "a group without an end": [0xfb, 0x06, 0x08, 1],
      "an end without a group": [0xfc, 0x06],
      "the end of another group": [0xfb, 0x06, 0xf4, 0x06],
      "field number 0": [0x00, 1],
      "wire type 7": [0x0f, 1],
      "an endless varint": [0x10, ...Array.from({ length: 11 }, () => 0x80), 0],
      "102 nested groups": Array.from({ length: 102 }, () => 0x0b),
    })) {
      const { rejected } = await encoder.encode("logs", record(extra), RECEIVED);
      t.equal(rejected, 1, name);
    }
  },
);

t.test("parts of a message that occur twice are merged", async (t) => {
  const first = writeLogs([{ resource: [["a", "1"]], scopes: [] }]).subarray(2);
  const second = writeLogs([
    { resource: [["service.name", "late"]], scopes: [{ records: [{ body: "x" }] }] },
  ]).subarray(2);
  const resourceLogs = Buffer.concat([second, first]);
  const { sections } = await encoder.encode(
    "logs",
    Buffer.concat([Buffer.from([0x0a, resourceLogs.length]), resourceLogs]),
    RECEIVED,
  );
  t.match(actualRows(sections[0])[0], {
    ServiceName: "late",
    ResourceAttributes: [
      ["a", "1"],
      ["service.name", "late"],
    ],
  });
});

t.test("a record larger than max_record_size is cut, and says what was cut", async (t) => {
  const small = createEncoder({ maxRecordBytes: 8192 });
  const long = "ä".repeat(10_000);
  const { sections, cut } = await small.encode(
    "logs",
    writeLogs(
      oneScope<LogInput>([
        {
          body: long,
          attributes: [
            ["short", "kept"],
            ["long", long],
          ],
        },
        { body: "fits" },
      ]),
    ),
    RECEIVED,
  );
  t.equal(cut, 1);
  const [row, fits] = actualRows(sections[0]);
  t.ok(sections[0]!.offsets[1]! < 8192 + ROW_PREFIX_LENGTH);
  const digest = createHash("sha256").update(long).digest("hex");
  t.same(row!["Truncations"], [
    `Body 20000 bytes sha256:${digest}`,
    `LogAttributes["long"] 20000 bytes sha256:${digest}`,
  ]);
  const attributesOf = new Map(row!["LogAttributes"] as [string, string][]);
  t.equal(attributesOf.get("short"), "kept");
  const kept = Buffer.from(attributesOf.get("long")!, "latin1").toString("utf8");
  t.match(kept, /^ä+…$/);
  t.same(fits!["Truncations"], []);

  const many = Array.from({ length: 5000 }, (_, i): [string, string] => [`key ${i}`, "v"]);
  const events = Array.from({ length: 3000 }, () => ({
    name: "event",
    attributes: [["a", "b"]] as Attributes,
  }));
  const spans = await small.encode(
    "traces",
    writeTraces(oneScope<SpanInput>([{ attributes: many, events }])),
    RECEIVED,
  );
  t.equal(spans.cut, 1);
  const [spanRow] = actualRows(spans.sections[0]);
  t.ok(spans.sections[0]!.offsets[1]! < 8192 + ROW_PREFIX_LENGTH);
  t.match(
    (spanRow!["Truncations"] as string[]).find((note) => note.startsWith("SpanAttributes")),
    /^SpanAttributes 5000 items sha256:[0-9a-f]{64}$/,
  );
  t.equal((spanRow!["Events.Name"] as []).length, (spanRow!["Events.Attributes"] as []).length);
});

t.test("a small request that grows without measure is refused", async (t) => {
  const small = createEncoder({ maxEncodedBytes: MIB });
  const input: Batch<LogInput>[] = [
    {
      resource: [["r", "x".repeat(20_000)]],
      scopes: [{ records: Array.from({ length: 1000 }, () => ({})) }],
    },
  ];
  await t.rejects(small.encode("logs", writeLogs(input), RECEIVED), { code: "BODY_TOO_LARGE" });
  const { sections } = await small.encode(
    "logs",
    writeLogs(oneScope([{ body: "next" }])),
    RECEIVED,
  );
  t.same(
    actualRows(sections[0]).map((row) => row["Body"]),
    ["next"],
    "the request after it is not affected",
  );
});

t.test("requests decoded at the same time do not mix", async (t) => {
  const large = Array.from({ length: 4 }, (_, n) =>
    writeLogs(
      oneScope(
        Array.from({ length: 6000 }, (_unused, i) => ({
          body: `${n}:${i}`,
          attributes: [["pad", "x".repeat(500)]] as Attributes,
        })),
      ),
    ),
  );
  const results = await Promise.all(large.map((body) => encoder.encode("logs", body, RECEIVED)));
  for (const [n, { sections }] of results.entries()) {
    t.same(
      actualRows(sections[0]).map((row) => row["Body"]),
      Array.from({ length: 6000 }, (_, i) => `${n}:${i}`),
    );
  }
});

t.test("an empty request has no rows", async (t) => {
  t.same(await encoder.encode("logs", new Uint8Array(0), RECEIVED), {
    sections: [],
    rejected: 0,
    message: "",
    cut: 0,
    conflicts: new Map(),
    dialects: new Map(),
  });
  t.same(
    (
      await encoder.encode(
        "logs",
        writeLogs([{ resource: [["a", "b"]], scopes: [{ records: [] }] }]),
        RECEIVED,
      )
    ).sections,
    [],
  );
});
