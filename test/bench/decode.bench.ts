import { freeRows } from "../../src/core/rows.ts";
import { sha256Into } from "../../src/core/sha256.ts";
import { ExportLogsServiceRequest, ExportTraceServiceRequest } from "../support/otlp-proto.ts";
import { applicationBody, envoyBody, spanBody } from "../support/traffic.ts";
import { transcodeLogs } from "../support/transcoding.ts";
import { encoder, RECEIVED } from "./encoding.ts";
import { measure, printTable } from "./measure.ts";

/** One layer each: from the request's bytes to hashed rows, against decoding to objects and writing JSONEachRow. */

const RECORDS = 1000;
/** Requests a run: long enough for the clock of getrusage. */
const REQUESTS = 50;
interface Case {
  readonly name: string;
  readonly signal: "logs" | "traces";
  readonly body: Buffer;
}

const CASES: readonly Case[] = [
  { name: "application log, 25 attributes", signal: "logs", body: applicationBody(RECORDS) },
  { name: "Envoy access log, 25 attributes", signal: "logs", body: envoyBody(RECORDS) },
  { name: "span, 20 attributes", signal: "traces", body: spanBody(RECORDS) },
];

/** What most pipelines in Node do: generated protobufjs code, objects, a line of JSON a record. */
function naive({ signal, body }: Case): number {
  let bytes = 0;
  if (signal === "logs") {
    const request = ExportLogsServiceRequest.type.decode(body) as unknown as {
      resourceLogs: {
        resource?: { attributes: KeyValue[] };
        scopeLogs: { logRecords: NaiveRecord[] }[];
      }[];
    };
    for (const { resource, scopeLogs } of request.resourceLogs) {
      const ResourceAttributes = toMap(resource?.attributes ?? []);
      for (const { logRecords } of scopeLogs)
        for (const record of logRecords)
          bytes += JSON.stringify(toRow(record, ResourceAttributes)).length + 1;
    }
  } else {
    const request = ExportTraceServiceRequest.type.decode(body) as unknown as {
      resourceSpans: {
        resource?: { attributes: KeyValue[] };
        scopeSpans: { spans: NaiveRecord[] }[];
      }[];
    };
    for (const { resource, scopeSpans } of request.resourceSpans) {
      const ResourceAttributes = toMap(resource?.attributes ?? []);
      for (const { spans } of scopeSpans)
        for (const record of spans)
          bytes += JSON.stringify(toRow(record, ResourceAttributes)).length + 1;
    }
  }
  return bytes;
}

type KeyValue = {
  key: string;
  value?: { stringValue?: string; intValue?: { toString(): string } };
};
interface NaiveRecord {
  timeUnixNano?: { toString(): string };
  startTimeUnixNano?: { toString(): string };
  endTimeUnixNano?: { toString(): string };
  traceId: Buffer;
  spanId: Buffer;
  severityText?: string;
  severityNumber?: number;
  name?: string;
  body?: { stringValue?: string };
  attributes: KeyValue[];
}

function toMap(attributes: readonly KeyValue[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (const { key, value } of attributes)
    map[key] = value?.stringValue ?? value?.intValue?.toString() ?? "";
  return map;
}

function toRow(record: NaiveRecord, ResourceAttributes: Record<string, string>): object {
  return {
    Timestamp: (record.timeUnixNano ?? record.startTimeUnixNano)?.toString(),
    End: record.endTimeUnixNano?.toString(),
    TraceId: record.traceId.toString("hex"),
    SpanId: record.spanId.toString("hex"),
    SeverityText: record.severityText,
    SeverityNumber: record.severityNumber,
    SpanName: record.name,
    ServiceName: ResourceAttributes["service.name"],
    Body: record.body?.stringValue,
    ResourceAttributes,
    Attributes: toMap(record.attributes),
  };
}

/** OTLP/JSON as an exporter writes it: no white space, IDs in hex, 64-bit numbers as strings. */
function exporterJson(request: object): string {
  return JSON.stringify(request, function replace(this: Record<string, unknown>, key, value) {
    const raw = this[key];
    return Buffer.isBuffer(raw) ? raw.toString("hex") : (value as unknown);
  });
}

export async function benchDecode(): Promise<void> {
  const rows: string[][] = [];
  for (const one of CASES) {
    const ours = await measure(async () => {
      for (let i = 0; i < REQUESTS; i++)
        freeRows(await encoder.encode(one.signal, one.body, RECEIVED));
    });
    const theirs = await measure(
      () => {
        for (let i = 0; i < REQUESTS / 5; i++) naive(one);
      },
      { runs: 5 },
    );
    const us = ours.cpuUs / (REQUESTS * RECORDS);
    const naiveUs = theirs.cpuUs / ((REQUESTS / 5) * RECORDS);
    rows.push([
      one.name,
      String(Math.round(one.body.length / RECORDS)),
      us.toFixed(2),
      thousands(1e6 / us),
      String(Math.round(one.body.length / RECORDS / us)),
      naiveUs.toFixed(2),
      `${(naiveUs / us).toFixed(1)}x`,
    ]);
  }
  printTable(
    "Request bytes to hashed row, one thread (budget for the application log: 6 µs)",
    ["record", "B", "µs CPU", "records/s", "MB/s", "protobufjs + JSONEachRow µs", "ratio"],
    rows,
  );

  const text = exporterJson(ExportLogsServiceRequest.decode(applicationBody(RECORDS)));
  const json = Buffer.from(text, "utf8");
  const transcoded = await measure(() => {
    for (let i = 0; i < REQUESTS; i++) transcodeLogs(json);
  });
  const parsed = await measure(() => {
    for (let i = 0; i < REQUESTS; i++) JSON.parse(text);
  });
  const jsonUs = transcoded.cpuUs / (REQUESTS * RECORDS);
  const parseUs = parsed.cpuUs / (REQUESTS * RECORDS);
  printTable(
    "OTLP/JSON to protobuf, application logs, against JSON.parse alone (of a string)",
    ["B", "µs CPU", "records/s", "MB/s", "JSON.parse µs", "ratio"],
    [
      [
        String(Math.round(json.length / RECORDS)),
        jsonUs.toFixed(2),
        thousands(1e6 / jsonUs),
        String(Math.round(json.length / RECORDS / jsonUs)),
        parseUs.toFixed(2),
        `${(parseUs / jsonUs).toFixed(1)}x`,
      ],
    ],
  );

  const hashes = Buffer.alloc(32);
  const hashRows: string[][] = [];
  for (const size of [300, 1400]) {
    const row = Buffer.alloc(size, 7);
    const { cpuUs } = await measure(() => {
      for (let i = 0; i < 200_000; i++) sha256Into(row, hashes, 0);
    });
    const us = cpuUs / 200_000;
    hashRows.push([`${size} B`, us.toFixed(2), thousands(1e6 / us), String(Math.round(size / us))]);
  }
  printTable("SHA-256 of a row", ["row", "µs CPU", "rows/s", "MB/s"], hashRows);
}

export function thousands(value: number): string {
  return `${Math.round(value / 1000)} k`;
}
