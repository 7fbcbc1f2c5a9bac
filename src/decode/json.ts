import { JsonTranscoder } from "./json-transcoder.ts";
import { LOGS_REQUEST, TRACES_REQUEST } from "./json-schema.ts";

/** A request on its way to protobuf: it yields every few dozen records, so that other work can come between, and returns the message. */
export type Transcoding = Generator<undefined, Uint8Array>;

/**
 * The ExportLogsServiceRequest in `json` (OTLP/JSON) as protobuf, so that both encodings take one path from there on.
 *
 * Nothing that JSON.parse would lose is lost: 64-bit numbers stay exact, also as JSON numbers, and of duplicate keys the last wins as protobuf
 * merges them. Unknown keys are ignored, `null` is an absent field, keys may be lowerCamelCase or snake_case. A trace or span ID that is not
 * hex of the right length goes on with a wrong length, so that the one record can be rejected later, not the request.
 *
 * Cost:   one pass, no string or object for what it reads; memory is one buffer of 9/8 the length of `json`.
 * Throws: BAD_REQUEST when `json` is not JSON, not UTF-8 or not this message; the message names path and byte.
 * Source: RFC 8259; opentelemetry-proto 1.11, docs/specification.md, "JSON Protobuf Encoding"; ProtoJSON.
 */
export function transcodeLogs(json: Uint8Array): Transcoding {
  return new JsonTranscoder(json).transcode(LOGS_REQUEST);
}

/** The ExportTraceServiceRequest in `json` as protobuf; else as `transcodeLogs`. */
export function transcodeTraces(json: Uint8Array): Transcoding {
  return new JsonTranscoder(json).transcode(TRACES_REQUEST);
}
