import { strict as assert } from "node:assert";
import t from "tap";
import fc from "fast-check";
import {
  JsonLogsSerializer,
  JsonTraceSerializer,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
} from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  InMemoryLogRecordExporter,
  LoggerProvider,
  SimpleLogRecordProcessor,
} from "@opentelemetry/sdk-logs";
import {
  TracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace";
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { emitJson } from "../support/otlp-json.ts";
import { logsRequest, tracesRequest } from "../support/otlp-arbitrary.ts";
import { transcodeTraces as transcodeInSteps } from "../../src/decode/json.ts";
import { ExportLogsServiceRequest, ExportTraceServiceRequest } from "../support/otlp-proto.ts";
import { record, refusal, wrap, transcodeLogs, transcodeTraces } from "../support/transcoding.ts";

const MAX_UINT64 = "18446744073709551615";

t.test("any request in any JSON spelling is the message that protobufjs knows", async () => {
  const cases = [
    [logsRequest, ExportLogsServiceRequest, transcodeLogs],
    [tracesRequest, ExportTraceServiceRequest, transcodeTraces],
  ] as const;
  for (const [request, oracle, transcode] of cases) {
    fc.assert(
      fc.property(request, fc.nat(), (message, seed) => {
        const json = emitJson(message, seed);
        const expected = oracle.decode(oracle.encode(message), { defaults: true });
        assert.deepStrictEqual(
          oracle.decode(transcode(Buffer.from(json)), { defaults: true }),
          expected,
        );
      }),
      { numRuns: 400 },
    );
  }
});

t.test(
  "what the JSON serializers of the JavaScript SDK write means what their protobuf serializers write",
  async (t) => {
    const attributes = {
      "http.route": "/a/{id}",
      "http.response.status_code": 503,
      ratio: 0.1,
      ok: false,
      empty: "",
      tags: ["x", "y"],
      raw: new Uint8Array([0, 255, 62]),
    };
    const resource = resourceFromAttributes({ "service.name": "checkout", "process.pid": 12 });

    const logExporter = new InMemoryLogRecordExporter();
    const loggers = new LoggerProvider({
      resource,
      processors: [new SimpleLogRecordProcessor({ exporter: logExporter })],
    });
    const spanExporter = new InMemorySpanExporter();
    const tracers = new TracerProvider({
      resource,
      spanProcessors: [new SimpleSpanProcessor({ exporter: spanExporter })],
    });

    const parent = tracers
      .getTracer("gateway", "1.2")
      .startSpan("GET /a/{id}", { kind: SpanKind.SERVER, attributes });
    const context = trace.setSpan(ROOT_CONTEXT, parent);
    const child = tracers
      .getTracer("gateway", "1.2")
      .startSpan(
        "call",
        { kind: SpanKind.CLIENT, links: [{ context: parent.spanContext(), attributes }] },
        context,
      );
    child.addEvent("retry", { attempt: 2 });
    child.setStatus({ code: SpanStatusCode.ERROR, message: 'upstream "reset"' });
    child.end();
    parent.end();
    const logger = loggers.getLogger("envoy", "1.30", {
      schemaUrl: "https://opentelemetry.io/schemas/1.30.0",
    });
    logger.emit({
      severityNumber: 9,
      severityText: "INFO",
      body: 'GET /a/1 "é😀"\n',
      attributes,
      context,
      eventName: "access",
    });
    logger.emit({
      body: { nested: [1, -1, 2.5, true, null, { deep: "value" }] } as any,
      timestamp: [1_763_760_000, 123_456_789],
    });

    const logs = logExporter.getFinishedLogRecords();
    const spans = spanExporter.getFinishedSpans();
    t.equal(logs.length, 2);
    t.equal(spans.length, 2);
    t.strictSame(
      ExportLogsServiceRequest.decode(transcodeLogs(JsonLogsSerializer.serializeRequest(logs)!), {
        defaults: true,
      }),
      ExportLogsServiceRequest.decode(ProtobufLogsSerializer.serializeRequest(logs)!, {
        defaults: true,
      }),
    );
    t.strictSame(
      ExportTraceServiceRequest.decode(
        transcodeTraces(JsonTraceSerializer.serializeRequest(spans)!),
        { defaults: true },
      ),
      ExportTraceServiceRequest.decode(ProtobufTraceSerializer.serializeRequest(spans)!, {
        defaults: true,
      }),
    );
  },
);

t.test("64-bit numbers are exact to the last digit, as string and as number", async (t) => {
  for (const value of [
    "0",
    "1",
    "9007199254740993",
    "999999999999999",
    "1000000000000000",
    "9223372036854775807",
    "9223372036854775808",
    "4294967296",
    MAX_UINT64,
  ]) {
    t.equal(record(`"timeUnixNano":${value}`).timeUnixNano, value);
    t.equal(record(`"timeUnixNano":"${value}"`).timeUnixNano, value);
  }
  for (const value of [
    "-1",
    "-9007199254740993",
    "-4294967296",
    "-9223372036854775808",
    "9223372036854775807",
  ]) {
    t.strictSame(record(`"body":{"intValue":${value}}`).body, { intValue: value });
    t.strictSame(record(`"body":{"intValue":"${value}"}`).body, { intValue: value });
  }
});

t.test("a number with fraction or exponent is taken where it is whole", async (t) => {
  const cases = [
    ["1.0", "1"],
    ["1e3", "1000"],
    ["1.5e1", "15"],
    ["-0", "0"],
    ["0e999999999999999999", "0"],
    ["0.0e-5", "0"],
    ["1844674407370955161.5e1", MAX_UINT64],
    ["18446744073709551615000e-3", MAX_UINT64],
    ["18446744073709551615.0", MAX_UINT64],
    [`1${"0".repeat(1000)}e-1000`, "1"],
    [`0.${"0".repeat(1000)}7e1001`, "7"],
    ["1e19", "10000000000000000000"],
  ] as const;
  for (const [number, value] of cases) {
    t.equal(record(`"timeUnixNano":${number}`).timeUnixNano, value, number);
    t.equal(record(`"timeUnixNano":"${number}"`).timeUnixNano, value, number);
  }
  t.equal(record(`"timeUnixNano":"\\u0031\\u0032"`).timeUnixNano, "12", "escaped digits");
});

t.test("numbers that their field cannot hold are refused with path and position", async (t) => {
  const cases: Record<string, readonly string[]> = {
    timeUnixNano: [
      "18446744073709551616",
      "-1",
      "1.5",
      "1e20",
      "1e-1",
      "1e99999999999",
      "99999999999999999999",
      "100000000000000000000",
      "184467440737095516150",
      "15e-1",
    ],
    flags: ["4294967296", "-1", "0.1"],
    droppedAttributesCount: ["4294967296", "-1", "1e10"],
    severityNumber: [
      "2147483648",
      "-2147483649",
      '"INFO"',
      '"SEVERITY_NUMBER_INFO"',
      "true",
      "[9]",
      "{}",
      '""',
      '" 9"',
      '"9 "',
      '"+9"',
      '"0x9"',
      '"9,"',
      '"09"',
    ],
  };
  for (const [field, values] of Object.entries(cases)) {
    for (const value of values) {
      t.match(
        refusal(wrap(`"${field}":${value}`)),
        new RegExp(
          `^resourceLogs\\[0\\]\\.scopeLogs\\[0\\]\\.logRecords\\[0\\]\\.${field}: expected .*, got .*, at byte \\d+$`,
        ),
        value,
      );
    }
  }
  for (const value of ['"9223372036854775808"', '"1e300"', "1e400", "1.5", "1e-300", "[]"]) {
    t.match(
      refusal(wrap(`"body":{"intValue":${value}}`)),
      /body\.intValue: expected a 64-bit integer, got/,
    );
  }
});

t.test(
  "an integer beyond 64 bits that is written as a number is the double that its sender had",
  async (t) => {
    for (const value of [
      "9223372036854775808",
      "-9223372036854777856",
      "100000000000000000000",
      "-1.5e+300",
      "1E30",
    ]) {
      const large = { doubleValue: Number(value) };
      t.strictSame(record(`"body":{"intValue":${value}}`).body, large, value);
      t.strictSame(
        record(`"body":{"arrayValue":{"values":[{"intValue":${value}},{"intValue":1}]}}`).body,
        { arrayValue: { values: [large, { intValue: "1" }] } },
      );
      t.strictSame(record(`"attributes":[{"key":"a","value":{"intValue":${value}}}]`).attributes, [
        { key: "a", value: large },
      ]);
    }
  },
);

t.test("doubles are read as JSON.parse reads them, and by name", async (t) => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const literal = Object.is(value, -0) ? "-0" : String(value);
      assert.deepStrictEqual(record(`"body":{"doubleValue":${literal}}`).body, {
        doubleValue: value,
      });
    }),
  );
  const named = {
    '"NaN"': NaN,
    '"Infinity"': Infinity,
    '"-Infinity"': -Infinity,
    '"1e-7"': 1e-7,
    "5e-324": 5e-324,
    "1e-400": 0,
    "0.1e1": 1,
    "-0": -0,
    "123456789012345678": Number("123456789012345678"),
  };
  for (const [literal, value] of Object.entries(named))
    t.ok(
      Object.is((record(`"body":{"doubleValue":${literal}}`).body as any).doubleValue, value),
      literal,
    );
  for (const literal of [
    "1e400",
    '"1e400"',
    "NaN",
    "Infinity",
    "-Infinity",
    '"nan"',
    '"+Infinity"',
    '""',
    '"1 "',
    "true",
    "{}",
  ]) {
    t.match(
      refusal(wrap(`"body":{"doubleValue":${literal}}`)),
      /body\.doubleValue: expected/,
      literal,
    );
  }
});

