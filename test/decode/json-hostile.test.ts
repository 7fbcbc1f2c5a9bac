import { strict as assert } from "node:assert";
import t from "tap";
import fc from "fast-check";
import { logsRequest, some, tracesRequest } from "../support/otlp-arbitrary.ts";
import { emitJson } from "../support/otlp-json.ts";
import { ExportLogsServiceRequest, ExportTraceServiceRequest } from "../support/otlp-proto.ts";
import {
  accepted,
  record,
  refusal,
  wrap,
  transcodeLogs,
  transcodeTraces,
} from "../support/transcoding.ts";

t.test(
  "the grammar is that of RFC 8259: what JSON.parse refuses is refused, wherever it stands",
  async () => {
    const broken =
      `{ | } | [ | ] | nul | truee | tru | +1 | 01 | -01 | - | 1. | .5 | 1e | 1e+ | 1.e1 | 0x1 | NaN | Infinity | 'a' | [1,] | [,1] | [1 2] | [1} | {"a":1,}` +
      ` | {"a" 1} | {a:1} | {"a":} | {,} | {"a":1] | {"a":1 "b":2} | {1:2} | //x | /* */1 | "a | \u00a01 | \u000b1 | undefined | 1 2 | 1\u0000`;
    for (const value of ["", ...broken.split(" | ")]) {
      refusal(`{"unknown":${value}}`);
      refusal(wrap(`"attributes":${value}`));
      refusal(wrap(`"attributes":[{"key":"a","value":${value}}]`));
      refusal(wrap(`"body":{"stringValue":${value}}`));
    }
    for (const json of [
      "",
      " ",
      "[]",
      "1",
      '"{}"',
      "{} {}",
      "{},",
      "{}x",
      "{}\u0000",
      '{"resourceLogs":{}}',
      '{"resourceLogs":[[]]}',
      '{"resourceLogs":""}',
    ])
      refusal(json);
    fc.assert(
      fc.property(
        fc.json(),
        fc.nat(),
        fc.constantFrom("", "]", "}", ",", '"', " ", "1", "\u0000", ":", "\\"),
        (json, at, junk) => {
          const cut = at % (json.length + 1);
          const value = json.slice(0, cut) + junk + json.slice(cut);
          const body = `{"unknown":${value}}`;
          let valid = true;
          try {
            JSON.parse(body);
          } catch {
            valid = false;
          }
          assert.equal(accepted(Buffer.from(body)) !== null, valid);
        },
      ),
      { numRuns: 1000 },
    );
  },
);

t.test("a body that is cut anywhere is refused, and nothing behind its end is read", async (t) => {
  const json = Buffer.from(
    wrap(
      `"timeUnixNano":"1763760000123456789","observedTimeUnixNano":1763760000123456789,"severityNumber":9,"traceId":"${"ab".repeat(16)}","unknown":[{"a":-1.5e3},"\\u00e9",null],` +
        `"body":{"kvlistValue":{"values":[{"key":"é\\ud83d\\ude00","value":{"bytesValue":"AAEC"}},{"key":"d","value":{"doubleValue":0.25}}]}},` +
        `"attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"n","value":{"intValue":"5"}},{"key":"ok","value":{"boolValue":true}}]`,
    ),
  );
  t.ok(accepted(json));
  for (let end = 0; end < json.length; end++) {
    // The rest of the body stands behind the part in the same buffer: whoever reads on takes it.
    const message = refusal(json.subarray(0, end));
    t.match(message, /at byte \d+$/);
    t.ok(Number(/\d+$/.exec(message)![0]) <= end, message);
  }
});

t.test(
  "a body with bytes changed is refused, or means something to JSON.parse and to protobufjs",
  async () => {
    const requests = [
      [logsRequest, ExportLogsServiceRequest, transcodeLogs],
      [tracesRequest, ExportTraceServiceRequest, transcodeTraces],
    ] as const;
    for (const [request, oracle, transcode] of requests) {
      fc.assert(
        fc.property(
          request,
          fc.nat(),
          some(
            fc.tuple(
              fc.nat(),
              fc.oneof(fc.constantFrom(...Buffer.from('"\\{}[]:,0e-u')), fc.nat({ max: 255 })),
            ),
            4,
          ),
          (message, seed, changes) => {
            const json = Buffer.from(emitJson(message, seed));
            for (const [at, byte] of changes) json[at % json.length] = byte;
            const output = accepted(json, transcode);
            if (output === null) return;
            oracle.decode(output);
            JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
          },
        ),
        { numRuns: 500 },
      );
    }
  },
);

