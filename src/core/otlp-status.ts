import protobuf from "protobufjs/minimal.js";
import type { Encoding, ExportResult, Signal } from "./consumer.ts";
import { ERRORS } from "./errors.ts";
import type { MeshproofError } from "./errors.ts";

/** Media type of an answer: exactly these, without parameters, or the Collector's exporter does not read the body. */
export const MEDIA_TYPES = {
  protobuf: "application/x-protobuf",
  json: "application/json",
} as const satisfies Record<Encoding, string>;

/** The longest message in an answer, in UTF-8 bytes. OTLP recommends answers below 4 MiB; the Collector's exporter reads 64 KiB of one. */
export const MAX_MESSAGE_BYTES = 4096;

const BAD_REQUEST_TYPE = "type.googleapis.com/google.rpc.BadRequest";
/** The JSON name of the count of rejected records; in protobuf it is field 1 of both. */
const REJECTED_FIELD = {
  logs: "rejectedLogRecords",
  traces: "rejectedSpans",
} as const satisfies Record<Signal, string>;

/**
 * An ExportLogsServiceResponse or ExportTraceServiceResponse. Full success is the empty message: zero bytes, or `{}`.
 * Source: opentelemetry-proto 1.11, collector/logs/v1/logs_service.proto and docs/specification.md, "Partial Success".
 */
export function encodeExportResponse(
  signal: Signal,
  encoding: Encoding,
  { rejected, message }: ExportResult,
): Buffer {
  const errorMessage = bounded(message);
  if (encoding === "json") {
    if (rejected === 0 && errorMessage === "") return Buffer.from("{}");
    // 64-bit integers are strings in protobuf's JSON mapping; a default value is left out.
    const count = rejected === 0 ? {} : { [REJECTED_FIELD[signal]]: String(rejected) };
    return Buffer.from(
      JSON.stringify({
        partialSuccess: { ...count, ...(errorMessage === "" ? {} : { errorMessage }) },
      }),
    );
  }
  const writer = protobuf.Writer.create();
  if (rejected === 0 && errorMessage === "") return asBuffer(writer);
  writer.uint32(tag(1, 2)).fork();
  if (rejected !== 0) writer.uint32(tag(1, 0)).int64(rejected);
  if (errorMessage !== "") writer.uint32(tag(2, 2)).string(errorMessage);
  return asBuffer(writer.ldelim());
}

/**
 * A google.rpc.Status, the body of every 4xx and 5xx answer; with a google.rpc.BadRequest among its details when the data is at fault.
 * Source: opentelemetry-proto 1.11, docs/specification.md, "Failures"; googleapis google/rpc/{status,error_details}.proto.
 */
export function encodeStatus(encoding: Encoding, error: MeshproofError): Buffer {
  const message = bounded(error.message);
  const { grpc: code, http } = ERRORS[error.code];
  if (encoding === "json") {
    const details =
      http === 400
        ? { details: [{ "@type": BAD_REQUEST_TYPE, fieldViolations: [{ description: message }] }] }
        : {};
    return Buffer.from(JSON.stringify({ code, message, ...details }));
  }
  const writer = protobuf.Writer.create()
    .uint32(tag(1, 0))
    .int32(code)
    .uint32(tag(2, 2))
    .string(message);
  if (http === 400) {
    writer.uint32(tag(3, 2)).fork().uint32(tag(1, 2)).string(BAD_REQUEST_TYPE); // details: Any.type_url
    writer.uint32(tag(2, 2)).fork().uint32(tag(1, 2)).fork(); // Any.value: BadRequest.field_violations
    writer.uint32(tag(2, 2)).string(message).ldelim().ldelim().ldelim(); // FieldViolation.description
  }
  return asBuffer(writer);
}

function tag(field: number, wireType: 0 | 2): number {
  return (field << 3) | wireType;
}

function asBuffer(writer: protobuf.Writer): Buffer {
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The message as valid UTF-8 of at most MAX_MESSAGE_BYTES, cut between characters. */
function bounded(message: string): string {
  const text = message.toWellFormed();
  if (Buffer.byteLength(text) <= MAX_MESSAGE_BYTES) return text;
  const bytes = Buffer.from(text);
  let end = MAX_MESSAGE_BYTES - "…".length * 3;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString("utf8", 0, end)}…`;
}
