import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import t, { type Test } from "tap";
import { loadConfig } from "../src/config/load.ts";
import { readOriginals } from "../src/core/originals.ts";
import { RequestEncoder } from "../src/encoder.ts";
import { FORWARD_KEYS, OwnAttributes } from "../src/forward/attributes.ts";
import { RequestBuilder } from "../src/forward/request.ts";
import { compileFormats } from "../src/formats.ts";
import type { Dialect } from "../src/normalise/dialect.ts";
import { Normaliser } from "../src/normalise/normaliser.ts";
import { ValueRedactor } from "../src/normalise/redaction/value-redactor.ts";
import { Originals } from "../src/originals.ts";
import { batchesOf, oddLog, oddSpan, RECORDS } from "./support/odd-records.ts";
import {
  ExportLogsServiceRequest,
  ExportTraceServiceRequest,
  type Plain,
} from "./support/otlp-proto.ts";
import { oneScope, writeLogs, writeTraces } from "./support/otlp-writer.ts";
import { envoyLog } from "./support/traffic.ts";

const LOG_ID = "0123456789abcdef";
const FIRST_INDEX = 2 ** 33;
const RECEIVED = {
  receivedAtNs: 1_795_000_000_123_456_789n,
  sender: "test",
  senderAuth: "none",
  retentionClass: "default",
};
const ORACLES = { logs: ExportLogsServiceRequest, traces: ExportTraceServiceRequest } as const;

interface Kept {
  /** The records as they were kept, in a request of their own, without and with the attributes that are added. */
  readonly bare: Plain;
  /** The bytes of the first. */
  readonly bytes: Buffer;
  readonly passedOn: Plain;
  /** Leaf index of each, if the rows began at FIRST_INDEX. */
  readonly leaves: readonly number[];
  readonly rows: number;
}

async function keep(
  signal: "logs" | "traces",
  body: Uint8Array,
  formats: readonly Dialect[] = [],
): Promise<Kept> {
  const encoder = new RequestEncoder({
    logId: LOG_ID,
    normaliser: new Normaliser({ redact: {}, formats }),
    maxRecordBytes: 1024 * 1024,
    maxEncodedBytes: 64 * 1024 * 1024,
    originals: new Originals(new ValueRedactor({}), Object.values(FORWARD_KEYS)),
  });
  const { originals, sections } = await encoder.encode(signal, body, RECEIVED);
  const attributes = new OwnAttributes(LOG_ID, "https://audit.example/api/v1/records/");
  const [bare, full] = [new RequestBuilder(signal), new RequestBuilder(signal)];
  const leaves: number[] = [];
  for (const original of readOriginals(originals!)) {
    const leaf = FIRST_INDEX + original.row;
    leaves.push(leaf);
    bare.add(original, leaf, new Uint8Array(0));
    full.add(original, leaf, attributes.of(signal, leaf, leaf % 2 === 0 ? 7 : undefined));
  }
  const { decode } = ORACLES[signal];
  const bytes = bare.take()!.body;
  return {
    bare: decode(bytes),
    bytes,
    passedOn: decode(full.take()!.body),
    leaves,
    rows: sections.reduce((sum, { count }) => sum + count, 0),
  };
}

/** All objects with `attributes` that are records: those below the given key. */
function recordsOf(message: Plain, signal: "logs" | "traces"): Plain[] {
  const [resources, scopes, records] =
    signal === "logs"
      ? ["resourceLogs", "scopeLogs", "logRecords"]
      : ["resourceSpans", "scopeSpans", "spans"];
  const list = (of: Plain, key: string): Plain[] => (of[key] ?? []) as Plain[];
  return list(message, resources!).flatMap((resource) =>
    list(resource, scopes!).flatMap((scope) => list(scope, records!)),
  );
}

function same(t: Test, actual: unknown, expected: unknown, name: string): void {
  t.ok(isDeepStrictEqual(actual, expected), name);
}