t.test(
  "false, zero and the empty text are values; null is an absent field; an object without members is the value without a value",
  async (t) => {
    t.strictSame(record(`"body":{"boolValue":false}`).body, { boolValue: false });
    t.strictSame(record(`"body":{"intValue":0}`).body, { intValue: "0" });
    t.strictSame(record(`"body":{"doubleValue":0}`).body, { doubleValue: 0 });
    t.strictSame(record(`"body":{"stringValue":""}`).body, { stringValue: "" });
    t.strictSame(record(`"body":{"bytesValue":""}`).body, { bytesValue: Buffer.alloc(0) });
    t.strictSame(record(`"body":{"arrayValue":{}}`).body, { arrayValue: { values: [] } });
    t.strictSame(record(`"body":{"kvlistValue":{"values":null}}`).body, {
      kvlistValue: { values: [] },
    });
    t.strictSame(record(`"body":{}`).body, {});
    t.strictSame(record(`"body":{"stringValue":null}`).body, {});
    t.strictSame(
      record(`"body":null,"timeUnixNano":null,"traceId":null,"attributes":null`),
      record(""),
    );
    t.strictSame(record(`"body":{"arrayValue":{"values":[null,{}]}}`).body, {
      arrayValue: { values: [{}, {}] },
    });
    t.strictSame(record(`"attributes":[{"key":"a","value":null},{"key":"b"}]`).attributes, [
      { key: "a", value: null },
      { key: "b", value: null },
    ]);
    t.match(refusal(wrap(`"attributes":[null]`)), /attributes\[0\]: expected an object, got null/);
    t.match(refusal(`{"resourceLogs":[null]}`), /resourceLogs\[0\]: expected an object, got null/);
    t.match(refusal("null"), /^body: expected an object, got null, at byte 0$/);
    t.equal(transcodeLogs(Buffer.from("{}")).length, 0);
    t.equal(
      transcodeLogs(Buffer.from('\ufeff{"resourceLogs":[]}')).length,
      0,
      "one byte order mark",
    );
    t.match(refusal("\ufeff\ufeff{}"), /expected an object/);
  },
);