t.test("bytes that are not UTF-8 are refused wherever they stand, and are named", async (t) => {
  const sequences = [
    [0xff],
    [0x80],
    [0xc3],
    [0xc0, 0x80],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xe2, 0x82],
  ];
  for (const sequence of sequences) {
    for (const padding of [0, 3, 5000]) {
      const [before, after] = wrap(`"severityText":"é${"ü".repeat(padding)}|"`).split("|");
      const json = Buffer.concat([
        Buffer.from(before!),
        Buffer.from(sequence),
        Buffer.from(after!),
      ]);
      t.match(
        refusal(json),
        `resourceLogs[0].scopeLogs[0].logRecords[0].severityText: expected UTF-8, got byte 0x${sequence[0]!.toString(16)}, at byte ${Buffer.byteLength(before!)}`,
      );
      refusal(
        Buffer.concat([Buffer.from('{"unknown":"'), Buffer.from(sequence), Buffer.from('"}')]),
      );
      refusal(Buffer.concat([Buffer.from('{"'), Buffer.from(sequence), Buffer.from('":1}')]));
    }
  }
});

t.test(
  "nesting has bounds: a value beyond them is cut one too deep, a hopeless one refused",
  async (t) => {
    const nested = (levels: number) =>
      `{"arrayValue":{"values":[`.repeat(levels - 1) +
      `{"stringValue":"x"}` +
      `]}}`.repeat(levels - 1);
    const list = (levels: number) =>
      `{"kvlistValue":{"values":[{"key":"k","value":`.repeat(levels - 1) +
      `{"intValue":1}` +
      `}]}}`.repeat(levels - 1);
    for (const form of [nested, list]) {
      const sizes = [101, 102, 103, 1_500].map((levels) => {
        const body = transcodeLogs(
          Buffer.from(wrap(`"body":${form(levels)},"severityText":"end"`)),
        );
        t.equal(
          Buffer.from(body.subarray(-3)).toString(),
          "end",
          `${levels}: what stands behind is kept`,
        );
        t.ok(accepted(Buffer.from(wrap(`"attributes":[{"key":"a","value":${form(levels)}}]`))));
        return body.length;
      });
      // From there on nothing is added: test/encoder.test.ts shows that the decoder rejects such a record alone.
      t.strictSame(sizes.slice(1), [sizes[1], sizes[1], sizes[1]]);
      t.match(refusal(wrap(`"body":${form(200_000)}`)), /expected at most 8000 levels in a value/);
      t.match(refusal(wrap(`"body":${form(150)},"flags":"x"`)), /\.flags: expected an unsigned/);
      t.match(refusal(wrap(`"body":${form(150).slice(0, -1)}`)), /at byte/);
    }
    const unknown = (open: string, close: string, levels: number) =>
      `{"unknown":${open.repeat(levels)}1${close.repeat(levels)}}`;
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      t.ok(accepted(Buffer.from(unknown(open, close, 256))));
      t.match(refusal(unknown(open, close, 257)), /expected at most 256 levels in a value/);
      t.ok(refusal(unknown(open, close, 1_000_000)).length < 500, "a message stays short");
    }
  },
);

t.test("the output fits its buffer where protobuf is longer than JSON", async (t) => {
  const span = `{${Array(20_000).fill('"kind":-1').join(",")}}`;
  const output = transcodeTraces(
    Buffer.from(`{"resourceSpans":[{"scopeSpans":[{"spans":[${span}]}]}]}`),
  );
  t.equal(
    (ExportTraceServiceRequest.decode(output) as any).resourceSpans[0].scopeSpans[0].spans[0].kind,
    -1,
  );
  const values = Array(50_000).fill("{}").join(",");
  t.equal(
    (record(`"body":{"arrayValue":{"values":[${values}]}}`).body as any).arrayValue.values.length,
    50_000,
  );
  const entityRefs = `{"resourceLogs":[{"resource":{"entityRefs":[{"idKeys":[${Array(50_000).fill('""').join(",")}]}]}}]}`;
  t.equal(
    (ExportLogsServiceRequest.decode(transcodeLogs(Buffer.from(entityRefs))) as any).resourceLogs[0]
      .resource.entityRefs[0].idKeys.length,
    50_000,
  );
});

t.test("an error names path, expectation, what came and the byte", async (t) => {
  t.equal(
    refusal(
      `{"resourceLogs":[{},{"scopeLogs":[{"logRecords":[{},{},{},{"timeUnixNano":"soon"}]}]}]}`,
    ),
    'resourceLogs[1].scopeLogs[0].logRecords[3].timeUnixNano: expected an unsigned 64-bit integer, got "soon", at byte 74',
  );
  t.equal(
    refusal(`{"resourceLogs":[{"a b":{"c":[0,tru]}}]}`),
    'resourceLogs[0]["a b"].c[1]: expected a value, got tru, at byte 32',
  );
  t.equal(
    refusal(`{"resourceLogs":[]`),
    'resourceLogs: expected "," or "}", got the end of the body, at byte 18',
  );
  t.equal(
    refusal(`{"resourceLogs":[{"schemaUrl":"a\nb"}]}`),
    "resourceLogs[0].schemaUrl: expected a character or the end of a string, got byte 0x0a, at byte 32",
  );
  t.equal(
    refusal(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":5}]}]}]}`, transcodeTraces),
    "resourceSpans[0].scopeSpans[0].spans[0].name: expected a string, got 5, at byte 51",
  );
  t.equal(refusal("{}\u0001"), "body: expected the end of the body, got byte 0x01, at byte 2");
});
