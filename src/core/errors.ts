/**
 * The one table of errors. Each code says what an OTLP sender or an API client is answered,
 * and whether the same request may succeed later.
 *
 * `http`      status of the answer when the error ends a request.
 * `retryable` the same input may be accepted later; OTLP senders retry exactly 429, 502, 503 and 504
 *             (opentelemetry-proto 1.11, docs/specification.md, "Retryable Response Codes").
 * `grpc`      google.rpc.Code for the Status body of an OTLP answer.
 * `text`      what the code means; docs/errors.md is generated from it.
 */
export const ERRORS = {
  BAD_REQUEST: {
    http: 400,
    grpc: 3,
    retryable: false,
    text: "The request cannot be read: not an OTLP export request, or broken on the way.",
  },
  BAD_ENCODING: {
    http: 400,
    grpc: 3,
    retryable: false,
    text: "The body does not decompress by the Content-Encoding that the request names.",
  },
  UNAUTHENTICATED: {
    http: 401,
    grpc: 16,
    retryable: false,
    text: "The request carries no token or client certificate that is known here.",
  },
  FORBIDDEN: {
    http: 403,
    grpc: 7,
    retryable: false,
    text: "The token is known, but its role does not allow this.",
  },
  HOST_REFUSED: {
    http: 403,
    grpc: 7,
    retryable: false,
    text: "The Host header names a host that is not in the allow-list (a guard against DNS rebinding).",
  },
  NOT_FOUND: { http: 404, grpc: 5, retryable: false, text: "There is nothing under this path." },
  METHOD_NOT_ALLOWED: {
    http: 405,
    grpc: 12,
    retryable: false,
    text: "The path exists, but not for this method.",
  },
  BODY_TOO_LARGE: {
    http: 413,
    grpc: 8,
    retryable: false,
    text: "The body is larger than max_request_body_size, as sent or after decompression.",
  },
  HEADERS_TOO_LARGE: {
    http: 431,
    grpc: 8,
    retryable: false,
    text: "The request line and headers are longer than the listener takes.",
  },
  UNSUPPORTED_MEDIA_TYPE: {
    http: 415,
    grpc: 3,
    retryable: false,
    text: "The Content-Type is neither application/x-protobuf nor application/json, or the Content-Encoding is unknown.",
  },
  OVERLOADED: {
    http: 429,
    grpc: 8,
    retryable: true,
    text: "More bytes are in flight than the receiver's bound; send again after Retry-After.",
  },
  JOURNAL_FULL: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "The journal has reached storage.max_size because the store does not keep up or is down.",
  },
  STORAGE_FULL: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "The disk that holds the journal has no room.",
  },
  SHUTTING_DOWN: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "The process is draining and takes no new requests.",
  },
  UNAVAILABLE: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "A part that is needed to answer is not ready.",
  },
  STORE_FAILED: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "ClickHouse did not answer, or refused a statement.",
  },
  CONFIG_INVALID: {
    http: 500,
    grpc: 3,
    retryable: false,
    text: "A configuration file does not fit the schema; the message names file, line, column and key.",
  },
  JOURNAL_FAILED: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "A write or fsync of the journal failed. The process stops: what the page cache holds can no longer be trusted.",
  },
  JOURNAL_CORRUPT: {
    http: 500,
    grpc: 15,
    retryable: false,
    text: "A journal segment is damaged before its end, where no crash can have cut it.",
  },
  LOG_FAILED: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "A write or fsync of the Merkle log failed. The process stops: what the page cache holds can no longer be trusted.",
  },
  LOG_INCONSISTENT: {
    http: 500,
    grpc: 15,
    retryable: false,
    text: "The Merkle log on disk contradicts the journal or the signed checkpoint.",
  },
  DIRECTORY_LOCKED: {
    http: 500,
    grpc: 9,
    retryable: false,
    text: "Another process holds the data directory.",
  },
  KEY_INVALID: {
    http: 500,
    grpc: 9,
    retryable: false,
    text: "The signing key cannot be read, is of another type, or belongs to another log.",
  },
  NOTE_INVALID: {
    http: 400,
    grpc: 15,
    retryable: false,
    text: "A signed note or checkpoint does not parse, or a known signature on it does not verify.",
  },
  POLICY_INVALID: {
    http: 400,
    grpc: 3,
    retryable: false,
    text: "A policy file (C2SP tlog-policy) does not parse, or names a witness without the URL that is needed to ask it; the message names the line.",
  },
  WITNESS_FAILED: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "A witness did not cosign a checkpoint: no answer, a refusal, or an answer that does not verify. It is asked again at the next round.",
  },
  ROW_TAMPERED: {
    http: 409,
    grpc: 15,
    retryable: false,
    text: "ClickHouse does not hold the row that was sealed under this leaf index, or holds more than one: somebody changed the store.",
  },
  PROOF_INVALID: {
    http: 400,
    grpc: 15,
    retryable: false,
    text: "A Merkle proof does not lead to the root.",
  },
  PROOF_RANGE: {
    http: 400,
    grpc: 11,
    retryable: false,
    text: "A proof was asked for a leaf or a size beyond the tree.",
  },
  ROW_INVALID: {
    http: 400,
    grpc: 15,
    retryable: false,
    text: "Bytes that should be a row do not decode as one.",
  },
  ENGINE_FAILED: {
    http: 503,
    grpc: 14,
    retryable: true,
    text: "The embedded ClickHouse server did not start or ended unexpectedly.",
  },
  LISTEN_FAILED: {
    http: 500,
    grpc: 14,
    retryable: false,
    text: "An address of the configuration cannot be listened on: another program holds the port, or the host is not this machine.",
  },
  SCHEMA_MISMATCH: {
    http: 500,
    grpc: 9,
    retryable: false,
    text: "A table in ClickHouse differs from the columns that this version writes.",
  },
} as const satisfies Record<
  string,
  { http: number; grpc: number; retryable: boolean; text: string }
>;

export type ErrorCode = keyof typeof ERRORS;

/** The one error class. `message` says what was expected, what came and where; `code` is a key of ERRORS. */
export class MeshproofError extends Error {
  readonly code: ErrorCode;
  /** Seconds for Retry-After, when the thrower knows better than the default. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "MeshproofError";
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  get httpStatus(): number {
    return ERRORS[this.code].http;
  }
}