t.test(
  "of a key that comes twice the last wins, and repeated fields add up, as protobuf merges",
  async (t) => {
    t.equal(record(`"severityText":"a","severity_text":"b","severityText":""`).severityText, "");
    t.equal(record(`"timeUnixNano":5,"timeUnixNano":"0"`).timeUnixNano, "0");
    t.strictSame(record(`"traceId":"${"ab".repeat(16)}","traceId":""`).traceId, Buffer.alloc(0));
    t.strictSame(record(`"body":{"stringValue":"a","intValue":1}`).body, { intValue: "1" });
    t.strictSame(
      (record(`"attributes":[{"key":"a"}],"attributes":[{"key":"b"}]`).attributes as any[]).map(
        (attribute) => attribute.key,
      ),
      ["a", "b"],
    );
    t.strictSame(
      record(
        `"attributes":[{"key":"a","value":{"stringValue":"1"},"value":{"intValue":2},"key":"b"}]`,
      ).attributes,
      [{ key: "b", value: { intValue: "2" } }],
    );
    const attributeForms = [
      '{"key":"a","value":{"stringValue":"v"},"x":1}',
      '{"key":"a","value":{"stringValue":"v","x":1}}',
      '{"value":{"stringValue":"v"},"key":"a"}',
      '{"key":"a" ,"value":{"stringValue":"v"} }',
      '{"key":"a","value": {"stringValue": "v"}}',
      '{"k\\u0065y":"\\u0061","value":{"string_value":"v"}}',
    ];
    for (const form of attributeForms)
      t.strictSame(
        record(`"attributes":[${form}]`).attributes,
        [{ key: "a", value: { stringValue: "v" } }],
        form,
      );
  },
);