t.test(
  "what holds no secret is kept as it came in: resources, scopes, records, types",
  async (t) => {
    for (const [signal, body] of [
      ["logs", writeLogs(batchesOf("shop", oddLog))],
      ["traces", writeTraces(batchesOf("shop", oddSpan))],
    ] as const) {
      const { bare, passedOn, leaves, rows } = await keep(signal, body);
      same(t, bare, ORACLES[signal].decode(body), `${signal}: nothing else, nothing less`);
      t.equal(rows, RECORDS);
      same(
        t,
        leaves,
        leaves.map((_, i) => FIRST_INDEX + i),
        "each has the index of its row",
      );
      const records = recordsOf(passedOn, signal);
      const before = recordsOf(bare, signal);
      t.equal(records.length, RECORDS);
      const wrong = records.findIndex((record, i) => {
        const { attributes = [], ...rest } = record as { attributes?: Plain[] };
        const { attributes: own = [], ...others } = before[i] as { attributes?: Plain[] };
        const leaf = FIRST_INDEX + i;
        const added = [
          { key: "meshproof.log_id", value: { stringValue: LOG_ID } },
          { key: "meshproof.leaf_index", value: { intValue: String(leaf) } },
          ...(i % 2 === 0
            ? [{ key: "meshproof.linked_leaf_index", value: { intValue: "7" } }]
            : []),
          {
            key: "meshproof.record_url",
            value: { stringValue: `https://audit.example/api/v1/records/${LOG_ID}:${leaf}` },
          },
        ];
        return !isDeepStrictEqual([rest, attributes], [others, [...own, ...added]]);
      });
      t.equal(
        wrong,
        -1,
        "the attributes of ours stand behind the record's own, and nothing else is changed",
      );
    }
  },
);

t.test(
  "each record has the index of its own row, when access records and logs are mixed",
  async (t) => {
    const records = [{ body: "a log" }, envoyLog(1), { body: "another" }, envoyLog(2)];
    const { leaves } = await keep("logs", writeLogs(oneScope(records)));
    // Access records come first among the rows of a request.
    t.same(
      leaves,
      [2, 0, 3, 1].map((row) => FIRST_INDEX + row),
    );
  },
);

t.test("what is redacted in a row is redacted in what is passed on, and only that", async (t) => {
  const { bare } = await keep(
    "logs",
    writeLogs(
      oneScope([
        {
          body: { message: "hello", password: "S3CR3T" },
          attributes: [
            ["url", "/a?token=S3CR3T&b=1"],
            ["db.password", 12345n],
            ["count", 7n],
            ["plain", { list: [1n, true] }],
            ["authority", "bob:S3CR3T@localhost:8080"],
            ["image", "registry/shop:1.2@sha256:abc"],
            ["raw", Buffer.from("password=S3CR3T")],
          ],
        },
      ]),
    ),
  );
  const [record] = recordsOf(bare, "logs");
  t.same(record!["body"], { stringValue: '{"message":"hello","password":"[redacted]"}' });
  const attributes = Object.fromEntries(
    (record!["attributes"] as { key: string; value: Plain }[]).map(({ key, value }) => [
      key,
      value,
    ]),
  );
  t.same(attributes["url"], { stringValue: "/a?token=[redacted]&b=1" });
  t.same(attributes["db.password"], { stringValue: "[redacted]" });
  t.same(attributes["count"], { intValue: "7" });
  t.ok(attributes["plain"]!["kvlistValue"], "a structure without secrets stays one");
  t.same(attributes["authority"], { stringValue: "[redacted]@localhost:8080" });
  t.same(attributes["raw"], { stringValue: "[redacted]" });
  t.same(attributes["image"], { stringValue: "registry/shop:1.2@sha256:abc" });
});

t.test("no sender can claim an index, and fields that are not sealed do not leave", async (t) => {
  const log = ExportLogsServiceRequest.encode({
    resourceLogs: [
      {
        scopeLogs: [
          {
            logRecords: [
              {
                body: { stringValue: "x" },
                attributes: [
                  { key: "meshproof.leaf_index", value: { intValue: "1" } },
                  { key: "meshproof.other", value: { intValue: "2" } },
                ],
              },
            ],
          },
        ],
      },
    ],
  });
  const { bare } = await keep("logs", log);
  t.same(
    (recordsOf(bare, "logs")[0]!["attributes"] as Plain[]).map(({ key }) => key),
    ["meshproof.other"],
  );
  // Field 15 of LogRecord, which no version of OTLP has: resource_logs { scope_logs { log_records { 15: "S3CR3T" } } }.
  const unknown = Buffer.concat([Buffer.from([0x7a, 6]), Buffer.from("S3CR3T")]);
  const wrap = (tag: number, content: Buffer): Buffer =>
    Buffer.concat([Buffer.from([tag, content.length]), content]);
  const encoder = new RequestEncoder({
    logId: LOG_ID,
    normaliser: new Normaliser({ redact: {} }),
    maxRecordBytes: 1024 * 1024,
    maxEncodedBytes: 64 * 1024 * 1024,
    originals: new Originals(new ValueRedactor({}), []),
  });
  const { originals } = await encoder.encode(
    "logs",
    wrap(0x0a, wrap(0x12, wrap(0x12, unknown))),
    RECEIVED,
  );
  t.notOk(Buffer.from(originals!).includes("S3CR3T"));
});

