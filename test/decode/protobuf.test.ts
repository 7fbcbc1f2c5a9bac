import fc from "fast-check";
import t, { type Test } from "tap";
import { RequestEncoder } from "../../src/encoder.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { actualRows, type Expected } from "../support/expected-rows.ts";
import { logsRequest, tracesRequest } from "../support/otlp-arbitrary.ts";
import {
  ExportLogsServiceRequest,
  ExportTraceServiceRequest,
  type Plain,
} from "../support/otlp-proto.ts";

/** Our decoder against protobufjs' generated code: both read what the latter wrote, and must agree. */

const encoder = new RequestEncoder({
  logId: "0123456789abcdef",
  // Arbitrary texts may look like addresses, numbers like cards.
  normaliser: new Normaliser({
    redact: { detect: { email: false, card: false, userinfo: false } },
  }),
  maxRecordBytes: 1 << 24,
  maxEncodedBytes: 1 << 28,
});
const RECEIVED = {
  receivedAtNs: 7n,
  sender: "s",
  senderAuth: "none",
  retentionClass: "default",
};

function list(message: Plain | undefined, field: string): Plain[] {
  return (message?.[field] ?? []) as Plain[];
}

function latin1(text: unknown): string {
  return Buffer.from(String(text ?? ""), "utf8").toString("latin1");
}

function hex(id: unknown): string {
  const bytes = Buffer.from(id as Uint8Array);
  return bytes.every((byte) => byte === 0) ? "" : bytes.toString("hex");
}

/** Keys in the order of their bytes, and the values of those that are texts, numbers or booleans. */
function attributesOf(owner: Plain | undefined): (readonly [string, string | undefined])[] {
  return list(owner, "attributes")
    .map((pair, i) => ({
      key: Buffer.from(String(pair["key"] ?? ""), "utf8"),
      value: pair["value"] as Plain | undefined,
      i,
    }))
    .toSorted((a, b) => Buffer.compare(a.key, b.key) || a.i - b.i)
    .map(({ key, value }) => {
      const scalar = value?.["stringValue"] ?? value?.["intValue"] ?? value?.["boolValue"];
      return [key.toString("latin1"), scalar === undefined ? undefined : latin1(scalar)] as const;
    });
}

function compareMap(t: Test, actual: unknown, owner: Plain | undefined): void {
  const expected = attributesOf(owner);
  const pairs = actual as [string, string][];
  t.same(
    pairs.map(([key]) => key),
    expected.map(([key]) => key),
  );
  expected.forEach(([, value], i) => value === undefined || t.equal(pairs[i]![1], value));
}

type Check = (t: Test, row: Expected, record: Plain) => void;

function agree(
  signal: "logs" | "traces",
  arbitrary: fc.Arbitrary<Plain>,
  oracle: typeof ExportLogsServiceRequest,
  [outer, inner, records]: readonly [string, string, string],
  check: Check,
): void {
  t.test(
    `${signal}: every record that protobufjs reads, and no other, becomes a row`,
    async (t) => {
      await fc.assert(
        fc.asyncProperty(arbitrary, async (message) => {
          const body = oracle.encode(message);
          const { sections, rejected } = await encoder.encode(signal, body, RECEIVED);
          t.equal(rejected, 0);
          const rows = actualRows(sections[0]);
          let next = 0;
          for (const resource of list(oracle.decode(body, { defaults: true }), outer)) {
            for (const scope of list(resource, inner)) {
              for (const record of list(scope, records)) {
                const row = rows[next++]!;
                compareMap(t, row["ResourceAttributes"], resource["resource"] as Plain | undefined);
                compareMap(t, row["ScopeAttributes"], scope["scope"] as Plain | undefined);
                t.equal(row["TraceId"], hex(record["traceId"]));
                t.equal(row["SpanId"], hex(record["spanId"]));
                t.equal(row["DroppedAttributesCount"], record["droppedAttributesCount"]);
                check(t, row, record);
              }
            }
          }
          t.equal(rows.length, next);
        }),
        { numRuns: 200 },
      );
    },
  );
}

agree(
  "logs",
  logsRequest,
  ExportLogsServiceRequest,
  ["resourceLogs", "scopeLogs", "logRecords"],
  (t, row, record) => {
    compareMap(t, row["LogAttributes"], record);
    t.equal(row["SeverityText"], latin1(record["severityText"]));
    t.equal(row["EventName"], latin1(record["eventName"]));
  },
);

agree(
  "traces",
  tracesRequest,
  ExportTraceServiceRequest,
  ["resourceSpans", "scopeSpans", "spans"],
  (t, row, record) => {
    compareMap(t, row["SpanAttributes"], record);
    t.equal(row["SpanName"], latin1(record["name"]));
    t.equal(row["TraceState"], latin1(record["traceState"]));
    t.equal(row["ParentSpanId"], hex(record["parentSpanId"]));
    t.same(
      row["Events.Name"],
      list(record, "events").map((event) => latin1(event["name"])),
    );
    list(record, "events").forEach((event, i) =>
      compareMap(t, (row["Events.Attributes"] as unknown[])[i], event),
    );
    t.same(
      row["Links.SpanId"],
      list(record, "links").map((link) => hex(link["spanId"])),
    );
  },
);
