import { MeshproofError } from "../../src/core/errors.ts";
import { transcodeLogs } from "../../src/decode/json.ts";
import { ExportLogsServiceRequest, type Plain } from "./otlp-proto.ts";

type Transcode = (json: Uint8Array) => Uint8Array;

/** A logs request with one record of the members `members`. */
export function wrap(members: string): string {
  return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{${members}}]}]}]}`;
}

/** That record as protobufjs reads it behind the transcoder, absent fields with their defaults. */
export function record(members: string): Plain {
  const request = ExportLogsServiceRequest.decode(transcodeLogs(Buffer.from(wrap(members))), {
    defaults: true,
  });
  return (request as any).resourceLogs[0].scopeLogs[0].logRecords[0];
}

/** The protobuf of `json`; null when it is refused as BAD_REQUEST. Any other error is thrown. */
export function accepted(
  json: Uint8Array,
  transcode: Transcode = transcodeLogs,
): Uint8Array | null {
  try {
    return transcode(json);
  } catch (error) {
    if (error instanceof MeshproofError && error.code === "BAD_REQUEST") return null;
    throw error;
  }
}

/** The message with which `json` is refused as BAD_REQUEST. Throws when it is taken, and any other error. */
export function refusal(json: string | Uint8Array, transcode: Transcode = transcodeLogs): string {
  try {
    transcode(typeof json === "string" ? Buffer.from(json) : json);
  } catch (error) {
    if (error instanceof MeshproofError && error.code === "BAD_REQUEST") return error.message;
    throw error;
  }
  throw new Error(`taken: ${Buffer.from(json).toString().slice(0, 200)}`);
}