t.test(
  "of a field that comes twice the first is looked at too, though the row has the last",
  async (t) => {
    const wrap = (tag: number, content: Buffer): Buffer =>
      Buffer.concat([Buffer.from([tag, content.length]), content]);
    // LogRecord.body, a string.
    const bodies = ["token=S3CR3T", "harmless"].map((text) =>
      wrap(0x2a, wrap(0x0a, Buffer.from(text))),
    );
    const request = wrap(0x0a, wrap(0x12, wrap(0x12, Buffer.concat(bodies))));
    const { bare, bytes } = await keep("logs", request);
    t.equal(recordsOf(bare, "logs").length, 1);
    t.notOk(bytes.includes("S3CR3T"));
  },
);

t.test("a record that is rejected is not kept", async (t) => {
  const body = writeLogs(
    oneScope([{ body: "one" }, { body: "two", traceId: new Uint8Array(3) }, { body: "three" }]),
  );
  const { bare, rows } = await keep("logs", body);
  t.equal(rows, 2);
  t.same(
    recordsOf(bare, "logs").map(({ body: value }) => value),
    [{ stringValue: "one" }, { stringValue: "three" }],
  );
});

t.test("a secret that only the format of a line tells of is not passed on", async (t) => {
  const line = "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %DURATION% %REQ(X-API-KEY)%";
  const formats = compileFormats(
    loadConfig(
      [
        `yaml:${JSON.stringify({ processors: { normalise: { formats: [{ name: "own", line }] } } })}`,
      ],
      {},
    ),
  );
  const bodies = async (...texts: string[]): Promise<unknown[]> => {
    const { bare } = await keep(
      "logs",
      writeLogs(oneScope(texts.map((body) => ({ body })))),
      formats,
    );
    return recordsOf(bare, "logs").map(({ body }) => (body as Plain)["stringValue"]);
  };
  t.same(
    await bodies(
      "GET /orders?page=1 200 7 S3CR3T",
      "GET /orders?token=S3CR3T2&page=1 200 7 -",
      "GET /orders?page=1 200 7 -",
    ),
    ["[redacted]", "GET /orders?token=[redacted]&page=1 200 7 -", "GET /orders?page=1 200 7 -"],
  );
});

t.test("whatever bytes come, the rows are those of a server without a forwarder", async (t) => {
  const plain = { logId: LOG_ID, maxRecordBytes: 1024 * 1024, maxEncodedBytes: 64 * 1024 * 1024 };
  const without = new RequestEncoder({ ...plain, normaliser: new Normaliser({ redact: {} }) });
  const keeping = new RequestEncoder({
    ...plain,
    normaliser: new Normaliser({ redact: {} }),
    originals: new Originals(new ValueRedactor({}), Object.values(FORWARD_KEYS)),
  });
  const resource = { entityRefs: [{ schemaUrl: "https://a", type: "host", idKeys: ["host.id"] }] };
  const seeds = [
    [
      "logs",
      ExportLogsServiceRequest.encode({
        resourceLogs: [{ resource, scopeLogs: [{ logRecords: [{ body: { stringValue: "x" } }] }] }],
      }),
    ],
    ["logs", writeLogs(oneScope([oddLog(15), oddLog(14), envoyLog(3)]))],
    ["traces", writeTraces(oneScope([oddSpan(8), oddSpan(14)]))],
  ] as const;
  const outcome = async (encoder: RequestEncoder, signal: "logs" | "traces", body: Buffer) => {
    try {
      const { sections, rejected, originals } = await encoder.encode(signal, body, RECEIVED);
      const rows = sections.map(({ kind, count }) => [kind, count]);
      const kept = [...readOriginals(originals ?? new Uint8Array(0))].length;
      return {
        result: JSON.stringify([rows, rejected]),
        rows: rows.reduce((sum, [, n]) => sum + n!, 0),
        kept,
      };
    } catch (error) {
      return { result: (error as { code?: string }).code ?? String(error), rows: 0, kept: 0 };
    }
  };
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      async ([signal, seed], changes) => {
        const body = Buffer.from(seed);
        for (const [at, byte] of changes) body[at % body.length] = byte;
        const expected = await outcome(without, signal, body);
        const actual = await outcome(keeping, signal, body);
        return actual.result === expected.result && actual.kept === actual.rows;
      },
    ),
    { numRuns: 3000 },
  );
  t.pass("3000 requests");
});