t.test("attributes of every length around the limits of a length byte are whole", async (t) => {
  for (const keyLength of [0, 1, 3, 100, 127, 128, 129, 300]) {
    for (const length of [
      0, 1, 2, 3, 4, 20, 80, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128,
      129, 200, 16_370, 16_384, 20_000,
    ]) {
      const [key, value] = ["k".repeat(keyLength), "v".repeat(length)];
      const expected = [{ key, value: { stringValue: value } }];
      t.strictSame(
        record(`"attributes":[{"key":"${key}","value":{"stringValue":"${value}"}}]`).attributes,
        expected,
        `${keyLength}/${length}`,
      );
    }
  }
});

t.test("messages of every size from one byte of length to four are whole", async (t) => {
  for (const size of [0, 100, 127, 16_383, 16_384, 2_097_151, 2_097_152, 3_000_000]) {
    const value = "x".repeat(size);
    const json = `{"resourceLogs":[{"schemaUrl":"${value}","scopeLogs":[{"logRecords":[{"body":{"arrayValue":{"values":[{"arrayValue":{"values":[{"stringValue":"${value}"}]}}]}}}]}]}]}`;
    const decoded = ExportLogsServiceRequest.decode(transcodeLogs(Buffer.from(json)), {
      defaults: true,
    }) as any;
    t.equal(decoded.resourceLogs[0].schemaUrl, value);
    t.equal(
      decoded.resourceLogs[0].scopeLogs[0].logRecords[0].body.arrayValue.values[0].arrayValue
        .values[0].stringValue,
      value,
    );
  }
});

t.test(
  "IDs are hex of any case; one that is not goes on with a length that no ID has",
  async (t) => {
    const traceId = "00112233445566778899AABBCCDDEEff";
    t.strictSame(
      record(`"traceId":"${traceId}","spanId":"00f067aa0ba902B7"`).traceId,
      Buffer.from(traceId, "hex"),
    );
    t.strictSame(
      record(`"spanId":"00f067aa0ba902B7"`).spanId,
      Buffer.from("00f067aa0ba902b7", "hex"),
    );
    t.strictSame(
      record(`"traceId":"\\u0030${traceId.slice(1)}"`).traceId,
      Buffer.from(traceId, "hex"),
    );
    for (const bad of [
      "a",
      "zz",
      "z".repeat(16),
      "z".repeat(32),
      traceId.slice(1),
      `${traceId}00`,
      traceId.slice(2),
      "AAECAwQFBgcICQoLDA0ODw==",
      "é".repeat(8),
      "x".repeat(100_000),
      "g" + "\\u0061".repeat(15),
    ]) {
      const length = (record(`"traceId":"${bad}"`).traceId as Buffer).length;
      t.ok(length > 0 && length !== 16, `${bad.slice(0, 40)}: ${length} bytes`);
    }
    for (const bad of ["z".repeat(8), "z".repeat(16), "00f067aa0ba902", "0"]) {
      const length = (record(`"spanId":"${bad}"`).spanId as Buffer).length;
      t.ok(length > 0 && length !== 8, `${bad}: ${length} bytes`);
    }
    t.strictSame(
      record(`"severityText":"after","traceId":"nonsense"`).severityText,
      "after",
      "the rest of the record is unharmed",
    );
    t.match(refusal(wrap(`"traceId":12`)), /traceId: expected a string of hex digits, got 12/);
  },
);

