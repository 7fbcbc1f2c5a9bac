import { MeshproofError } from "../../src/core/errors.ts";
import * as json from "../../src/decode/json.ts";
import { ExportLogsServiceRequest, type Plain } from "./otlp-proto.ts";

type Transcode = (json: Uint8Array) => Uint8Array;

/** The logs request in `body` as protobuf, without a pause. */
export const transcodeLogs: Transcode = (body) => toEnd(json.transcodeLogs(body));
/** The traces request in `body` as protobuf, without a pause. */
export const transcodeTraces: Transcode = (body) => toEnd(json.transcodeTraces(body));

function toEnd(steps: json.Transcoding): Uint8Array {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

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

/** The protobuf of `body`; null when it is refused as BAD_REQUEST. Any other error is thrown. */
export function accepted(
  body: Uint8Array,
  transcode: Transcode = transcodeLogs,
): Uint8Array | null {
  try {
    return transcode(body);
  } catch (error) {
    if (error instanceof MeshproofError && error.code === "BAD_REQUEST") return null;
    throw error;
  }
}

/** The message with which `body` is refused as BAD_REQUEST. Throws when it is taken, and any other error. */
export function refusal(body: string | Uint8Array, transcode: Transcode = transcodeLogs): string {
  try {
    transcode(typeof body === "string" ? Buffer.from(body) : body);
  } catch (error) {
    if (error instanceof MeshproofError && error.code === "BAD_REQUEST") return error.message;
    throw error;
  }
  throw new Error(`taken: ${Buffer.from(body).toString().slice(0, 200)}`);
}
