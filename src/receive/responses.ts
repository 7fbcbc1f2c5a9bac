import type { Encoding, ExportResult, Signal } from "../core/consumer.ts";
import { MeshproofError } from "../core/errors.ts";
import type { ErrorBody } from "../core/http.ts";
import { encodeExportResponse, encodeStatus, MEDIA_TYPES } from "../core/otlp-status.ts";

export const ACCEPTED_TYPES = `${MEDIA_TYPES.protobuf}, ${MEDIA_TYPES.json}`;

/** The encoding that a Content-Type names, parameters aside and in any case; undefined when it is neither. */
function encodingOf(contentType: string | undefined): Encoding | undefined {
  if (contentType === MEDIA_TYPES.protobuf) return "protobuf";
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase();
  if (type === MEDIA_TYPES.json) return "json";
  return type === MEDIA_TYPES.protobuf ? "protobuf" : undefined;
}

/** The encoding of a request. Throws: UNSUPPORTED_MEDIA_TYPE. */
export function requestEncoding(contentType: string | undefined): Encoding {
  const encoding = encodingOf(contentType);
  if (encoding === undefined)
    throw new MeshproofError(
      "UNSUPPORTED_MEDIA_TYPE",
      `Content-Type: expected ${MEDIA_TYPES.protobuf} or ${MEDIA_TYPES.json}, got ${JSON.stringify(contentType) ?? "none"}`,
    );
  return encoding;
}

/** Error answers in the encoding of the request; in JSON, which people can read, when it is in neither. */
export const statusBody: ErrorBody = (error, contentType) => {
  const encoding = encodingOf(contentType) ?? "json";
  return { type: MEDIA_TYPES[encoding], body: encodeStatus(encoding, error) };
};

const FULL_SUCCESS = { protobuf: Buffer.alloc(0), json: Buffer.from("{}") } as const;

/** The body of a 200. */
export function exportBody(signal: Signal, encoding: Encoding, result: ExportResult): Buffer {
  return result.rejected === 0 && result.message === ""
    ? FULL_SUCCESS[encoding]
    : encodeExportResponse(signal, encoding, result);
}