t.test("bytes are base64 of both alphabets, padded or not", async (t) => {
  const value = Buffer.from([0xfb, 0xef, 0xff, 0x00, 0x3e]);
  for (const form of ["++//AD4=", "--__AD4", "--__AD4=", "++\\/\\/AD4=", "++//AD4"])
    t.strictSame(record(`"body":{"bytesValue":"${form}"}`).body, { bytesValue: value }, form);
  t.strictSame(record(`"body":{"bytesValue":"AA=="}`).body, { bytesValue: Buffer.from([0]) });
  for (const bad of [
    "A",
    "AAAAA",
    "A===",
    "=",
    "AA=",
    "AAAA=",
    "A A=",
    "AA\\n",
    "A=AA",
    "é",
    "AAA=AAAA",
  ]) {
    t.match(
      refusal(wrap(`"body":{"bytesValue":"${bad}"}`)),
      /body\.bytesValue: expected base64/,
      bad,
    );
  }
});

t.test("strings keep every character; a lone surrogate becomes U+FFFD", async (t) => {
  const cases = {
    '\\"\\\\\\/\\b\\f\\n\\r\\t': '"\\/\b\f\n\r\t',
    "\\u0000\\u007f\\u0080\\u07ff\\u0800\\uFFFF": "\u0000\u007f\u0080\u07ff\u0800\uffff",
    "\\ud83d\\ude00": "😀",
    "\\uDBFF\\uDFFF": "\u{10ffff}",
    "a\\ud83d": "a\ufffd",
    "\\ud83d\\udbff": "\ufffd\ufffd",
    "\\ude00b": "\ufffdb",
    "\\ud83d\\u0041": "\ufffdA",
    "\\ud83d\\n": "\ufffd\n",
    "\\ud83d\\ud83d\\ude00": "\ufffd😀",
    "é😀\u2028": "é😀\u2028",
  };
  for (const [json, value] of Object.entries(cases)) {
    t.equal(record(`"severityText":"${json}"`).severityText, value, json);
    t.strictSame(
      record(`"attributes":[{"key":"${json}","value":{"stringValue":"${json}"}}]`).attributes,
      [{ key: value, value: { stringValue: value } }],
      json,
    );
  }
  for (const bad of [
    "\\x",
    "\\u12g4",
    "\\u",
    "\\u123",
    "\\ud83d\\u12",
    "\\'",
    "\u0000",
    "\u001f",
    "\n",
    "\t",
  ]) {
    refusal(wrap(`"severityText":"${bad}"`));
    refusal(wrap(`"unknown":"${bad}"`));
    refusal(wrap(`"${bad}":1`));
    refusal(wrap(`"attributes":[{"key":"a","value":{"stringValue":"${bad}"}}]`));
    refusal(wrap(`"attributes":[{"key":"${bad}","value":{"stringValue":"a"}}]`));
  }
});

t.test("a request lets other work come between every few dozen records", async (t) => {
  const spans = Array(320).fill('{"name":"a"}').join(",");
  const body = Buffer.from(
    `{"resourceSpans":[{"scopeSpans":[{"spans":[${spans}]},{"spans":[${spans}]}]}]}`,
  );
  t.equal([...transcodeInSteps(body)].length, 20);
  t.equal([...transcodeInSteps(Buffer.from('{"resourceSpans":[]}'))].length, 0);
});
